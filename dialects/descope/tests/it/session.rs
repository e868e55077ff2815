//! Sessions: refreshed, looked at and ended.

use std::time::Duration;

use http::Method;
use serde_json::json;

use crate::support::{ADA, Mounted, PROJECT, get, jwt, post, with_headers};

/// The answer to who is not signed in.
const NOBODY: &str = r#"{"sessionJwt":"","refreshJwt":"","cookieDomain":"","cookiePath":"","cookieMaxAge":0,"cookieExpiration":0,"user":null,"firstSeen":false,"idpResponse":null,"sessionExpiration":0,"claims":{},"externalToken":"","tenantSSOID":"","trustedDeviceJwt":"","nextRefreshSeconds":0,"cookieName":"","sessionCookieName":"","sessionCookieDomain":""}"#;

#[tokio::test]
async fn a_refresh_gives_a_new_session_token_and_keeps_the_refresh_token() {
    let mounted = Mounted::new().await;
    let signed_in = mounted.signed_in(ADA).await;
    let token = signed_in.refresh_jwt();
    mounted.world.clock.advance(Duration::from_mins(9));
    mounted.world.calls.take_calls();
    let answer = mounted.refresh(&token).await.ok();
    assert_eq!(mounted.world.calls.take_calls(), ["refresh"]);
    assert_eq!(answer.refresh_jwt(), "");
    let (before, after) = (jwt(&signed_in.session_jwt()).1, jwt(&answer.session_jwt()).1);
    assert_eq!(after["iat"], before["iat"].as_i64().unwrap() + 540);
    assert_eq!(after["exp"], before["exp"].as_i64().unwrap() + 540);
    assert_eq!((&after["rexp"], &after["sid"], &after["sub"]), (&before["rexp"], &before["sid"], &before["sub"]));
    let body = answer.json();
    assert_eq!(body["user"], signed_in.json()["user"]);
    assert_eq!((&body["firstSeen"], &body["cookieMaxAge"]), (&json!(false), &json!(2_419_200 - 540)));
    assert_eq!(body["cookieExpiration"], signed_in.json()["cookieExpiration"]);
    // As often as one likes.
    mounted.world.clock.advance(Duration::from_hours(24));
    mounted.refresh(&token).await.ok();
}

#[tokio::test]
async fn no_session_token_outlives_the_refresh_token() {
    let mounted = Mounted::new().await;
    let token = mounted.signed_in(ADA).await.refresh_jwt();
    mounted.world.clock.advance(Duration::from_hours(28 * 24) - Duration::from_mins(5));
    let answer = mounted.refresh(&token).await.ok();
    assert_eq!(jwt(&answer.session_jwt()).1["exp"], jwt(&token).1["exp"]);
    assert_eq!(answer.json()["cookieMaxAge"], 300);
    mounted.world.clock.advance(Duration::from_mins(5));
    mounted.refresh(&token).await.refused(401, "E064001");
}

#[tokio::test]
async fn a_refresh_token_may_come_as_a_cookie() {
    let mounted = Mounted::new().await;
    let token = mounted.signed_in(ADA).await.refresh_jwt();
    let bearer = format!("Bearer {PROJECT}");
    let usual = format!("theme=dark; DSR={token}; other=1");
    let named = format!("DSR=old.and.wrong; my-refresh={token}");
    let with = |bearer: &str, cookie: &str, name: &str| {
        let mut headers = vec![("authorization", bearer), ("cookie", cookie)];
        if !name.is_empty() {
            headers.push(("x-descope-refresh-cookie-name", name));
        }
        with_headers(Method::POST, "/v1/auth/refresh", &headers, "")
    };
    mounted.ask(with(&bearer, &usual, "")).await.ok();
    mounted.ask(with(&format!("{bearer}:"), &usual, "")).await.ok();
    mounted.ask(with(&bearer, &named, "my-refresh")).await.ok();
    mounted.ask(with(&bearer, &named, "")).await.refused(401, "E064001");
    mounted.ask(with(&bearer, &usual, "my-refresh")).await.refused(401, "E011002");
    mounted.ask(with(&format!("{bearer}:a.b.c"), &usual, "")).await.refused(401, "E064001");
    mounted.ask(with(&bearer, "DSR=opaque", "")).await.refused(401, "E011002");
    let me = [("authorization", bearer.as_str()), ("cookie", usual.as_str())];
    mounted.ask(with_headers(Method::GET, "/v1/auth/me", &me, "")).await.ok();
    // A page of another site does not get at the token of whoever looks at it.
    for (site, status) in [("same-origin", 200), ("same-site", 200), ("none", 200), ("cross-site", 401)] {
        let headers = [("authorization", bearer.as_str()), ("cookie", usual.as_str()), ("sec-fetch-site", site)];
        let answer = mounted.ask(with_headers(Method::POST, "/v1/auth/refresh", &headers, "")).await;
        assert_eq!(answer.status, status, "{site}");
    }
    // A session token does not come as one.
    mounted.ask(with_headers(Method::POST, "/v1/auth/validate", &me, "")).await.refused(401, "E011002");
}

#[tokio::test]
async fn trying_to_refresh_is_never_an_error_of_who_is_not_signed_in() {
    let mounted = Mounted::new().await;
    let signed_in = mounted.signed_in(ADA).await;
    let token = signed_in.refresh_jwt();
    let path = "/v1/auth/try-refresh";
    let answer = mounted.post_as(&token, path, "{}").await.ok();
    assert_eq!(answer.json()["user"], signed_in.json()["user"]);
    mounted.post_as(&token, "/v1/auth/logout", "").await.ok();
    for bearer in [
        PROJECT.to_owned(),
        format!("{PROJECT}:"),
        format!("{PROJECT}:a.b.c"),
        format!("{PROJECT}:key"),
        format!("{PROJECT}:{token}"),
        format!("{PROJECT}:{}", signed_in.session_jwt()),
    ] {
        let answer = mounted.ask(post(path, &bearer, "")).await.ok();
        assert_eq!(answer.body, NOBODY, "{bearer}");
    }
    mounted.ask(post(path, "P0", "")).await.refused(401, "E011008");
}

#[tokio::test]
async fn a_session_token_is_told_to_whoever_has_it_until_it_or_its_session_ends() {
    let mounted = Mounted::new().await;
    let signed_in = mounted.signed_in(ADA).await;
    let (session_jwt, refresh_jwt) = (signed_in.session_jwt(), signed_in.refresh_jwt());
    let path = "/v1/auth/validate";
    mounted.world.calls.take_calls();
    let answer = mounted.post_as(&session_jwt, path, "").await.ok();
    assert_eq!(mounted.world.calls.take_calls(), ["caller"]);
    assert_eq!(answer.json(), json!({"parsedJWT": jwt(&session_jwt).1}));
    mounted.post(path, "").await.refused(401, "E011002");
    mounted.post_as(&refresh_jwt, path, "").await.refused(401, "E064001");
    mounted.world.clock.advance(Duration::from_mins(10));
    mounted.post_as(&session_jwt, path, "").await.refused(401, "E064001");
    let session_jwt = mounted.refresh(&refresh_jwt).await.ok().session_jwt();
    mounted.post_as(&session_jwt, path, "").await.ok();
    mounted.post_as(&refresh_jwt, "/v1/auth/logout", "").await.ok();
    let answer = mounted.post_as(&session_jwt, path, "").await.refused(401, "E064001");
    assert_eq!(answer.json()["errorMessage"], "Expired due to logout");
}

#[tokio::test]
async fn logging_out_ends_one_session_and_logging_out_everywhere_all() {
    let mounted = Mounted::new().await;
    let (mut tokens, mut sessions) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let signed_in = mounted.signed_in(ADA).await;
        tokens.push(signed_in.refresh_jwt());
        sessions.push(signed_in.session_jwt());
    }
    mounted.world.calls.take_calls();
    let answer = mounted.post_as(&tokens[0], "/v1/auth/logout", "").await.ok();
    assert_eq!(mounted.world.calls.take_calls(), ["end_sessions"]);
    assert_eq!(answer.body, NOBODY);
    for path in ["/v1/auth/refresh", "/v1/auth/logout", "/v1/auth/logoutall"] {
        let answer = mounted.post_as(&tokens[0], path, "").await.refused(401, "E064001");
        assert_eq!(answer.json()["errorMessage"], "Expired due to logout");
    }
    mounted.me(&tokens[0]).await.refused(401, "E064001");
    mounted.refresh(&tokens[1]).await.ok();

    assert_eq!(mounted.post_as(&tokens[1], "/v1/auth/logoutall", r#"{"logoutType":["all"]}"#).await.ok().body, NOBODY);
    for token in &tokens {
        mounted.refresh(token).await.refused(401, "E064001");
    }
    mounted.post("/v1/auth/logout", "").await.refused(401, "E011002");
    mounted.post_as(&sessions[2], "/v1/auth/logout", "").await.refused(401, "E064001");
}

#[tokio::test]
async fn me_is_the_user_and_nothing_around_it() {
    let mounted = Mounted::new().await;
    let signed_in = mounted.signed_in(ADA).await;
    mounted.world.calls.take_calls();
    let answer = mounted.me(&signed_in.refresh_jwt()).await.ok();
    assert_eq!(mounted.world.calls.take_calls(), ["caller"]);
    assert_eq!(answer.json(), signed_in.json()["user"]);
    mounted.me(&signed_in.session_jwt()).await.refused(401, "E064001");
    mounted.ask(get("/v1/auth/me", PROJECT)).await.refused(401, "E011002");
    // Python's SDK sends a content type with a GET.
    let bearer = format!("Bearer {PROJECT}:{}", signed_in.refresh_jwt());
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    mounted.ask(with_headers(Method::GET, "/v1/auth/me", &headers, "")).await.ok();
}

#[tokio::test]
async fn the_license_lets_clients_go_as_fast_as_they_like() {
    let mounted = Mounted::new().await;
    let answer = mounted.ask(get("/v1/mgmt/license", &format!("{PROJECT}:K2management"))).await.ok();
    assert_eq!(answer.body, r#"{"rateLimitTier":"tier4"}"#);
    mounted.ask(get("/v1/mgmt/license", "P0:K2management")).await.refused(401, "E011008");
    mounted.ask(with_headers(Method::GET, "/v1/mgmt/license", &[], "")).await.refused(401, "E011002");
}
