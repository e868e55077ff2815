//! Codes that pass, and those that do not.

use std::time::Duration;

use serde_json::json;
use testkit::world::other_than;
use tokio::task::JoinSet;

use crate::support::{ADA, BOB, Mounted, NOBODY, ask};
use crate::verifying::submit;

#[tokio::test]
async fn a_wrong_code_is_told_in_the_flow_and_the_right_one_passes_after_it() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let (id, code) = mounted.sent(ADA).await;
    let native = mounted.native();
    for _ in 0..2 {
        let wrong = native.bring(&id, &other_than(&code)).await.is(200);
        assert_eq!((wrong.id(), wrong.state().as_str(), wrong.messages()), (id.clone(), "sent_email", vec![4_070_006]));
        assert_eq!(wrong.json()["transient_payload"], json!({}));
    }
    let body = json!({"code": "1", "transient_payload": {"campaign": "autumn"}});
    assert_eq!(native.submit(&id, &body).await.is(200).json()["transient_payload"], json!({"campaign": "autumn"}));
    let seen = native.see(&id).await.is(200);
    assert_eq!((seen.messages(), seen.json().get("transient_payload")), (vec![4_070_006], None));
    let passed = native.bring(&id, &code).await.is(200);
    assert_eq!((passed.state().as_str(), passed.messages()), ("passed_challenge", vec![1_080_002]));
}

#[tokio::test]
async fn a_browser_with_a_wrong_code_goes_to_the_page_and_sees_it_there() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let browser = mounted.browser();
    let (id, token) = browser.begin_in_browser("").await;
    let body = json!({"method": "code", "email": ADA, "csrf_token": token});
    browser.submit(&id, &body).await.is(303);
    let wrong = browser.post_form(&submit(&id), "method=code&code=1").await.is(303);
    assert_eq!(wrong.location(), format!("https://ui.test/verification?flow={id}"));
    assert_eq!(browser.see(&id).await.messages(), [4_070_006]);
}

#[tokio::test]
async fn a_number_is_a_code_and_what_is_none_is_a_wrong_one() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let native = mounted.native();
    let (id, code) = mounted.sent(ADA).await;
    for wrong in [json!("abcdef"), json!("00000000"), json!(true), json!({"a": 1})] {
        let answer = native.submit(&id, &json!({"method": "code", "code": wrong})).await.is(200);
        assert_eq!(answer.messages(), [4_070_006], "{wrong}");
    }
    // A code that begins with a zero is no number; the others are.
    let number = code.parse::<u64>().ok().filter(|number| number.to_string() == code);
    let right = number.map_or_else(|| json!(code), |number| json!(number));
    let answer = native.submit(&id, &json!({"method": "code", "code": right})).await.is(200);
    assert_eq!(answer.state(), "passed_challenge");
    // Nothing is no code.
    let (id, _) = mounted.sent(ADA).await;
    for nothing in [json!(null), json!("")] {
        let answer = native.submit(&id, &json!({"method": "code", "code": nothing})).await.is(400);
        assert_eq!(answer.messages(), [1_080_003]);
    }
}

#[tokio::test]
async fn a_code_is_good_in_its_own_flow_alone() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let native = mounted.native();
    let (first, first_code) = mounted.sent(ADA).await;
    let (second, second_code) = mounted.sent(ADA).await;
    assert_ne!(first_code, second_code);
    assert_eq!(native.bring(&second, &first_code).await.is(200).messages(), [4_070_006]);
    assert_eq!(native.bring(&first, &first_code).await.is(200).state(), "passed_challenge");
    // Verified once is no reason not to verify again.
    assert_eq!(native.bring(&second, &second_code).await.is(200).state(), "passed_challenge");
}

#[tokio::test]
async fn asking_again_ends_the_old_code_and_says_so_once() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let native = mounted.native();
    let (id, old) = mounted.sent(ADA).await;
    native.bring(&id, &other_than(&old)).await.is(200);
    mounted.world.clock.advance(Duration::from_secs(3));
    let again = native.send(&id, ADA).await.is(200);
    assert_eq!((again.state().as_str(), again.messages()), ("sent_email", vec![1_080_003]));
    let fresh = mounted.code(ADA).await;
    assert_ne!(old, fresh);
    assert_eq!(native.bring(&id, &old).await.is(200).messages(), [4_070_006]);
    assert_eq!(native.bring(&id, &fresh).await.is(200).state(), "passed_challenge");
}

#[tokio::test]
async fn a_flow_can_be_sent_to_another_address_and_the_first_persons_code_dies() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    mounted.person(BOB).await;
    let native = mounted.native();
    let (id, adas) = mounted.sent(ADA).await;
    let sent = native.send(&id, BOB).await.is(200);
    assert_eq!(sent.nodes().last().unwrap(), "email:submit=bob@example.org");
    assert_eq!(native.bring(&id, &adas).await.is(200).messages(), [4_070_006]);
    assert_eq!(native.bring(&id, &mounted.code(BOB).await).await.is(200).state(), "passed_challenge");
    assert!(mounted.is_verified(BOB).await && !mounted.is_verified(ADA).await);
}

#[tokio::test]
async fn an_address_is_shown_as_it_was_typed_and_found_as_it_is_kept() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let native = mounted.native();
    let id = native.begin().await;
    let sent = native.send(&id, "Ada@Example.ORG").await.is(200);
    assert_eq!(sent.nodes().last().unwrap(), "email:submit=Ada@Example.ORG");
    assert_eq!(native.bring(&id, &mounted.code(ADA).await).await.is(200).state(), "passed_challenge");
    assert!(mounted.is_verified(ADA).await);
}

#[tokio::test]
async fn a_code_in_a_flow_that_asked_for_none_is_wrong() {
    let mounted = Mounted::new().await;
    let native = mounted.native();
    let id = native.begin().await;
    for _ in 0..2 {
        let answer = native.bring(&id, "123456").await.is(200);
        assert_eq!((answer.state().as_str(), answer.messages()), ("choose_method", vec![4_070_006]));
        assert_eq!(answer.nodes(), ["email:email!", "method:submit=code"]);
    }
    assert_eq!(native.see(&id).await.messages(), [4_070_006]);
    assert_eq!(native.send(&id, NOBODY).await.is(200).messages(), [1_080_003]);
}

#[tokio::test]
async fn code_and_address_together_are_a_code() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let (id, code) = mounted.sent(ADA).await;
    let body = json!({"method": "code", "code": code, "email": ADA});
    assert_eq!(mounted.native().submit(&id, &body).await.is(200).state(), "passed_challenge");
    assert_eq!(mounted.mails(ADA).await.len(), 1);
}

#[tokio::test]
async fn of_thirty_two_right_answers_at_once_one_passes() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let (id, code) = mounted.sent(ADA).await;
    let native = mounted.native();
    let mut answers = JoinSet::new();
    for _ in 0..32 {
        let body = json!({"method": "code", "code": code}).to_string();
        let headers = [("content-type", "application/json")];
        answers.spawn(ask(mounted.router(), native.request(http::Method::POST, &submit(&id), &headers, body)));
    }
    let answers = answers.join_all().await;
    let (passed, others): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!((passed.len(), others.len()), (1, 31));
    assert_eq!(passed[0].state(), "passed_challenge");
    for other in others {
        let (status, error, replacement) = other.error();
        assert_eq!((status, error.as_str()), (410, "self_service_flow_replaced"));
        assert_eq!(native.see(&replacement).await.messages(), [4_070_002]);
    }
}
