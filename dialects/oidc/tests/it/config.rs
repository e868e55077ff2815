//! `[dialects.oidc]`.

use testkit::world::World;
use web::Dialect as _;

use crate::support::{CLIENTS, Mounted, SECRET, mount};

fn client(options: &str) -> String {
    format!("[[clients]]\n{options}")
}

#[tokio::test]
async fn a_section_that_cannot_be_served_is_refused_in_one_sentence() {
    let engine = World::new().await.engine;
    let cb = "redirect_uris = ['https://a.example/cb']";
    for (section, sentence) in [
        ("access_token_minutes = 0".to_owned(), "dialects.oidc.access_token_minutes: must be from 1 to 1440"),
        ("session_days = 401".to_owned(), "dialects.oidc.session_days: must be from 1 to 400"),
        (
            "client = 1".to_owned(),
            "dialects.oidc: unknown field `client`, expected one of `access_token_minutes`, `session_days`, `clients`",
        ),
        (client("name = 'x'"), "dialects.oidc: missing field `id`"),
        (
            client("id = 'a b'"),
            "dialects.oidc.clients: an id must be 1 to 128 letters, digits, dots, dashes, underscores, tildes or @",
        ),
        (client("id = 'a'"), "dialects.oidc.clients.a.redirect_uris: must name at least one"),
        (
            client(&format!("id = 'a'\nsecret = 'short'\n{cb}")),
            "dialects.oidc.clients.a.secret: must have at least 20 characters, drawn by chance",
        ),
        (client(&format!("id = 'a'\nsecret = 12345\n{cb}")), "dialects.oidc: a client's secret must be a string"),
        (
            client(&format!("id = 'a'\nsecret_sha256 = 'xyz'\n{cb}")),
            "dialects.oidc.clients.a.secret_sha256: must be 64 hexadecimal digits",
        ),
        (
            client(&format!("id = 'a'\nsecret = 'x'\nsecret_sha256 = 'x'\n{cb}")),
            "dialects.oidc.clients.a.secret: is given twice, with secret_sha256: which?",
        ),
        (
            client("id = 'a'\nredirect_uris = ['http://a.example/cb']"),
            "dialects.oidc.clients.a.redirect_uris: `http://a.example/cb` must be https, but for 127.0.0.1, [::1] and localhost",
        ),
        (
            client(&format!("id = 'a'\n{cb}\npost_logout_redirect_uris = ['/bye']")),
            "dialects.oidc.clients.a.post_logout_redirect_uris: `/bye` must be an absolute URI",
        ),
        (
            format!("{}{}", client(&format!("id = 'a'\n{cb}\n")), client(&format!("id = 'a'\n{cb}\n"))),
            "dialects.oidc.clients.a: is declared twice",
        ),
    ] {
        assert_eq!(mount(&engine, &section, false).unwrap_err().to_string(), sentence);
    }
}

#[tokio::test]
async fn the_surface_owns_its_paths_and_signs_with_one_algorithm() {
    let surface = mount(&World::new().await.engine, "", false).unwrap();
    assert_eq!(surface.name, "oidc");
    let prefixes =
        ["/oauth/v2", "/oidc/v1", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"];
    assert_eq!(surface.prefixes, prefixes);
    assert!(surface.administration.is_none());
    assert_eq!(countersign_oidc::Oidc.name(), "oidc");
    assert_eq!(countersign_oidc::Oidc.algorithms(), [engine::Algorithm::Rs256]);
}

#[tokio::test]
async fn development_comes_with_two_clients_that_are_answered_anywhere_on_this_machine() {
    let mounted = Mounted::with("", true).await;
    for id in ["countersign-dev", "countersign-dev-confidential"] {
        for uri in ["http://localhost:5173/any/where", "http://127.0.0.1:1/", "http://[::1]:1/cb?x=y"] {
            mounted.sign_in(&mounted.authorize(&[("client_id", id), ("redirect_uri", uri)]).await);
        }
        let answer = mounted.authorize(&[("client_id", id), ("redirect_uri", "https://app.example/cb")]).await;
        answer.assert_page(400, "names an address to return to");
    }
    let form = [("client_id", "countersign-dev-confidential"), ("client_secret", "countersign-dev-secret")];
    assert_eq!(mounted.post("/oauth/v2/token", &form, &[]).await.error().1, "invalid_request");
}

#[tokio::test]
async fn elsewhere_nobody_has_them() {
    let mounted = Mounted::with(CLIENTS, false).await;
    for id in ["countersign-dev", "countersign-dev-confidential"] {
        mounted.authorize(&[("client_id", id)]).await.assert_page(400, "No application is known here");
    }
}

#[tokio::test]
async fn a_secret_may_stand_in_the_file_as_its_digest() {
    let digest: Vec<_> = web::hand_over::sha256(SECRET.as_bytes()).iter().map(|byte| format!("{byte:02X}")).collect();
    let section =
        CLIENTS.replace(&format!("secret = \"{SECRET}\""), &format!("secret_sha256 = \"{}\"", digest.concat()));
    assert_ne!(section, CLIENTS);
    let mounted = Mounted::with(&section, false).await;
    for (secret, error) in [(SECRET, "invalid_request"), ("x", "invalid_client")] {
        let form = [("client_id", "web"), ("client_secret", secret)];
        assert_eq!(mounted.post("/oauth/v2/token", &form, &[]).await.error().1, error);
    }
}

#[tokio::test]
async fn lives_are_as_configured() {
    let mounted = Mounted::with(&format!("access_token_minutes = 2\nsession_days = 1\n{CLIENTS}"), false).await;
    let tokens = mounted.tokens("openid offline_access").await;
    assert_eq!(tokens.json()["expires_in"], 120);
    mounted.world.clock.advance(std::time::Duration::from_hours(24));
    let refreshed = mounted.refresh(&tokens.text("refresh_token"), &[]).await;
    assert_eq!(refreshed.error(), (400, "invalid_grant".to_owned()));
}
