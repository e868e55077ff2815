//! Submissions that cannot be read, or say what cannot be done: told in the flow, which stays as good as it was.

use http::Method;
use serde_json::{Value, json};

use crate::support::{ADA, Mounted, NOBODY};
use crate::verifying::submit;

/// What is said about the field for an address.
fn said_of_email(body: &Value) -> Vec<Value> {
    let nodes = body["ui"]["nodes"].as_array().unwrap();
    let node = nodes.iter().find(|node| node["attributes"]["name"] == "email").unwrap();
    let said = node["messages"].as_array().unwrap().iter();
    said.map(|message| json!([message["id"], message["context"]])).collect()
}

#[tokio::test]
async fn an_address_that_is_none_is_told_on_its_field_and_errors_add_up() {
    let mounted = Mounted::new().await;
    let native = mounted.native();
    let id = native.begin().await;
    let missing = json!([4_000_002, {"property": "email"}]);
    for body in [json!({"method": "code"}), json!({"method": "code", "email": ""})] {
        let answer = native.submit(&id, &body).await.is(400);
        assert_eq!((answer.state().as_str(), answer.messages()), ("choose_method", vec![]));
        assert_eq!(answer.nodes(), ["email:email=! 4000002", "method:submit=code", "csrf_token:hidden=!"]);
        assert_eq!(said_of_email(&answer.json()), std::slice::from_ref(&missing));
    }
    let long = format!("{}@example.org", "a".repeat(330));
    let mut said = vec![missing.clone()];
    for (sent, told) in [
        (json!("not-an-address"), "not-an-address"),
        (json!(long), long.as_str()),
        (json!(12), "12"),
        (json!(" ada@example.org "), " ada@example.org "),
        (json!("ada@example.org,bob@example.org"), "ada@example.org,bob@example.org"),
    ] {
        let answer = native.submit(&id, &json!({"method": "code", "email": sent})).await.is(400);
        said.push(json!([4_000_040, {"value": told}]));
        assert_eq!(said_of_email(&answer.json()), said);
        assert_eq!(answer.nodes().len(), 3);
    }
    // Also beside a code, and without anything being tried.
    let answer = native.submit(&id, &json!({"code": "123456", "email": "x"})).await.is(400);
    assert_eq!(answer.messages(), [0_u64; 0]);
    assert_eq!(native.see(&id).await.json()["ui"], answer.json()["ui"]);
    // Another field takes the place of this one.
    let answer = native.submit(&id, &json!({"method": "code"})).await.is(400);
    assert_eq!(said_of_email(&answer.json()), [missing]);
    // And a code that is sent ends all of it.
    let answer = native.send(&id, NOBODY).await.is(200);
    assert_eq!(answer.messages(), [1_080_003]);
    assert_eq!(
        answer.nodes(),
        ["method:hidden=code", "code:text!", "method:submit=code", "email:submit=nobody@example.org"]
    );
}

#[tokio::test]
async fn what_is_kept_of_what_strangers_send_is_bounded() {
    let mounted = Mounted::new().await;
    let native = mounted.native();
    let id = native.begin().await;
    let long = "ä".repeat(20_000);
    for _ in 0..40 {
        native.submit(&id, &json!({"method": "code", "email": long})).await.is(400);
        native.submit(&id, &json!({"email": format!("{ADA}{}", "a".repeat(100))})).await.is(400);
    }
    let memo = mounted.engine().flow(mounted.handle(&id)).await.unwrap().memo.unwrap();
    assert!(memo.len() < 32_768, "{}", memo.len());
    assert_eq!(native.send(&id, NOBODY).await.is(200).messages(), [1_080_003]);
    let before = mounted.world.engine.flow(mounted.handle(&id)).await.unwrap().memo.unwrap();
    assert!(before.len() < 500, "{before}");
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_told_about_the_whole() {
    let mounted = Mounted::new().await;
    let native = mounted.native();
    let id = native.begin().await;
    let mut told = Vec::new();
    for (content_type, body) in [
        ("application/json", ""),
        ("application/json", r#"{"method":"code""#),
        ("application/json", "[]"),
        ("application/json", r#""code""#),
        ("text/plain", r#"{"method":"code","email":"ada@example.org"}"#),
        ("multipart/form-data; boundary=x", "--x\r\n"),
    ] {
        told.push(4_000_001);
        let answer = native.post_text(&submit(&id), content_type, body).await.is(400);
        assert_eq!((answer.state().as_str(), answer.messages()), ("choose_method", told.clone()), "{body}");
        assert_eq!(answer.nodes(), ["email:email!", "method:submit=code"]);
        let message = answer.json()["ui"]["messages"][told.len() - 1].clone();
        assert_eq!(message["text"], message["context"]["reason"]);
        assert!(message["text"].as_str().unwrap().len() > 20);
    }
    let request = native.request(Method::POST, &submit(&id), &[], r#"{"method":"code"}"#);
    assert_eq!(native.ask(request).await.is(400).messages().len(), told.len() + 1);
    // Nothing of it harms the flow.
    assert_eq!(native.send(&id, NOBODY).await.is(200).messages(), [1_080_003]);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_413_and_no_flow() {
    let mounted = Mounted::new().await;
    let native = mounted.native();
    let id = native.begin().await;
    let body = json!({"method": "code", "email": "a".repeat(6 * 1024 * 1024)});
    let (status, error, _) = native.submit(&id, &body).await.error();
    assert_eq!((status, error.as_str()), (413, ""));
    assert_eq!(native.see(&id).await.messages(), [0_u64; 0]);
}

#[tokio::test]
async fn no_method_or_another_one_is_told_and_the_flow_stays_good() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let native = mounted.native();
    let id = native.begin().await;
    for (body, value) in [
        (json!({"email": ADA}), ADA),
        (json!({}), ""),
        (json!({"method": "link", "email": ADA}), ADA),
        (json!({"method": "", "token": "abc"}), ""),
    ] {
        let answer = native.submit(&id, &body).await.is(400);
        assert_eq!(answer.messages().last(), Some(&4_010_006), "{body}");
        assert_eq!(answer.json()["active"], "code");
        assert_eq!(answer.nodes(), [&format!("email:email={value}!"), "method:submit=code", "csrf_token:hidden=!"]);
    }
    assert_eq!(native.send(&id, ADA).await.is(200).messages(), [1_080_003]);
    let code = mounted.code(ADA).await;
    let answer = native.submit(&id, &json!({"method": "carrier-pigeon", "code": code})).await.is(400);
    assert_eq!(answer.messages(), [1_080_003]);
    assert_eq!(
        answer.nodes(),
        ["method:hidden=code 4000001", "code:text!", "method:submit=code", "email:submit=ada@example.org"]
    );
    assert_eq!(native.submit(&id, &json!({"code": code})).await.is(200).state(), "passed_challenge");
}

#[tokio::test]
async fn a_transient_payload_is_an_object_or_refused() {
    let mounted = Mounted::new().await;
    let native = mounted.native();
    let id = native.begin().await;
    for payload in [json!("nope"), json!(1), json!([])] {
        let body = json!({"method": "code", "email": ADA, "transient_payload": payload});
        assert_eq!(native.submit(&id, &body).await.error().0, 400);
    }
    let body = json!({"method": "code", "email": ADA, "transient_payload": {"campaign": "spring"}});
    let answer = native.submit(&id, &body).await.is(200);
    assert_eq!((answer.state().as_str(), answer.json().get("transient_payload")), ("sent_email", None));
}

#[tokio::test]
async fn a_field_given_twice_counts_as_given_last_and_the_query_wins_over_json() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let native = mounted.native();
    let id = native.begin().await;
    let twice = format!(r#"{{"method":"x","email":"{NOBODY}","method":"code","email":"{ADA}"}}"#);
    let answer = native.post_text(&submit(&id), "application/json", &twice).await.is(200);
    assert_eq!(answer.nodes()[3], "email:submit=ada@example.org");
    let code = mounted.code(ADA).await;
    let path = format!("{}&code={code}", submit(&id));
    assert_eq!(native.post(&path, &json!({"method": "code", "code": "1"})).await.is(200).state(), "passed_challenge");
}

#[tokio::test]
async fn a_flow_that_is_not_there_is_told_as_json_or_on_the_error_page() {
    let mounted = Mounted::new().await;
    let native = mounted.native();
    let unknown = submit("6d1f0c4e-8a5d-4b6e-9f0a-2b1c3d4e5f60");
    let body = json!({"method": "code", "email": ADA});
    for (path, status) in
        [("/self-service/verification", 400), ("/self-service/verification?flow=nonsense", 400), (&unknown, 404)]
    {
        let answer = native.post(path, &body).await;
        assert_eq!(answer.error(), (status, String::new(), String::new()));
        assert!(answer.json()["error"]["reason"].is_string());
        let browser = mounted.browser();
        let answer = browser.post_form(path, "method=code").await.is(303);
        assert!(answer.location().starts_with("https://ui.test/error?id="), "{answer}");
    }
    for path in ["", "?id=", "?id=nonsense", "?id=6d1f0c4e-8a5d-4b6e-9f0a-2b1c3d4e5f60"] {
        let answer = native.get(&format!("/self-service/verification/flows{path}")).await;
        assert_eq!((answer.error().0, answer.json()["error"].get("reason")), (404, None));
    }
}

#[tokio::test]
async fn a_browsers_form_that_is_wrong_leads_back_to_the_page() {
    let mounted = Mounted::new().await;
    let browser = mounted.browser();
    let (id, _) = browser.begin_in_browser("").await;
    for form in ["method=code", "method=code&email=asdf", "colour=red", "method=pigeon"] {
        let answer = browser.post_form(&submit(&id), form).await.is(303);
        assert_eq!(answer.location(), format!("https://ui.test/verification?flow={id}"), "{form}");
    }
    let seen = browser.see(&id).await.is(200);
    assert_eq!(seen.messages(), [4_010_006]);
    assert_eq!(seen.nodes(), ["email:email=!", "method:submit=code 4000001", "csrf_token:hidden=*!"]);
}

#[tokio::test]
async fn who_wants_pages_and_sends_json_gets_pages_for_what_went_on_and_json_for_the_rest() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let curl = mounted.native().accepting("*/*");
    let id = mounted.native().begin().await;
    let page = format!("https://ui.test/verification?flow={id}");
    assert_eq!(curl.send(&id, ADA).await.is(303).location(), page);
    assert_eq!(curl.bring(&id, "1").await.is(303).location(), page);
    let answer = curl.send(&id, "asdf").await.is(400);
    assert_eq!(
        (answer.messages(), answer.nodes()[3].as_str()),
        (vec![4_070_006], "email:submit=ada@example.org 4000040")
    );
    assert_eq!(curl.bring(&id, &mounted.code(ADA).await).await.is(303).location(), page);
    assert_eq!(curl.bring(&id, "1").await.error().1, "self_service_flow_replaced");
}
