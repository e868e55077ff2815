//! The end of a session.

use std::time::Duration;

use web::hand_over::SignOut;

use crate::support::{Answer, Mounted, SCOPE};

const PATH: &str = "/oidc/v1/end_session";

async fn end(mounted: &Mounted, parameters: &[(&str, &str)]) -> Answer {
    mounted.get(&web::hand_over::with_query(PATH, parameters), &[]).await
}

fn handed_over(mounted: &Mounted, answer: &Answer) -> SignOut {
    assert_eq!(answer.target(), "https://id.example.com/sign-out", "{answer}");
    SignOut::open(&mounted.world.engine, &mounted.context(), &answer.parameter("request")).unwrap()
}

#[tokio::test]
async fn an_id_token_ends_its_session_also_when_it_is_over() {
    let mounted = Mounted::new().await;
    let tokens = mounted.tokens(SCOPE).await;
    let ada = mounted.person("ada@example.com").await;
    mounted.world.clock.advance(Duration::from_hours(5));
    let hint = tokens.text("id_token");
    let parameters = [
        ("id_token_hint", hint.as_str()),
        ("client_id", "app"),
        ("post_logout_redirect_uri", "https://app.example/bye"),
        ("state", "a&b"),
        ("logout_hint", "x"),
    ];
    for _ in 0..2 {
        let sign_out = handed_over(&mounted, &end(&mounted, &parameters).await);
        assert_eq!(sign_out.identity, Some(ada.get()));
        assert_eq!(sign_out.return_to.as_deref(), Some("https://app.example/bye?state=a%26b"));
        assert_eq!(sign_out.leads_to.as_deref(), Some("https://app.example"));
    }
    let refreshed = mounted.refresh(&tokens.text("refresh_token"), &[]).await;
    assert_eq!(refreshed.error(), (400, "invalid_grant".to_owned()));
}

#[tokio::test]
async fn without_one_nothing_ends_and_the_person_is_asked() {
    let mounted = Mounted::new().await;
    let tokens = mounted.tokens(SCOPE).await;
    let parameters =
        [("client_id", "app"), ("post_logout_redirect_uri", "https://app.example/bye"), ("ui_locales", "de")];
    let sign_out = handed_over(&mounted, &end(&mounted, &parameters).await);
    assert_eq!((sign_out.identity, sign_out.return_to.as_deref()), (None, Some("https://app.example/bye")));
    assert_eq!(sign_out.locales.as_deref(), Some("de"));
    let sign_out = handed_over(&mounted, &mounted.post(PATH, &[], &[]).await);
    assert_eq!((sign_out.identity, sign_out.return_to), (None, None));
    assert_eq!(mounted.user_info(&tokens.text("access_token")).await.status, 200);
}

#[tokio::test]
async fn st_14_what_is_not_declared_is_answered_by_a_page_and_ends_nothing() {
    let mounted = Mounted::new().await;
    let tokens = mounted.tokens(SCOPE).await;
    let (id_token, access_token) = (tokens.text("id_token"), tokens.text("access_token"));
    let bye = ("post_logout_redirect_uri", "https://app.example/bye");
    for parameters in [
        &[bye][..],
        &[("client_id", "nobody"), bye],
        &[("client_id", "other"), bye],
        &[("client_id", "app"), ("post_logout_redirect_uri", "https://app.example/cb")],
        &[("client_id", "app"), ("post_logout_redirect_uri", "https://evil.example/bye")],
        &[("client_id", "app"), ("post_logout_redirect_uri", "https://app.example/bye/")],
        &[("client_id", "app"), ("post_logout_redirect_uri", "")],
        &[("id_token_hint", &id_token), ("client_id", "other")],
        &[("id_token_hint", &id_token), ("post_logout_redirect_uri", "https://evil.example/")],
        &[("id_token_hint", "x")],
        &[("id_token_hint", &access_token)],
    ] {
        end(&mounted, parameters).await.assert_page(400, "You are still signed in");
    }
    end(&mounted, &[("state", "a"), ("state", "b")]).await.assert_page(400, "cannot be read");
    assert_eq!(mounted.user_info(&access_token).await.status, 200);
}
