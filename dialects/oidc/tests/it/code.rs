//! From a code to tokens: the happy path to the claim, and everything that a code is not good for.

use std::time::Duration;

use serde_json::{Value, json};
use web::hand_over::sha256;

use crate::support::{BROWSER, Mounted, ORIGIN, SCOPE, SECRET, VERIFIER, authorize_path, basic, challenge, cookie};

#[tokio::test]
async fn a_code_is_worth_an_access_token_an_id_token_and_a_refresh_token() {
    let mounted = Mounted::new().await;
    let ada = mounted.person("ada@example.com").await;
    let signed_in_at = mounted.context().now.seconds();
    let back = mounted.signed_in(&mounted.authorize(&[]).await, ada).await;
    mounted.world.clock.advance(Duration::from_secs(5));
    let answer = mounted.come_back(&back).await;
    assert_eq!(answer.target(), "https://app.example/cb");
    let mut parameters = answer.parameters();
    let code = parameters.remove("code").unwrap();
    assert_eq!(
        parameters.into_iter().collect::<Vec<_>>(),
        [("iss".to_owned(), ORIGIN.to_owned()), ("state".to_owned(), "a&b=c d".to_owned())]
    );
    assert_eq!(code.len(), 43);

    mounted.world.clock.advance(Duration::from_secs(5));
    let tokens = mounted.redeem(&code, &[]).await;
    assert_eq!(tokens.status, 200, "{tokens}");
    assert_eq!(tokens.header("cache-control"), "no-store");
    assert_eq!(tokens.header("pragma"), "no-cache");
    let names: Vec<_> = tokens.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["access_token", "expires_in", "id_token", "refresh_token", "scope", "token_type"]);
    assert_eq!(tokens.json()["token_type"], "Bearer");
    assert_eq!(tokens.json()["expires_in"], 900);
    assert_eq!(tokens.json()["scope"], SCOPE);

    let now = mounted.context().now.seconds();
    let access_token = tokens.text("access_token");
    let mut access = mounted.claims(&access_token).await;
    let (jti, sid) = (access["jti"].take(), access["sid"].take());
    assert_eq!(jti.as_str().unwrap().len(), 36);
    assert_eq!(
        access,
        json!({
            "typ": "at+jwt", "iss": ORIGIN, "sub": ada.to_string(), "aud": ["P1"], "client_id": "app", "scope": SCOPE,
            "exp": now + 900, "iat": now, "auth_time": signed_in_at, "jti": null, "sid": null,
        })
    );
    let half = &sha256(access_token.as_bytes())[..16];
    let at_hash = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, half);
    assert_eq!(
        mounted.claims(&tokens.text("id_token")).await,
        json!({
            "iss": ORIGIN, "sub": ada.to_string(), "aud": ["app"], "azp": "app", "client_id": "app", "exp": now + 900, "iat": now,
            "auth_time": signed_in_at, "amr": ["otp"], "sid": sid, "at_hash": at_hash, "nonce": "n",
        })
    );
}

#[tokio::test]
async fn there_is_as_much_as_was_asked_for() {
    let mounted = Mounted::new().await;
    for (scope, names) in [
        ("openid", vec!["access_token", "expires_in", "id_token", "scope", "token_type"]),
        ("email", vec!["access_token", "expires_in", "scope", "token_type"]),
        ("email offline_access", vec!["access_token", "expires_in", "refresh_token", "scope", "token_type"]),
    ] {
        let tokens = mounted.tokens(scope).await;
        assert_eq!(tokens.json().as_object().unwrap().keys().collect::<Vec<_>>(), names);
        assert_eq!(tokens.json()["scope"], scope);
    }
    let code = mounted.code(&[("nonce", ""), ("state", "")]).await;
    let claims = mounted.claims(&mounted.redeem(&code, &[]).await.text("id_token")).await;
    assert_eq!(claims.get("nonce"), None);
}

#[tokio::test]
async fn the_scope_that_zitadels_apis_may_insist_on_is_kept() {
    let mounted = Mounted::new().await;
    let scope = "openid urn:zitadel:iam:org:project:id:zitadel:aud";
    let tokens = mounted.tokens(scope).await;
    assert_eq!(mounted.claims(&tokens.text("access_token")).await["scope"], scope);
}

#[tokio::test]
async fn st_06_a_code_is_good_once_and_its_second_use_takes_everything_back() {
    let mounted = Mounted::new().await;
    let code = mounted.code(&[]).await;
    let tokens = mounted.redeem(&code, &[]).await;
    assert_eq!(mounted.user_info(&tokens.text("access_token")).await.status, 200);
    assert_eq!(mounted.redeem(&code, &[]).await.error(), (400, "invalid_grant".to_owned()));
    assert_eq!(mounted.user_info(&tokens.text("access_token")).await.error(), (401, "invalid_token".to_owned()));
    let refreshed = mounted.refresh(&tokens.text("refresh_token"), &[]).await;
    assert_eq!(refreshed.error(), (400, "invalid_grant".to_owned()));
}

#[tokio::test]
async fn st_05_of_many_who_bring_a_code_at_once_one_gets_tokens() {
    let mounted = Mounted::new().await;
    let code = mounted.code(&[]).await;
    let redeem = || mounted.redeem(&code, &[]);
    let (a, b, c, d) = tokio::join!(redeem(), redeem(), redeem(), redeem());
    let granted = [a, b, c, d].iter().filter(|answer| answer.status == 200).count();
    assert_eq!(granted, 1);
}

#[tokio::test]
async fn st_28_who_brings_a_code_with_anything_wrong_burns_it() {
    let mounted = Mounted::new().await;
    let wrong = "x".repeat(43);
    for change in [
        ("code_verifier", wrong.as_str()),
        ("client_id", "other"),
        ("redirect_uri", "https://app.example/cb2"),
        ("redirect_uri", "https://app.example/cb/"),
    ] {
        let code = mounted.code(&[]).await;
        assert_eq!(mounted.redeem(&code, &[change]).await.error(), (400, "invalid_grant".to_owned()), "{change:?}");
        assert_eq!(mounted.redeem(&code, &[]).await.error(), (400, "invalid_grant".to_owned()), "{change:?}");
    }
}

#[tokio::test]
async fn what_is_left_out_is_asked_for_and_burns_nothing() {
    let mounted = Mounted::new().await;
    let code = mounted.code(&[]).await;
    for name in ["grant_type", "code", "redirect_uri", "code_verifier"] {
        let answer = mounted.redeem(&code, &[(name, "")]).await;
        assert_eq!(answer.error(), (400, "invalid_request".to_owned()), "{name}");
        assert_eq!(answer.text("error_description"), format!("{name} is missing"));
    }
    assert_eq!(mounted.redeem(&code, &[]).await.status, 200);
}

#[tokio::test]
async fn a_code_lives_for_a_minute() {
    let mounted = Mounted::new().await;
    let (in_time, late) = (mounted.code(&[]).await, mounted.code(&[]).await);
    mounted.world.clock.advance(Duration::from_millis(59_999));
    assert_eq!(mounted.redeem(&in_time, &[]).await.status, 200);
    mounted.world.clock.advance(Duration::from_millis(1));
    assert_eq!(mounted.redeem(&late, &[]).await.error(), (400, "invalid_grant".to_owned()));
}

#[tokio::test]
async fn what_never_was_a_code_is_refused() {
    let mounted = Mounted::new().await;
    for code in ["x", &"A".repeat(43), "%00", &"A".repeat(4000)] {
        assert_eq!(mounted.redeem(code, &[]).await.error(), (400, "invalid_grant".to_owned()), "{code}");
    }
}

/// With a secret an application may do without a challenge; then a verifier from nowhere is refused, too (RFC 9700, 2.1.1).
#[tokio::test]
async fn a_verifier_is_wanted_if_and_only_if_there_was_a_challenge() {
    let mounted = Mounted::new().await;
    let without = [
        ("client_id", "web"),
        ("redirect_uri", "https://web.example/cb"),
        ("code_challenge", ""),
        ("code_challenge_method", ""),
    ];
    let with = [("client_id", "web"), ("redirect_uri", "https://web.example/cb")];
    for (asked, verifier, status) in
        [(&without[..], "", 200), (&without[..], VERIFIER, 400), (&with[..], "", 400), (&with[..], VERIFIER, 200)]
    {
        let code = mounted.code(asked).await;
        let changes = [
            ("client_id", "web"),
            ("client_secret", SECRET),
            ("redirect_uri", "https://web.example/cb"),
            ("code_verifier", verifier),
        ];
        assert_eq!(mounted.redeem(&code, &changes).await.status, status, "{asked:?} {verifier}");
    }
}

#[tokio::test]
async fn st_55_no_ticket_of_another_kind_is_a_code() {
    let mounted = Mounted::new().await;
    let ada = mounted.person("ada@example.com").await;
    let back = mounted.signed_in(&mounted.authorize(&[]).await, ada).await;
    let ticket = back.split_once("ticket=").unwrap().1;
    assert_eq!(mounted.redeem(ticket, &[]).await.error(), (400, "invalid_grant".to_owned()));
    // And it has not been spent by that.
    let code = mounted.come_back(&back).await.parameter("code");
    let request = mounted.authorize(&[]).await.parameter("request");
    let forged = format!("/oauth/v2/authorize/callback?request={request}&ticket={code}");
    mounted.come_back(&forged).await.assert_page(400, "go back to the application");
    assert_eq!(mounted.redeem(&code, &[]).await.status, 200);
}

#[tokio::test]
async fn st_32_st_27_nobody_gets_tokens_who_may_not_sign_in() {
    let mounted = Mounted::new().await;
    let code = mounted.code(&[]).await;
    let ada = mounted.person("ada@example.com").await;
    mounted.world.engine.erase_identity(&mounted.world.context(), ada).await.unwrap();
    assert_eq!(mounted.redeem(&code, &[]).await.error(), (400, "invalid_grant".to_owned()));
}

#[tokio::test]
async fn parameters_count_in_the_body_only_and_once() {
    let mounted = Mounted::new().await;
    let code = mounted.code(&[]).await;
    let query = authorize_path(&[]).split_once('?').unwrap().1.to_owned();
    let body = format!(
        "grant_type=authorization_code&client_id=app&redirect_uri=https%3A%2F%2Fapp.example%2Fcb&code_verifier={VERIFIER}&code={code}"
    );
    let in_query = mounted.post(&format!("/oauth/v2/token?{body}&{query}"), &[("x", "y")], &[]).await;
    assert_eq!(in_query.error(), (401, "invalid_client".to_owned()));
    let twice = mounted.post("/oauth/v2/token", &[("code", "a"), ("code", "b")], &[]).await;
    assert_eq!(twice.error(), (400, "invalid_request".to_owned()));
    for kind in ["application/json", "text/plain"] {
        let request =
            crate::support::request(http::Method::POST, "/oauth/v2/token", &[("content-type", kind)], body.clone());
        assert_eq!(mounted.ask(request).await.error(), (400, "invalid_request".to_owned()), "{kind}");
    }
    assert_eq!(mounted.redeem(&code, &[]).await.status, 200);
}

#[tokio::test]
async fn a_grant_that_there_is_not_is_refused() {
    let mounted = Mounted::new().await;
    for grant in ["password", "client_credentials", "implicit", "authorization_code "] {
        let answer = mounted.redeem("x", &[("grant_type", grant)]).await;
        assert_eq!(answer.error(), (400, "unsupported_grant_type".to_owned()), "{grant}");
    }
}

#[tokio::test]
async fn st_24_neither_code_nor_token_is_in_what_is_kept() {
    let mounted = Mounted::new().await;
    let code = mounted.code(&[]).await;
    let tokens = mounted.redeem(&code, &[]).await;
    mounted.world.stop().await;
    let kept = match mounted.world.postgres() {
        Some(database) => database.dump(),
        None => std::fs::read(mounted.world.database()).unwrap(),
    };
    for secret in [&code, &tokens.text("refresh_token"), &tokens.text("access_token"), &VERIFIER.to_owned()] {
        assert!(!kept.windows(32).any(|window| window == &secret.as_bytes()[..32]));
    }
    assert!(kept.windows(3).any(|window| window == b"app"), "the session's note is there, so what is kept was read");
}

#[tokio::test]
async fn an_application_with_a_secret_may_show_it_in_either_way() {
    let mounted = Mounted::new().await;
    let asked = [("client_id", "web"), ("redirect_uri", "https://web.example/cb")];
    let code = mounted.code(&asked).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("redirect_uri", "https://web.example/cb"),
        ("code_verifier", VERIFIER),
        ("code", code.as_str()),
    ];
    let tokens = mounted.post("/oauth/v2/token", &form, &[("authorization", &basic("web", SECRET))]).await;
    assert_eq!(tokens.status, 200, "{tokens}");
    assert_eq!(mounted.claims(&tokens.text("id_token")).await["aud"], json!(["web"]));
}

#[tokio::test]
async fn a_request_by_post_is_a_request() {
    let mounted = Mounted::new().await;
    let challenge = challenge(VERIFIER);
    let form = [
        ("client_id", "app"),
        ("redirect_uri", "com.example.app:/cb"),
        ("response_type", "code"),
        ("scope", "openid"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    let answer = mounted.post("/oauth/v2/authorize", &form, &[("cookie", &cookie(BROWSER))]).await;
    let ada = mounted.person("ada@example.com").await;
    let back = mounted.signed_in(&answer, ada).await;
    let answer = mounted.come_back(&back).await;
    assert_eq!(answer.target(), "com.example.app:/cb");
    let redeemed = mounted.redeem(&answer.parameter("code"), &[("redirect_uri", "com.example.app:/cb")]).await;
    assert_ne!(redeemed.json()["id_token"], Value::Null);
}
