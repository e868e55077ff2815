//! Flows that are over, and those that take their place.

use std::time::Duration;

use engine::{Policy, SendLimit};
use serde_json::{Value, json};
use testkit::world::{other_than, unlimited};

use crate::support::{ADA, CSRF_COOKIE, Mounted, NOBODY};
use crate::verifying::submit;

const REPLACED: &str = "self_service_flow_replaced";
const EXPIRED: &str = "self_service_flow_expired";
const BACK: &str = "?return_to=https://ui.test/back";

/// The configuration in which a code lives for a minute.
const SHORT_CODE: (&str, &str) = ("config: {}", "config: {lifespan: 1m}");

#[tokio::test]
async fn a_flow_that_has_passed_takes_nothing_more() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let native = mounted.native();
    let (id, code) = mounted.sent(ADA).await;
    let passed = native.bring(&id, &code).await.is(200);
    for body in [json!({"code": code}), json!({"method": "code", "email": ADA}), json!({"method": "code"})] {
        let answer = native.submit(&id, &body).await;
        let (status, error, replacement) = answer.error();
        assert_eq!((status, error.as_str(), answer.cookies().len()), (410, REPLACED, 1));
        assert_eq!(answer.header("ory-error-id"), REPLACED);
        let seen = native.see(&replacement).await.is(200).json();
        assert_eq!(
            (&seen["type"], &seen["state"], &seen["active"]),
            (&json!("api"), &json!("choose_method"), &json!("code"))
        );
        assert_eq!(seen["ui"]["messages"][0]["id"], 4_070_002);
        assert_eq!(seen["request_url"], format!("https://accounts.test{}", submit(&id)));
    }
    assert_eq!(native.see(&id).await.is(200).body, passed.body);
    assert_eq!(mounted.mails(ADA).await.len(), 1);
    // What could not be read is told there as well, and is no other flow.
    let told = native.post_text(&submit(&id), "application/json", "[]").await.is(400);
    assert_eq!((told.state().as_str(), told.messages()), ("passed_challenge", vec![1_080_002, 4_000_001]));
}

#[tokio::test]
async fn five_wrong_codes_end_a_flow_and_the_sixth_names_another() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let native = mounted.native();
    let (id, code) = mounted.sent(ADA).await;
    for _ in 0..5 {
        assert_eq!(native.bring(&id, &other_than(&code)).await.is(200).messages(), [4_070_006]);
    }
    let (status, error, replacement) = native.bring(&id, &code).await.error();
    assert_eq!((status, error.as_str()), (410, REPLACED));
    let seen = native.see(&replacement).await.is(200);
    assert_eq!((seen.state().as_str(), seen.messages()), ("choose_method", vec![4_000_001]));
    assert_eq!(seen.nodes(), ["email:email!", "method:submit=code"]);
    let old = native.see(&id).await.is(200);
    assert_eq!((old.state().as_str(), old.messages()), ("sent_email", vec![4_070_006]));
    // No code is mailed that could not pass any more.
    assert_eq!(native.send(&id, ADA).await.error().1, REPLACED);
    assert_eq!(mounted.mails(ADA).await.len(), 1);
    assert!(!mounted.is_verified(ADA).await);
    assert_eq!(native.send(&replacement, ADA).await.is(200).messages(), [1_080_003]);
    assert_eq!(native.bring(&replacement, &mounted.code(ADA).await).await.is(200).state(), "passed_challenge");
}

#[tokio::test]
async fn another_send_gives_no_more_guesses_and_fewer_may_be_configured() {
    let mounted = Mounted::with(&[("config: {}", "config: {max_submissions: 2}")]).await;
    mounted.person(ADA).await;
    let native = mounted.native();
    let (id, code) = mounted.sent(ADA).await;
    native.bring(&id, &other_than(&code)).await.is(200);
    mounted.world.clock.advance(Duration::from_secs(3));
    native.send(&id, ADA).await.is(200);
    let code = mounted.code(ADA).await;
    native.bring(&id, &other_than(&code)).await.is(200);
    assert_eq!(native.bring(&id, &code).await.error().1, REPLACED);
}

#[tokio::test]
async fn a_browser_is_sent_to_the_page_of_the_new_flow_with_a_new_cookie_and_where_it_wanted_to_go() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let browser = mounted.browser();
    let (id, token) = browser.begin_in_browser(BACK).await;
    browser.submit(&id, &json!({"method": "code", "email": ADA, "csrf_token": token})).await.is(303);
    let code = mounted.code(ADA).await;
    browser.post_form(&submit(&id), &format!("method=code&code={code}")).await.is(303);
    let before = browser.cookie(CSRF_COOKIE);
    let answer = browser.post_form(&submit(&id), &format!("method=code&code={code}")).await.is(303);
    assert!(answer.location().starts_with("https://ui.test/verification?flow="));
    assert_ne!((answer.leads_to(), browser.cookie(CSRF_COOKIE)), (id, before));
    let seen = browser.see(&answer.leads_to()).await.is(200);
    assert_eq!((seen.messages(), seen.json()["return_to"].clone()), (vec![4_070_002], json!("https://ui.test/back")));
    assert_eq!(seen.nodes(), ["email:email!", "method:submit=code", "csrf_token:hidden=*!"]);
}

#[tokio::test]
async fn a_code_that_comes_too_late_ends_its_flow() {
    let mounted = Mounted::with(&[SHORT_CODE]).await;
    mounted.person(ADA).await;
    let native = mounted.native();
    let (id, code) = mounted.sent(ADA).await;
    mounted.world.clock.advance(Duration::from_mins(2));
    let answer = native.bring(&id, &code).await;
    let (status, error, replacement) = answer.error();
    assert_eq!((status, error.as_str()), (410, EXPIRED));
    let body = answer.json();
    assert_eq!((&body["expired_at"], &body["since"]), (&json!("2026-03-01T12:01:00.000Z"), &json!(60_000_000_000_u64)));
    let seen = native.see(&replacement).await.is(200).json();
    let said = &seen["ui"]["messages"];
    assert_eq!(said[0]["id"], 4_070_005);
    assert_eq!(said[0]["context"], json!({"expired_at": "2026-03-01T12:01:00.000Z", "expired_at_unix": 1_772_366_460}));
    assert_eq!(said[0]["text"], "The verification ran out at 2026-03-01T12:01:00.000Z. Please start again.");
    assert_eq!((said.as_array().unwrap().len(), &seen["type"]), (1, &json!("api")));
    // Another code may be asked for in the old one.
    assert_eq!(native.send(&id, ADA).await.is(200).messages(), [1_080_003]);
    assert_eq!(native.bring(&id, &mounted.code(ADA).await).await.is(200).state(), "passed_challenge");
}

#[tokio::test]
async fn newer_versions_tell_a_late_code_in_its_flow() {
    let mounted = Mounted::with(&[SHORT_CODE, ("version: v26.2.0\n", "")]).await;
    mounted.person(ADA).await;
    let native = mounted.native();
    let (id, code) = mounted.sent(ADA).await;
    mounted.world.clock.advance(Duration::from_mins(2));
    let late = native.bring(&id, &code).await.is(200);
    assert_eq!((late.id(), late.state().as_str(), late.messages()), (id.clone(), "sent_email", vec![4_070_006]));
    assert_eq!(native.see(&id).await.messages(), [4_070_006]);
    let field = &late.json()["ui"]["nodes"][1]["attributes"];
    assert_eq!((&field["name"], &field["autocomplete"]), (&json!("code"), &json!("one-time-code")));
}

#[tokio::test]
async fn a_flow_whose_life_is_over_begins_again_for_a_browser() {
    let mounted = Mounted::new().await;
    let (native, script, browser) = (mounted.native(), mounted.script(), mounted.browser());
    let id = native.begin().await;
    native.send(&id, NOBODY).await.is(200);
    let (scripts, token) = script.begin_in_browser(BACK).await;
    let (browsers, _) = browser.begin_in_browser(BACK).await;
    mounted.world.clock.advance(Duration::from_mins(62));

    let answer = native.bring(&id, "123456").await.is(303);
    let fresh = answer.leads_to();
    assert_eq!(answer.location(), format!("https://accounts.test/self-service/verification/flows?id={fresh}"));
    assert_eq!(answer.cookies().len(), 1);
    // It is a browser's: who cannot keep a cookie cannot read it.
    assert_eq!(native.see(&fresh).await.error().1, "security_csrf_violation");

    let body = json!({"method": "code", "email": ADA, "csrf_token": token});
    let fresh = script.submit(&scripts, &body).await.is(303).leads_to();
    let seen = script.see(&fresh).await.is(200).json();
    assert_eq!((&seen["type"], &seen["return_to"]), (&json!("browser"), &json!("https://ui.test/back")));
    assert_eq!(seen["request_url"], format!("https://accounts.test/self-service/verification/browser{BACK}"));
    let said = &seen["ui"]["messages"];
    assert_eq!(said[0]["id"], 4_070_005);
    assert_eq!(said[0]["context"], json!({"expired_at": "2026-03-01T13:00:00.000Z", "expired_at_unix": 1_772_370_000}));

    for path in [submit(&browsers), format!("{}&code=123456", submit(&browsers))] {
        let answer = browser.get(&path).await.is(303);
        assert_eq!(answer.location(), format!("https://ui.test/verification?flow={}", answer.leads_to()));
        assert_eq!(browser.see(&answer.leads_to()).await.messages(), [4_070_005]);
    }
}

#[tokio::test]
async fn an_expired_flow_is_gone_and_says_where_another_is_begun() {
    let mounted = Mounted::new().await;
    let (native, script) = (mounted.native(), mounted.script());
    let id = native.begin().await;
    let (plain, _) = script.begin_in_browser("").await;
    let (back, _) = script.begin_in_browser("?return_to=https://ui.test/back%3Fa%3Db").await;
    mounted.world.clock.advance(Duration::from_hours(1));
    let details = |body: &Value| body["error"]["details"].clone();
    let gone = native.see(&id).await;
    assert_eq!(gone.error(), (410, String::new(), String::new()));
    assert_eq!(details(&gone.json()), json!({"api": "https://accounts.test/self-service/verification/api"}));
    let again = "https://accounts.test/self-service/verification/browser";
    let gone = script.see(&plain).await;
    assert_eq!(details(&gone.json()), json!({"redirect_to": again, "return_to": ""}));
    let gone = script.see(&back).await;
    let redirect_to = format!("{again}?return_to=https%3A%2F%2Fui.test%2Fback%3Fa%3Db");
    assert_eq!(details(&gone.json()), json!({"redirect_to": redirect_to, "return_to": "https://ui.test/back?a=b"}));
    // Whose it is is asked before when it ended.
    assert_eq!(native.see(&back).await.error().0, 403);
}

#[tokio::test]
async fn an_address_that_was_written_to_too_often_is_told_in_the_flow() {
    let limited = Policy { send_limit: Some(SendLimit::default()), ..unlimited() };
    let mounted = Mounted::under(limited, &[]).await;
    mounted.person(ADA).await;
    let native = mounted.native();
    for email in [ADA, NOBODY] {
        let first = native.begin().await;
        native.send(&first, email).await.is(200);
        // The same again at once is answered as it was and sends nothing.
        assert_eq!(native.send(&first, email).await.is(200).messages(), [1_080_003]);
        let second = native.begin().await;
        let answer = native.send(&second, email).await.is(400);
        assert_eq!((answer.state().as_str(), answer.messages()), ("choose_method", vec![4_000_001]), "{email}");
        assert_eq!(answer.header("retry-after"), "30");
        assert_eq!(native.see(&second).await.json()["ui"], answer.json()["ui"]);
    }
    assert_eq!(mounted.mails(ADA).await.len(), 1);
}

#[tokio::test]
async fn a_right_code_for_an_address_that_has_gone_to_somebody_else_verifies_nothing() {
    let mounted = Mounted::new().await;
    let ada = mounted.person(ADA).await;
    let native = mounted.native();
    let (id, code) = mounted.sent(ADA).await;
    let context = mounted.world.context();
    let change = engine::IdentityChange { addresses: Some(Vec::new()), ..engine::IdentityChange::default() };
    mounted.engine().change_identity(&context, ada, change).await.unwrap();
    mounted.person(ADA).await;
    let answer = native.bring(&id, &code).await.is(200);
    assert_eq!((answer.state().as_str(), answer.messages()), ("sent_email", vec![4_070_006]));
    assert_eq!(native.see(&id).await.messages(), [4_070_006]);
    assert!(!mounted.is_verified(ADA).await);
    let (status, error, replacement) = native.bring(&id, &code).await.error();
    assert_eq!((status, error.as_str()), (410, REPLACED));
    assert_eq!(native.see(&replacement).await.messages(), [4_070_006]);
}
