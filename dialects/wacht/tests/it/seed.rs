//! The published request, byte for byte but for its id and code, and the published answer.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::support::{ADA, Kind, Mounted, Shape, with_headers};

/// The answer as published.
const PUBLISHED: &str = r#"{
"status": 200,
"message": "",
"data": {
"signin_attempts": [
{
"id": "123456789",
"method": "email_otp",
"completed": true,
"created_at": "2024-01-01T12:00:00Z"
}
],
"signins": [
{
"id": "987654321",
"user_id": "456789123",
"created_at": "2024-01-01T12:00:00Z"
}
],
"signup_attempts": [],
"active_signin": {
"id": "987654321",
"user_id": "456789123",
"created_at": "2024-01-01T12:00:00Z"
}
},
"session": {
"signin_attempts": [
{
"id": "123456789",
"method": "email_otp",
"completed": true,
"created_at": "2024-01-01T12:00:00Z"
}
],
"signins": [
{
"id": "987654321",
"user_id": "456789123",
"created_at": "2024-01-01T12:00:00Z"
}
],
"signup_attempts": [],
"active_signin": {
"id": "987654321",
"user_id": "456789123",
"created_at": "2024-01-01T12:00:00Z"
}
},
"errors": []
}"#;

/// Fails unless `actual` has all that `published` has: the same words and truths, ids for ids, times for times.
#[track_caller]
fn assert_shape(place: &str, published: &Value, actual: &Value) {
    match (published, actual) {
        (Value::Object(published), Value::Object(actual)) => {
            for (name, published) in published {
                let place = format!("{place}.{name}");
                assert_shape(&place, published, actual.get(name).unwrap_or_else(|| panic!("no {place}")));
            }
        }
        (Value::Array(published), Value::Array(actual)) => {
            assert_eq!(published.len(), actual.len(), "{place}");
            for (published, actual) in published.iter().zip(actual) {
                assert_shape(place, published, actual);
            }
        }
        (Value::String(published), Value::String(actual)) if place.ends_with("id") => {
            assert!(published.bytes().chain(actual.bytes()).all(|byte| byte.is_ascii_digit()), "{place}: {actual}");
            assert!(!actual.starts_with('0'), "{place}: {actual}");
        }
        (Value::String(published), Value::String(actual)) if place.ends_with("_at") => {
            let form = |text: &str| text.replace(|digit: char| digit.is_ascii_digit(), "0");
            assert_eq!(form(published), form(actual), "{place}");
        }
        (published, actual) => assert_eq!(published, actual, "{place}"),
    }
}

#[tokio::test]
async fn the_published_request_gets_the_published_answer() {
    let mounted = Mounted::production().await;
    mounted.has_account(ADA).await;
    mounted.world.clock.advance(Duration::from_millis(789));
    let browser = mounted.browser();
    let attempt = browser.prepared(Kind::SignIn, ADA).await;
    let code = mounted.code(ADA).await;
    let body = "{\n\"signin_attempt_id\": \"123456789\",\n\"code\": \"123456\"\n}";
    let body = body.replace("123456789", &attempt.id).replace("\"123456\"", &format!("{code:?}"));
    let cookie = format!("__session={}", browser.token());
    let headers = [("content-type", "application/json"), ("cookie", cookie.as_str())];
    let request = with_headers(Method::POST, "/auth/attempt-verification", &headers, body);
    let answer = mounted.ask(request).await.ok();

    let json = answer.json();
    let published: Value = serde_json::from_str(PUBLISHED).unwrap();
    assert_shape("", &published, &json);
    assert_eq!(json.as_object().unwrap().len(), published.as_object().unwrap().len());
    assert_eq!(json["data"], json["session"]);
    let session = &json["session"];
    assert_eq!(session["signin_attempts"][0]["id"], json!(attempt.id));
    assert_eq!(session["active_signin"], session["signins"][0]);
    assert_eq!(session["active_signin_id"], session["signins"][0]["id"]);
    assert_eq!(session["active_signin"]["user"]["primary_email_address"]["email"], json!(ADA));
    assert_eq!(session["active_signin"]["user_id"], session["active_signin"]["user"]["id"]);
    assert_eq!(session["signin_attempts"][0]["user_id"], session["active_signin"]["user_id"]);

    let cookie = answer.header("set-cookie");
    let (token, attributes) = cookie.strip_prefix("__session=").unwrap().split_once("; ").unwrap();
    assert_ne!(token, browser.token());
    let expected = "Path=/; Domain=example.com; Expires=Sun, 08 Mar 2026 12:00:05 GMT; Max-Age=604800; HttpOnly; Secure; SameSite=Lax";
    assert_eq!(attributes, expected);
    assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("x-development-session"), "");
    let lengths = answer.headers.get_all("set-cookie").iter().count();
    assert_eq!(lengths, 1);

    browser.keep(token);
    assert_eq!(browser.get("/session").await.ok().active().as_deref(), Some(ADA));
}

#[tokio::test]
async fn a_verification_is_one_write_and_two_reads_of_the_session() {
    for shape in Shape::ALL {
        for kind in Kind::ALL {
            let mounted = Mounted::new().await;
            if kind == Kind::SignIn {
                mounted.has_account(ADA).await;
            }
            let browser = mounted.browser_that_speaks(shape);
            let attempt = browser.open(kind, ADA).await.ok().attempt(kind);
            assert_eq!(mounted.world.calls.take_calls(), ["open_flow"], "a new session is not even looked up");
            browser.prepare(&attempt).await.ok();
            assert_eq!(mounted.world.calls.take_calls(), ["device", "start"]);
            let code = mounted.code(ADA).await;
            mounted.world.calls.take_calls();
            let stored = mounted.world.events.stored();
            browser.verify(&attempt, &code).await.ok();
            assert_eq!(mounted.world.calls.take_calls(), ["device", "verify", "device"]);
            assert_eq!(mounted.world.events.stored() - stored, 1);
        }
    }
}

#[tokio::test]
async fn whoever_only_looks_writes_nothing() {
    let mounted = Mounted::new().await;
    let browser = mounted.browser();
    let stored = mounted.world.events.stored();
    let first = browser.get("/session").await.ok();
    let second = browser.get("/session").await.ok();
    assert_eq!(first.session()["id"], second.session()["id"]);
    assert!(first.token().is_some() && second.token().is_none(), "it has one");
    for path in ["/deployment", "/session", "/auth/identifier-availability?type=email&identifier=ada@example.com"] {
        browser.get(path).await.ok();
    }
    browser.post("/session/sign-out", &[]).await.ok();
    browser.get("/me").await.refused(401, "NOT_AUTHENTICATED");
    assert_eq!(mounted.world.events.stored() - stored, 0);
}
