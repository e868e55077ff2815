//! How sessions travel, and which pages may ask: ST-40.

use http::Method;
use serde_json::{Value, json};

use crate::support::{ADA, Answer, Kind, Mounted, post_form, with_headers};

const APP: &str = "https://app.example.com";
const OURS: &str = "https://frontend.example.com";
const STRANGER: &str = "https://evil.example";

async fn get(mounted: &Mounted, path: &str, headers: &[(&str, &str)]) -> Answer {
    mounted.ask(with_headers(Method::GET, path, headers, "")).await
}

#[tokio::test]
async fn in_staging_the_token_comes_in_the_query_or_in_a_header_and_goes_out_in_a_header() {
    let mounted = Mounted::new().await;
    let first = get(&mounted, "/deployment?__dev_session__=", &[]).await.ok();
    assert_eq!(first.header("set-cookie"), "");
    let token = first.header("x-development-session").to_owned();
    assert_eq!(token.len(), 48);
    for answer in [
        get(&mounted, &format!("/session?__dev_session__={token}"), &[]).await,
        get(&mounted, &format!("/session?x=1&__dev_session__={token}"), &[]).await,
        get(&mounted, "/session", &[("x-development-session", &token)]).await,
        get(&mounted, "/session?__dev_session__=", &[("x-development-session", &token)]).await,
    ] {
        let answer = answer.ok();
        assert_eq!((answer.token(), &answer.session()["id"]), (None, &first.session()["id"]));
    }
    for nothing in [
        get(&mounted, "/session?__dev_session__=", &[]).await,
        get(&mounted, &format!("/session?__dev_session__={token}x"), &[]).await,
        get(&mounted, &format!("/session?__dev_session__={token}&__dev_session__={token}"), &[]).await,
        get(&mounted, "/session", &[("cookie", &format!("__session={token}"))]).await,
    ] {
        let answer = nothing.ok();
        assert_ne!(answer.session()["id"], first.session()["id"]);
        assert!(answer.token().is_some_and(|fresh| fresh != token), "whatever fails is a new session, and no error");
    }
}

#[tokio::test]
async fn in_production_it_is_a_cookie_and_nothing_else() {
    let mounted = Mounted::production().await;
    let first = get(&mounted, "/session", &[]).await.ok();
    assert_eq!(first.header("x-development-session"), "");
    let token = first.token().unwrap();
    for cookies in [
        format!("__session={token}"),
        format!("a=b; __session={token}; c=d"),
        format!("__session=x; __session={token}"),
    ] {
        let answer = get(&mounted, "/session", &[("cookie", &cookies)]).await.ok();
        assert_eq!(answer.session()["id"], first.session()["id"]);
        assert_eq!(answer.token(), None);
    }
    for answer in [
        get(&mounted, &format!("/session?__dev_session__={token}"), &[]).await,
        get(&mounted, "/session", &[("x-development-session", &token)]).await,
        get(&mounted, "/session", &[("cookie", &format!("__Session={token}"))]).await,
    ] {
        assert_ne!(answer.ok().session()["id"], first.session()["id"]);
    }
}

#[tokio::test]
async fn a_token_that_was_altered_anywhere_is_nothing() {
    let mounted = Mounted::new().await;
    mounted.has_account(ADA).await;
    let browser = mounted.browser();
    browser.signs(Kind::SignIn, ADA).await;
    let token = browser.token();
    for place in 0..token.len() {
        for other in ['A', 'B', '_'] {
            let mut altered: Vec<char> = token.chars().collect();
            if altered[place] == other {
                continue;
            }
            altered[place] = other;
            let altered: String = altered.into_iter().collect();
            let answer = get(&mounted, &format!("/session?__dev_session__={altered}"), &[]).await.ok();
            assert_eq!(answer.session()["active_signin"], Value::Null, "{place} {other}");
        }
    }
    let answer = get(&mounted, &format!("/session?__dev_session__={token}"), &[]).await.ok();
    assert_eq!(answer.active().as_deref(), Some(ADA));
}

#[tokio::test]
async fn st_40_in_production_a_page_of_somebody_else_gets_nothing_and_sets_nothing() {
    let mounted = Mounted::production().await;
    mounted.has_account(ADA).await;
    let browser = mounted.browser();
    let attempt = browser.prepared(Kind::SignIn, ADA).await;
    let code = mounted.code(ADA).await;
    let cookie = format!("__session={}", browser.token());
    let verify = format!("/auth/attempt-verification?attempt_identifier={}&identifier_type=signin", attempt.id);
    let stored = mounted.world.events.stored();
    for strange in [
        ("origin", STRANGER),
        ("origin", "null"),
        ("origin", "https://example.com"),
        ("origin", "https://app.example.com.evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        for with_cookie in [true, false] {
            for (path, fields) in [
                (verify.as_str(), &[("verification_code", code.as_str())][..]),
                ("/auth/signin", &[("strategy", "email_otp"), ("email", ADA)]),
                ("/session/sign-out", &[]),
            ] {
                let mut request = post_form(path, fields);
                request.headers_mut().insert(strange.0, strange.1.parse().unwrap());
                if with_cookie {
                    request.headers_mut().insert("cookie", cookie.parse().unwrap());
                }
                let answer = mounted.ask(request).await.refused(403, "UNAUTHORIZED");
                assert_eq!(answer.session(), Value::Null);
                assert_eq!((answer.header("set-cookie"), answer.header("access-control-allow-origin")), ("", ""));
            }
            get(&mounted, "/session", &[strange, ("cookie", &cookie)]).await.refused(403, "UNAUTHORIZED");
        }
    }
    assert_eq!(mounted.world.events.stored() - stored, 0);
    for page in [APP, OURS] {
        let answer =
            get(&mounted, "/session", &[("origin", page), ("cookie", &cookie), ("sec-fetch-site", "same-site")])
                .await
                .ok();
        assert_eq!(answer.header("access-control-allow-origin"), page);
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        assert!(answer.header("vary").contains("origin"), "{answer}");
    }
    assert_eq!(browser.verify(&attempt, &code).await.ok().active().as_deref(), Some(ADA));
}

#[tokio::test]
async fn st_40_a_form_that_pretends_to_be_text_is_refused() {
    for mounted in [Mounted::new().await, Mounted::production().await] {
        let browser = mounted.browser();
        let body = json!({"strategy": "email_otp", "email": ADA}).to_string();
        for content_type in ["text/plain", "text/plain; boundary=x", "application/json5"] {
            let request = with_headers(Method::POST, "/auth/signin", &[("content-type", content_type)], body.clone());
            browser.ask(request).await.refused(415, "BAD_REQUEST_BODY");
        }
        assert_eq!(browser.get("/session").await.ok().session()["signin_attempts"], json!([]));
    }
}

#[tokio::test]
async fn in_staging_any_page_may_ask_and_read_the_token_but_not_with_credentials() {
    let mounted = Mounted::new().await;
    let answer = get(&mounted, "/session", &[("origin", STRANGER), ("sec-fetch-site", "cross-site")]).await.ok();
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!(answer.header("access-control-allow-credentials"), "");
    assert_eq!(answer.header("access-control-expose-headers"), "x-development-session,retry-after");
}

#[tokio::test]
async fn a_preflight_makes_no_session() {
    for (mounted, expected) in [(Mounted::new().await, "*"), (Mounted::production().await, APP)] {
        let headers = [
            ("origin", APP),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type,x-development-session"),
        ];
        for path in ["/auth/signin", "/auth/attempt-verification", "/session/sign-out"] {
            let answer = mounted.ask(with_headers(Method::OPTIONS, path, &headers, "")).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.token(), None);
            assert_eq!(answer.header("access-control-allow-origin"), expected);
            assert_eq!(answer.header("access-control-allow-headers"), "content-type,x-development-session");
            assert!(answer.header("access-control-allow-methods").contains("POST"));
        }
    }
    let mounted = Mounted::production().await;
    let headers = [("origin", STRANGER), ("access-control-request-method", "POST")];
    let answer = mounted.ask(with_headers(Method::OPTIONS, "/auth/signin", &headers, "")).await;
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn what_is_well_known_is_anybodys_and_has_no_session() {
    let mounted = Mounted::production().await;
    for path in ["/.well-known/jwks.json", "/.well-known/jwk", "/.well-known/meta"] {
        let answer = get(&mounted, path, &[("origin", STRANGER), ("sec-fetch-site", "cross-site")]).await;
        assert_eq!((answer.status.as_u16(), answer.token()), (200, None), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), STRANGER);
    }
}
