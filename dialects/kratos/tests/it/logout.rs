//! Signing out.

use http::Method;
use serde_json::json;

use crate::support::{ADA, Answer, Mounted, Visitor};

const COOKIE: &str = "ory_kratos_session";

/// Begins to sign out: the token.
async fn token(visitor: &Visitor<'_>) -> String {
    let answer = visitor.get("/self-service/logout/browser").await.is(200).json();
    let token = answer["logout_token"].as_str().unwrap().to_owned();
    assert_eq!(answer["logout_url"], format!("https://accounts.test/self-service/logout?token={token}"));
    token
}

async fn out(visitor: &Visitor<'_>, token: &str) -> Answer {
    visitor.get(&format!("/self-service/logout?token={token}")).await
}

#[tokio::test]
async fn a_browser_signs_out_by_a_link_and_its_session_is_over() {
    let bye = (
        "registration: {ui_url",
        "logout: {after: {default_browser_return_url: https://ui.test/bye}}\n    registration: {ui_url",
    );
    let mounted = Mounted::with(&[bye]).await;
    mounted.person(ADA).await;
    let script = mounted.script();
    script.sign_in(&mounted, ADA).await;
    let stale = script.cookie(COOKIE).unwrap();
    let token = token(&script).await;
    let browser = script.accepting("text/html");
    let left = out(&browser, &token).await.is(303);
    assert_eq!(left.location(), "https://ui.test/bye");
    let line = left
        .headers
        .get_all("set-cookie")
        .iter()
        .map(|line| line.to_str().unwrap())
        .find(|line| line.starts_with(COOKIE));
    assert!(line.unwrap().contains("Max-Age=0") || line.unwrap().contains("Max-Age=-"), "{left}");
    assert!(left.cookies().iter().any(|(name, _)| name.starts_with("csrf_token_")), "{left}");
    let stale = format!("{COOKIE}={stale}");
    mounted.native().whoami(&[("cookie", &stale)]).await.is(401);
    // A second time there is nobody to sign out.
    browser.take_cookie(COOKIE, stale.split_once('=').unwrap().1);
    assert!(out(&browser, &token).await.is(303).location().starts_with("https://ui.test/error?id="));
    let script = browser.accepting("application/json");
    assert_eq!(out(&script, &token).await.error().1, "session_inactive");
}

#[tokio::test]
async fn a_script_signs_out_and_is_told_nothing() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let script = mounted.script();
    script.sign_in(&mounted, ADA).await;
    let token = token(&script).await;
    let left = out(&script, &token).await.is(204);
    assert_eq!(left.body, "");
    script.whoami(&[]).await.is(401);
}

#[tokio::test]
async fn one_goes_where_one_may_after_signing_out() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let script = mounted.script();
    script.sign_in(&mounted, ADA).await;
    let path = "/self-service/logout/browser?return_to=";
    assert_eq!(
        script.get(&format!("{path}https://evil.test/")).await.error().1,
        "self_service_flow_return_to_forbidden"
    );
    let answer = script.get(&format!("{path}https://ui.test/in")).await.is(200).json();
    let url = answer["logout_url"].as_str().unwrap();
    let url = url.strip_prefix("https://accounts.test").unwrap();
    assert!(url.ends_with("&return_to=https%3A%2F%2Fui.test%2Fin"), "{url}");
    let browser = script.accepting("text/html");
    // A place that is not allowed is not gone to, and one is signed out all the same.
    let elsewhere = url.replace("ui.test", "evil.test");
    assert_eq!(browser.get(&elsewhere).await.is(303).location(), "https://ui.test/");
}

#[tokio::test]
async fn the_link_of_one_session_ends_no_other_and_a_look_at_it_ends_none() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let (first, second) = (mounted.script(), mounted.script());
    first.sign_in(&mounted, ADA).await;
    second.sign_in(&mounted, ADA).await;
    let token = token(&first).await;
    assert_eq!(out(&second, &token).await.error().0, 403);
    assert_eq!(first.get("/self-service/logout").await.error().0, 400);
    assert_eq!(out(&mounted.script(), &token).await.error(), (401, "session_inactive".to_owned(), String::new()));
    // ST-37
    let path = format!("/self-service/logout?token={token}");
    let looked = first.ask(first.request(Method::HEAD, &path, &[], "")).await;
    assert_eq!((looked.status, looked.cookies().len()), (204, 0));
    first.whoami(&[]).await.is(200);
    second.whoami(&[]).await.is(200);
    assert_eq!(mounted.script().get("/self-service/logout/browser").await.error().1, "session_inactive");
}

#[tokio::test]
async fn a_native_client_signs_out_with_its_token_as_often_as_it_likes() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let (_, token) = mounted.signed_in(ADA).await;
    let native = mounted.native();
    let end = async |content_type: &str, body: String| {
        let headers = [("content-type", content_type)];
        native.ask(native.request(Method::DELETE, "/self-service/logout/api", &headers, body)).await
    };
    for (body, status) in
        [("{}", 403), (r#"{"session_token":"x"}"#, 403), (r#"{"session_token":null}"#, 403), ("", 400), ("x", 400)]
    {
        assert_eq!(
            end("application/json", body.to_owned()).await.error(),
            (status, String::new(), String::new()),
            "{body}"
        );
    }
    let body = json!({"session_token": token, "more": 1}).to_string();
    assert_eq!(end("text/plain", body.clone()).await.error().0, 400);
    native.whoami(&[("x-session-token", &token)]).await.is(200);
    for _ in 0..2 {
        assert_eq!(end("application/json", body.clone()).await.is(204).body, "");
        native.whoami(&[("x-session-token", &token)]).await.is(401);
    }
}
