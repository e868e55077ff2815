//! Requests that another site might have made: ST-40. The cookie and the token, and whom native clients' flows take nothing from.

use http::Method;
use serde_json::{Value, json};

use crate::support::{ADA, CSRF_COOKIE, Mounted};
use crate::verifying::submit;

const VIOLATION: &str = "security_csrf_violation";

fn reject_reason(body: &Value) -> Option<&str> {
    body["error"]["details"]["reject_reason"].as_str()
}

#[tokio::test]
async fn st_40_a_browsers_flow_takes_an_address_with_its_cookie_and_a_token_only() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let script = mounted.script();
    let (id, token) = script.begin_in_browser("").await;
    let (_, others_token) = mounted.script().begin_in_browser("").await;
    let cookie = script.cookie(CSRF_COOKIE);
    let stranger = mounted.script();
    stranger.take_cookie("theme", "dark");
    let with = |token: Value| json!({"method": "code", "email": ADA, "csrf_token": token});
    // No cookies; cookies, and not ours; no token, a token of somebody else, nonsense.
    let mut reasons = Vec::new();
    for (visitor, token) in [
        (&mounted.native(), json!(token)),
        (&stranger, json!(token)),
        (&script, json!(null)),
        (&script, json!(others_token)),
        (&script, json!("AAAA")),
    ] {
        let answer = visitor.submit(&id, &with(token)).await;
        assert_eq!(answer.error(), (403, VIOLATION.to_owned(), String::new()));
        // A refusal changes no cookie.
        assert_eq!((answer.cookies(), answer.header("ory-error-id")), (vec![], VIOLATION));
        let details = &answer.json()["error"]["details"];
        assert!(details["docs"].is_string() && details["hint"].is_string());
        reasons.push(reject_reason(&answer.json()).unwrap().to_owned());
    }
    reasons.dedup();
    assert_eq!(reasons.len(), 3);
    assert_eq!((mounted.mails(ADA).await.len(), script.cookie(CSRF_COOKIE)), (0, cookie.clone()));
    // The header is not looked at; the raw cookie is as good as a token; and a token of another flow of this browser.
    let headers = [("content-type", "application/json"), ("x-csrf-token", token.as_str())];
    let request = script.request(Method::POST, &submit(&id), &headers, with(json!(null)).to_string());
    assert_eq!(script.ask(request).await.error().0, 403);
    let (_, second) = script.begin_in_browser("").await;
    for token in [token, cookie.unwrap(), second] {
        let (id, _) = script.begin_in_browser("").await;
        assert_eq!(script.submit(&id, &with(json!(token))).await.is(200).state(), "sent_email");
    }
}

#[tokio::test]
async fn st_40_a_form_of_another_site_ends_on_the_error_page() {
    let mounted = Mounted::new().await;
    let browser = mounted.browser();
    let (id, token) = browser.begin_in_browser("").await;
    let answer = browser.post_form(&submit(&id), &format!("method=code&email={ADA}")).await.is(303);
    assert!(answer.location().starts_with("https://ui.test/error?id="));
    let page = mounted.script();
    let read = |answer: &crate::support::Answer| format!("/self-service/errors?id={}", answer.leads_to());
    let error = page.get(&read(&answer)).await.is(200).json();
    assert_eq!((&error["error"]["id"], reject_reason(&error)), (&json!(VIOLATION), None));
    // Without the cookie the token is nothing.
    let form = format!("method=code&email={ADA}&csrf_token={}", token.replace('+', "%2B").replace('=', "%3D"));
    let answer = mounted.browser().post_form(&submit(&id), &form).await.is(303);
    let error = page.get(&read(&answer)).await.is(200).json();
    assert!(reject_reason(&error).is_some());
    // What needs no preflight of a browser is no way around: the type is refused before.
    let simple = json!({"method": "code", "email": ADA, "csrf_token": token}).to_string();
    browser.post_text(&submit(&id), "text/plain", &simple).await.is(303);
    assert_eq!(browser.see(&id).await.messages(), [4_000_001]);
    assert_eq!(mounted.mails(ADA).await.len(), 0);
}

#[tokio::test]
async fn st_40_a_native_clients_flow_takes_no_address_from_a_browser() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let native = mounted.native();
    let id = native.begin().await;
    let body = json!({"method": "code", "email": ADA}).to_string();
    for (name, value) in [("origin", "https://ui.test"), ("cookie", "theme=dark"), ("cookie", "__cf_bm=1; theme=dark")]
    {
        let headers = [("content-type", "application/json"), (name, value)];
        let answer = native.ask(native.request(Method::POST, &submit(&id), &headers, body.clone())).await.is(400);
        assert_eq!(answer.messages().last(), Some(&4_000_001), "{name}");
        assert_eq!(answer.nodes(), ["email:email=ada@example.org!", "method:submit=code", "csrf_token:hidden=!"]);
    }
    assert_eq!(mounted.mails(ADA).await.len(), 0);
    // A proxy's own cookies are nobody's browser.
    let headers = [("content-type", "application/json"), ("cookie", "__cf_bm=1; cf_clearance=2")];
    native.ask(native.request(Method::POST, &submit(&id), &headers, body)).await.is(200);
}

#[tokio::test]
async fn a_browsers_flow_is_read_by_its_browser_alone() {
    let mounted = Mounted::new().await;
    let (first, second) = (mounted.script(), mounted.script());
    let (id, _) = first.begin_in_browser("").await;
    first.see(&id).await.is(200);
    let refused = mounted.native().see(&id).await;
    assert_eq!((refused.error().1.as_str(), reject_reason(&refused.json()).is_some()), (VIOLATION, true));
    // Whoever reads is given a cookie where he has none, and it does not help.
    assert_eq!(second.see(&id).await.cookies().len(), 1);
    let refused = second.see(&id).await;
    let facts = (refused.error().1, reject_reason(&refused.json()).is_some(), refused.cookies().len());
    assert_eq!(facts, (VIOLATION.to_owned(), false, 0));
}

#[tokio::test]
async fn a_code_needs_neither_cookie_nor_token_and_whoever_brings_it_sees_the_end() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let (first, stranger) = (mounted.script(), mounted.script());
    let (id, token) = first.begin_in_browser("").await;
    first.submit(&id, &json!({"method": "code", "email": ADA, "csrf_token": token})).await.is(200);
    let code = mounted.code(ADA).await;

    // A wrong one tells him nothing that is the first browser's: the token is good for nobody.
    let wrong = stranger.bring(&id, "1").await.is(200);
    assert_eq!(wrong.cookies(), []);
    let useless = wrong.value_of("csrf_token");
    let body = json!({"method": "code", "email": ADA, "csrf_token": useless});
    assert_eq!(first.submit(&id, &body).await.error().1, VIOLATION);

    let passed = stranger.bring(&id, &code).await.is(200);
    assert_eq!((passed.state().as_str(), passed.cookies().len()), ("passed_challenge", 1));
    assert_eq!(passed.nodes(), ["csrf_token:hidden=*!", "continue:a"]);
    stranger.see(&id).await.is(200);
    assert_eq!(first.see(&id).await.error().0, 403);
}

#[tokio::test]
async fn the_first_browser_keeps_its_flow_and_its_cookie_when_it_brings_the_code() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let script = mounted.script();
    let (id, token) = script.begin_in_browser("").await;
    script.submit(&id, &json!({"method": "code", "email": ADA, "csrf_token": token})).await.is(200);
    let code = mounted.code(ADA).await;
    mounted.world.calls.take_calls();
    assert_eq!(script.bring(&id, &code).await.is(200).cookies(), []);
    assert_eq!(mounted.world.calls.take_calls(), ["flow", "verify"]);
}
