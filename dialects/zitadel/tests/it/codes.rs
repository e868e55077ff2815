//! The life of a code.

use std::sync::Arc;

use engine::{Attempt, Purpose};
use serde_json::json;
use testkit::world::other_than;
use tokio::task::JoinSet;

use crate::support::{ADA, BOB, EMAIL, EVE, Mounted, VERIFY, address, with_headers};

const WRONG: (u16, u64, &str) = (400, 3, "COMMAND-Gdsgs");
const NONE: (u16, u64, &str) = (404, 5, "COMMAND-3n8ud");

#[tokio::test]
async fn a_verification_is_one_look_at_the_session_and_one_operation() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    mounted.set(&ada.token, BOB).await.ok();
    let code = mounted.code(BOB).await;
    mounted.world.calls.take_calls();
    mounted.verify(&ada.token, &other_than(&code)).await.refused(WRONG.0, WRONG.1, WRONG.2);
    assert_eq!(mounted.world.calls.take_calls(), ["caller", "verify"]);
    mounted.verify(&ada.token, &code).await.ok();
    assert_eq!(mounted.world.calls.take_calls(), ["caller", "verify"]);
    mounted.email(&ada.token).await.ok();
    assert_eq!(mounted.world.calls.take_calls(), ["caller", "flow"]);
    mounted.set(&ada.token, EVE).await.ok();
    assert_eq!(mounted.world.calls.take_calls(), ["caller", "flow", "start"]);
    mounted.pass(5);
    mounted.resend(&ada.token).await.ok();
    assert_eq!(mounted.world.calls.take_calls(), ["caller", "flow", "resend"]);
}

#[tokio::test]
async fn st_06_a_code_passes_once() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    mounted.set(&ada.token, BOB).await.ok();
    let code = mounted.code(BOB).await;
    mounted.verify(&ada.token, &code).await.ok();
    let answer = mounted.verify(&ada.token, &code).await.refused(NONE.0, NONE.1, NONE.2);
    assert_eq!(answer.json()["message"], "Code not found (COMMAND-3n8ud)");
    mounted.verify(&ada.token, &other_than(&code)).await.refused(NONE.0, NONE.1, NONE.2);
}

#[tokio::test]
async fn without_a_question_there_is_no_code() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    mounted.verify(&ada.token, "000000").await.refused(NONE.0, NONE.1, NONE.2);
    mounted.resend(&ada.token).await.refused(400, 9, "COMMAND-3M9ds");
}

#[tokio::test]
async fn a_resend_makes_a_new_code_and_the_old_one_dies() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    mounted.set(&ada.token, BOB).await.ok();
    let mut old = mounted.code(BOB).await;
    for seconds in [3, 300, 1800] {
        mounted.pass(seconds);
        mounted.resend(&ada.token).await.ok();
        let new = mounted.code(BOB).await;
        assert_ne!(new, old);
        mounted.verify(&ada.token, &old).await.refused(WRONG.0, WRONG.1, WRONG.2);
        old = new;
    }
    assert_eq!(mounted.shown(&mounted.renewed(&ada)).await, (BOB.to_owned(), false));
    mounted.verify(&mounted.renewed(&ada), &old).await.ok();
}

#[tokio::test]
async fn st_47_a_code_lives_as_long_as_the_project_says_and_looks_wrong_from_then_on() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    mounted.set(&ada.token, BOB).await.ok();
    let code = mounted.code(BOB).await;
    mounted.world.clock.advance(std::time::Duration::from_millis(600_000 - 1));
    let token = mounted.renewed(&ada);
    mounted.verify(&token, &other_than(&code)).await.refused(WRONG.0, WRONG.1, WRONG.2);
    mounted.world.clock.advance(std::time::Duration::from_millis(1));
    let expired = mounted.verify(&token, &code).await.refused(WRONG.0, WRONG.1, WRONG.2);
    assert_eq!(mounted.verify(&token, &other_than(&code)).await, expired, "expired and wrong look alike");
    assert_eq!(mounted.shown(&token).await, (BOB.to_owned(), false));

    mounted.resend(&token).await.ok();
    let new = mounted.code(BOB).await;
    assert_ne!(new, code);
    mounted.verify(&token, &new).await.ok();
}

#[tokio::test]
async fn st_01_five_wrong_codes_end_it_and_a_resend_begins_anew() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    mounted.set(&ada.token, BOB).await.ok();
    let code = mounted.code(BOB).await;
    for _ in 0..5 {
        mounted.verify(&ada.token, &other_than(&code)).await.refused(WRONG.0, WRONG.1, WRONG.2);
    }
    mounted.verify(&ada.token, &code).await.refused(NONE.0, NONE.1, NONE.2);
    assert_eq!(mounted.shown(&ada.token).await, (BOB.to_owned(), false));

    mounted.pass(5);
    mounted.resend(&ada.token).await.ok();
    mounted.verify(&ada.token, &code).await.refused(WRONG.0, WRONG.1, WRONG.2);
    mounted.verify(&ada.token, &mounted.code(BOB).await).await.ok();
    assert_eq!(mounted.shown(&ada.token).await, (BOB.to_owned(), true));
}

#[tokio::test]
async fn a_resend_gives_back_no_guess() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    mounted.set(&ada.token, BOB).await.ok();
    for _ in 0..4 {
        mounted.verify(&ada.token, "------").await.refused(WRONG.0, WRONG.1, WRONG.2);
    }
    mounted.pass(5);
    mounted.resend(&ada.token).await.ok();
    mounted.verify(&ada.token, "000000").await.refused(WRONG.0, WRONG.1, WRONG.2);
    mounted.verify(&ada.token, &mounted.code(BOB).await).await.refused(NONE.0, NONE.1, NONE.2);
}

#[tokio::test]
async fn a_code_is_read_however_it_was_typed() {
    let mounted = Mounted::new().await;
    for (index, typed) in [str::to_lowercase, spaced, dashed].into_iter().enumerate() {
        let user = mounted.signed_in(&format!("user{index}@example.com")).await;
        let new = format!("new{index}@example.com");
        mounted.set(&user.token, &new).await.ok();
        mounted.verify(&user.token, &typed(&mounted.code(&new).await)).await.ok();
    }
}

fn spaced(code: &str) -> String {
    format!(" {code} ")
}

fn dashed(code: &str) -> String {
    format!("{}-{}", &code[..3], &code[3..])
}

#[tokio::test]
async fn a_code_has_from_1_to_200_characters() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    mounted.set(&ada.token, BOB).await.ok();
    let text = "invalid VerifyMyEmailRequest.Code: value length must be between 1 and 200 runes, inclusive";
    for code in [String::new(), "é".repeat(201)] {
        let answer = mounted.verify(&ada.token, &code).await.refused(400, 3, "");
        assert_eq!(answer.json(), json!({"code": 3, "message": text}));
    }
    for code in [" ".to_owned(), "A".repeat(21), "é".repeat(200)] {
        mounted.verify(&ada.token, &code).await.refused(WRONG.0, WRONG.1, WRONG.2);
    }
    // What was not compared was not counted.
    mounted.verify(&ada.token, &mounted.code(BOB).await).await.ok();
}

#[tokio::test]
async fn st_05_sixteen_right_answers_at_once_are_one_success() {
    let mounted = Arc::new(Mounted::new().await);
    let ada = mounted.signed_in(ADA).await;
    mounted.set(&ada.token, BOB).await.ok();
    let code = mounted.code(BOB).await;
    let mut asking = JoinSet::new();
    for _ in 0..16 {
        let (mounted, token, code) = (Arc::clone(&mounted), ada.token.clone(), code.clone());
        asking.spawn(async move { mounted.verify(&token, &code).await });
    }
    let answers = asking.join_all().await;
    let (passed, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!(passed.len(), 1);
    for answer in refused {
        answer.refused(NONE.0, NONE.1, NONE.2);
    }
    assert_eq!(mounted.email(&ada.token).await.ok().json()["details"]["sequence"], "2");
}

#[tokio::test]
async fn st_04_of_wrong_answers_at_once_exactly_five_are_compared() {
    let mounted = Arc::new(Mounted::new().await);
    let ada = mounted.signed_in(ADA).await;
    mounted.set(&ada.token, BOB).await.ok();
    let wrong = other_than(&mounted.code(BOB).await);
    let mut asking = JoinSet::new();
    for _ in 0..32 {
        let (mounted, token, wrong) = (Arc::clone(&mounted), ada.token.clone(), wrong.clone());
        asking.spawn(async move { mounted.verify(&token, &wrong).await.error() });
    }
    let answers = asking.join_all().await;
    let count = |(status, code, id): (u16, u64, &str)| {
        answers.iter().filter(|answer| **answer == (status, code, id.to_owned())).count()
    };
    assert_eq!((count(WRONG), count(NONE)), (5, 27));
}

#[tokio::test]
async fn st_28_a_code_is_good_for_its_user_and_no_other() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    let eve = mounted.signed_in(EVE).await;
    mounted.set(&ada.token, BOB).await.ok();
    let code = mounted.code(BOB).await;
    mounted.verify(&eve.token, &code).await.refused(NONE.0, NONE.1, NONE.2);
    mounted.pass(5);
    mounted.set(&eve.token, "eve2@example.com").await.ok();
    mounted.verify(&eve.token, &code).await.refused(WRONG.0, WRONG.1, WRONG.2);
    mounted.verify(&ada.token, &code).await.ok();
    assert_eq!(mounted.shown(&eve.token).await.0, "eve2@example.com");
}

#[tokio::test]
async fn st_29_a_code_for_an_address_signs_nobody_in_and_none_for_a_sign_in_proves_an_address() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    mounted.set(&ada.token, BOB).await.ok();
    let code = mounted.code(BOB).await;
    mounted.pass(5);
    // A sign-in of the same address at another surface, with codes that look the same.
    let format = engine::CodeFormat { alphabet: engine::Alphabet::UpperAlphanumeric, length: 6 };
    let mut challenge = mounted.world.challenge("sign-in", Purpose::SignInOrUp, &address(BOB));
    challenge.format = format;
    mounted.engine().start_challenge(&mounted.context(), challenge).await.unwrap();
    let sign_in = mounted.code(BOB).await;
    assert_ne!(code, sign_in);

    mounted.verify(&ada.token, &sign_in).await.refused(WRONG.0, WRONG.1, WRONG.2);
    let handles = [mounted.world.handle("sign-in")];
    let attempt = |code| Attempt { handles: &handles, code, session: None };
    assert!(mounted.engine().verify(&mounted.context(), attempt(&code)).await.is_err());
    mounted.verify(&ada.token, &code).await.ok();
}

#[tokio::test]
async fn st_37_nothing_is_done_on_get() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    mounted.set(&ada.token, BOB).await.ok();
    let code = mounted.code(BOB).await;
    let authorization = format!("Bearer {}", ada.token);
    let headers = [("authorization", authorization.as_str()), ("x-http-method-override", "POST")];
    for method in [http::Method::GET, http::Method::HEAD, http::Method::OPTIONS] {
        let path = format!("{VERIFY}?code={code}");
        let answer = mounted.ask(with_headers(method, &path, &headers, json!({"code": code}).to_string())).await;
        assert_eq!(answer.status, 405);
    }
    // Nor by a query.
    mounted.post(&ada.token, &format!("{VERIFY}?code={code}"), "{}").await.refused(400, 3, "");
    mounted.ask(with_headers(http::Method::GET, &format!("{EMAIL}?code={code}"), &headers, "")).await.ok();
    assert_eq!(mounted.shown(&ada.token).await, (BOB.to_owned(), false));
    mounted.verify(&ada.token, &code).await.ok();
}
