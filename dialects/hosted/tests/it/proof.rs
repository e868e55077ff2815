//! Codes that do not pass.

use std::time::Duration;

use testkit::world::other_than;
use web::hand_over::PATIENCE;

use crate::support::{BACK, EMAIL, Mounted};

#[tokio::test]
async fn st_01_five_wrong_codes_end_it_and_the_right_one_comes_too_late() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    let page = visitor.asked(EMAIL).await;
    let code = mounted.code().await;
    let wrong = other_than(&code);
    for text in ["You have 4 more tries", "You have 3 more tries", "You have 2 more tries", "You have one more try"] {
        let answer = visitor.type_code(&page, &wrong).await;
        answer.assert_page(400, text);
        assert!(answer.body.contains("aria-invalid=\"true\"") && !answer.body.contains(&wrong));
    }
    for typed in [&wrong, &code, &wrong] {
        let answer = visitor.type_code(&page, typed).await;
        answer.assert_page(400, "too many wrong codes");
        assert!(answer.body.contains("href=\"&#x2f;sign-in?request="), "{answer}");
    }
    // Starting again is another flow.
    visitor.signed_in().await;
}

#[tokio::test]
async fn st_05_st_06_a_code_passes_once() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    let page = visitor.asked(EMAIL).await;
    let code = mounted.code().await;
    let mut twin = visitor.clone();
    let (first, second) = tokio::join!(visitor.type_code(&page, &code), twin.type_code(&page, &code));
    let passed = [&first, &second].into_iter().filter(|answer| answer.status == 303).count();
    assert_eq!(passed, 1);
    let mut late = visitor.clone();
    late.cookies.insert(
        "__Host-countersign-flow".to_owned(),
        twin.cookies.get("__Host-countersign-flow").cloned().unwrap_or_default(),
    );
    late.type_code(&page, &code).await.assert_page(400, "done already");
    late.get("/sign-in/code").await.assert_page(400, "done already");
}

#[tokio::test]
async fn st_47_a_code_is_over_when_the_mail_says_so_and_another_can_be_asked_for() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    let page = visitor.asked(EMAIL).await;
    let code = mounted.code().await;
    mounted.world.clock.advance(Duration::from_mins(10));
    visitor.type_code(&page, &code).await.assert_page(400, "This code is too old");
    let answer = visitor.post("/sign-in/code/resend", &[("token", &page.hidden("token"))]).await;
    assert_eq!(answer.target(), "https://id.example.com/sign-in/code");
    assert_ne!(mounted.code().await, code);
    assert_eq!(visitor.type_code(&page, &mounted.code().await).await.target(), BACK);
}

#[tokio::test]
async fn a_sign_in_takes_an_hour_at_most() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    let address = visitor.begin().await;
    let page = visitor.asked(EMAIL).await;
    let code = mounted.code().await;
    mounted.world.clock.advance(PATIENCE);
    visitor.type_code(&page, &code).await.assert_page(400, "took too long");
    visitor.get("/sign-in/code").await.assert_page(400, "took too long");
    visitor.type_address(&address, EMAIL).await.assert_page(400, "took too long");
}

#[tokio::test]
async fn st_28_a_code_of_another_flow_is_wrong() {
    let mounted = Mounted::new().await;
    let (mut ada, mut grace) = (mounted.visitor(), mounted.visitor());
    let page = ada.asked(EMAIL).await;
    grace.asked("grace@example.com").await;
    let foreign = mounted.code_to(&engine::Address::email("grace@example.com").unwrap()).await;
    assert_ne!(foreign, mounted.code().await);
    ada.type_code(&page, &foreign).await.assert_page(400, "This code is not right");
}

#[tokio::test]
async fn nothing_typed_costs_nothing() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    let page = visitor.asked(EMAIL).await;
    for typed in ["", " ", "\t\n"] {
        visitor.type_code(&page, typed).await.assert_page(400, "Please type the code");
    }
    let code = mounted.code().await;
    visitor.type_code(&page, &other_than(&code)).await.assert_page(400, "You have 4 more tries");
    assert_eq!(visitor.type_code(&page, &code).await.target(), BACK);
}

#[tokio::test]
async fn verifying_is_one_operation_and_the_ticket_another() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    let page = visitor.asked(EMAIL).await;
    let code = mounted.code().await;
    mounted.world.calls.take_calls();
    visitor.type_code(&page, &code).await;
    assert_eq!(mounted.world.calls.take_calls(), ["verify", "put_ticket"]);
}

#[tokio::test]
async fn an_account_that_has_been_switched_off_is_told_after_the_proof_and_only_then() {
    let mounted = Mounted::new().await;
    mounted.visitor().signed_in().await;
    let owner = mounted.world.engine.owner(mounted.world.project(), &crate::support::ada()).await.unwrap();
    let off =
        engine::IdentityChange { state: Some(engine::IdentityState::Inactive), ..engine::IdentityChange::default() };
    mounted.world.engine.change_identity(&mounted.world.context(), owner.identity.id, off).await.unwrap();
    mounted.world.clock.advance(Duration::from_mins(1));
    let mut visitor = mounted.visitor();
    let page = visitor.asked(EMAIL).await;
    let code = mounted.code().await;
    visitor.type_code(&page, &other_than(&code)).await.assert_page(400, "You have 4 more tries");
    visitor.type_code(&page, &code).await.assert_page(403, "This account has been switched off");
    assert!(!visitor.cookies.contains_key("__Host-countersign-session"));
}
