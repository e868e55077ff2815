//! Flows that are opened before anything is asked in them, on a real database.

use std::time::Duration;

use engine::{FlowState, Naming, NewFlow, Purpose, Refusal, ResendMode};
use testkit::env::ManualClock;
use testkit::world::{LIFE, World, other_than};

use crate::support::*;

/// A flow called `key` as a surface opens it.
fn new_flow(world: &World, key: &str, purpose: Purpose) -> NewFlow {
    NewFlow {
        handle: world.handle(key),
        purpose,
        device: Some(world.engine.new_device_id(&world.context())),
        attributes: Some(r#"{"name":"Ada"}"#.to_owned()),
        memo: Some(r#"{"return_to":"/"}"#.to_owned()),
        flow_life: LIFE,
    }
}

#[tokio::test]
async fn an_opened_flow_comes_back_as_it_was_written_and_costs_one_operation() {
    let world = world!();
    for purpose in
        [Purpose::SignIn, Purpose::SignUp, Purpose::SignInOrUp, Purpose::VerifyAddress, Purpose::ChangeAddress]
    {
        let key = format!("{purpose:?}");
        let new = new_flow(&world, &key, purpose);
        world.calls.take_calls();
        let flow = world.engine.open_flow(&world.context(), new.clone()).await.unwrap();
        assert_eq!(world.calls.take_calls(), ["open_flow"]);
        assert_eq!(world.engine.flow(world.handle(&key)).await.unwrap(), flow);
        assert_eq!((flow.state, flow.purpose, &flow.challenge), (FlowState::Open, purpose, &None));
        assert_eq!((flow.device, &flow.attributes, &flow.memo), (new.device, &new.attributes, &new.memo));
        let began = ManualClock::BEGINNING;
        assert_eq!((flow.issued_at, flow.expires_at), (began, began.plus(LIFE)));
        assert!(matches!(world.verify(&key, "000000").await, refused!(Refusal::FlowNotFound)));
    }
    assert_eq!(world.row::<i64>("SELECT count(*) FROM outbox"), 0, "nothing is owed");
}

#[tokio::test]
async fn a_flow_is_opened_asked_in_noted_about_and_passed() {
    let mut world = world!();
    let (ada, grace) = (address("ada"), address("grace"));
    let opened = world.engine.open_flow(&world.context(), new_flow(&world, "flow", Purpose::SignIn)).await.unwrap();
    let ask = async |world: &World, to| {
        let mut challenge = world.challenge("flow", Purpose::SignInOrUp, to);
        (challenge.naming, challenge.mode) = (Naming::Secret, ResendMode::NewCode);
        world.engine.start_challenge(&world.context(), challenge).await.unwrap().flow
    };
    let first = ask(&world, &grace).await;
    assert_eq!((first.id, first.device, first.expires_at), (opened.id, opened.device, opened.expires_at));
    let hers = world.code(&grace).await.unwrap();
    // She had mistyped her address, comes back after eleven minutes, and the server was restarted meanwhile.
    world.reopen().await;
    world.clock.advance(Duration::from_mins(11));
    assert!(matches!(world.verify("flow", &hers).await, refused!(Refusal::CodeExpired)));
    let second = ask(&world, &ada).await;
    assert_eq!((second.id, second.challenge.as_ref().unwrap().epoch), (opened.id, 2));
    let code = world.code(&ada).await.unwrap();
    assert!(matches!(world.verify("flow", &hers).await, refused!(Refusal::CodeMismatch { left: 4 })));

    world.calls.take_calls();
    world.engine.annotate(world.handle("flow"), "a note".to_owned()).await.unwrap();
    assert_eq!(world.calls.take_calls(), ["annotate"]);
    let verified = world.verify("flow", &code).await.unwrap();
    assert_eq!(verified.flow.memo.as_deref(), Some("a note"));
    world.engine.annotate(world.handle("flow"), "another".to_owned()).await.unwrap();
    let kept = world.engine.flow(world.handle("flow")).await.unwrap();
    assert_eq!(kept, engine::Flow { memo: Some("another".to_owned()), ..verified.flow });
    let nowhere = world.engine.annotate(world.handle("none"), "a note".to_owned()).await;
    assert!(matches!(nowhere, refused!(Refusal::FlowNotFound)));
}

#[tokio::test]
async fn a_flow_that_is_over_is_still_there_for_a_day_and_says_so() {
    let world = world!();
    world.engine.open_flow(&world.context(), new_flow(&world, "flow", Purpose::SignIn)).await.unwrap();
    world.clock.advance(LIFE + Duration::from_hours(24));
    world.engine.sweep().await.unwrap();
    assert_eq!(world.engine.flow(world.handle("flow")).await.unwrap().state, FlowState::Open);
    assert!(matches!(world.verify("flow", "000000").await, refused!(Refusal::FlowExpired)));
    let mut challenge = world.challenge("flow", Purpose::SignIn, &address("ada"));
    challenge.naming = Naming::Secret;
    let late = world.engine.start_challenge(&world.context(), challenge).await;
    assert!(matches!(late, refused!(Refusal::FlowExpired)));
    world.clock.advance(Duration::from_millis(1));
    world.engine.sweep().await.unwrap();
    assert!(matches!(world.engine.flow(world.handle("flow")).await, refused!(Refusal::FlowNotFound)));
}

#[tokio::test]
async fn a_surface_may_ask_for_a_shorter_life_and_fewer_guesses_and_never_for_more_than_five() {
    let world = world!();
    for (key, asked, expected) in [("fewer", Some(3), 3), ("more", Some(9), 5), ("none", None, 5)] {
        // Each its own address: five wrong guesses are all there are about one.
        let ada = address(key);
        let mut challenge = world.challenge(key, Purpose::SignInOrUp, &ada);
        (challenge.max_attempts, challenge.code_life) = (asked, Some(Duration::from_mins(4)));
        let flow = world.engine.start_challenge(&world.context(), challenge).await.unwrap().flow;
        let kept = flow.challenge.unwrap();
        assert_eq!((kept.max_attempts, kept.expires_at), (expected, kept.sent_at.plus(Duration::from_mins(4))));
        let wrong = other_than(&world.code(&ada).await.unwrap());
        for left in (0..expected).rev() {
            let answer = world.verify(key, &wrong).await;
            assert!(matches!(answer, refused!(Refusal::CodeMismatch { left: told }) if told == left), "{key}");
        }
        assert!(matches!(world.verify(key, &wrong).await, refused!(Refusal::AttemptsExhausted)), "{key}");
        world.clock.advance(Duration::from_secs(5));
    }
}
