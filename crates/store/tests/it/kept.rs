//! What lasts: over a restart, over a sweep, over a clock that was set back.

use std::sync::Arc;
use std::time::Duration;

use engine::{
    Algorithm, DeliveryOutcome, Flow, KNOWN_FOR, Naming, Policy, Purpose, Refusal, ResendMode, SealedKey, SendLimit,
    Store as _, Swept,
};
use testkit::env::ManualClock;
use testkit::world::{LIFE, other_than, unlimited};
use tokio::task::JoinSet;

use crate::support::*;

const DAY: Duration = Duration::from_hours(24);
const MILLISECOND: Duration = Duration::from_millis(1);

#[tokio::test]
async fn a_restart_keeps_everything() {
    let mut world = world!(Policy { send_limit: Some(SendLimit::default()), ..unlimited() });
    let (ada, grace) = (address("ada"), address("grace"));
    let verified = world.sign_in("passed", &ada).await;
    world.start("live", Purpose::SignInOrUp, &grace).await.unwrap();
    let code = world.code(&grace).await.unwrap();
    world.verify("live", &other_than(&code)).await.unwrap_err();
    let flow = world.engine.flow(world.handle("live")).await.unwrap();
    let public = world.engine.public_id("identity", 42);

    world.reopen().await;
    assert_eq!(world.engine.flow(world.handle("live")).await.unwrap(), flow);
    assert_eq!(world.engine.flow(world.handle("passed")).await.unwrap(), verified.flow);
    assert_eq!(world.engine.owner(world.project(), &ada).await.unwrap().identity, verified.identity);
    let session = verified.session.unwrap();
    assert_eq!(world.session(session.id).await, Some(session));
    assert_eq!(world.shown(&grace).await, [Some(code.clone())], "the same code is derived again");
    assert_eq!(world.engine.public_id("identity", 42), public);
    assert_eq!(world.engine.outbox_depth().await.unwrap().owed, 2);
    let soon = world.start("another", Purpose::SignInOrUp, &grace).await;
    assert!(matches!(soon, refused!(Refusal::TooSoon { .. })), "the send budget is still spent");
    assert!(matches!(world.verify("live", &other_than(&code)).await, refused!(Refusal::CodeMismatch { left: 3 })));
    world.verify("live", &code).await.unwrap();
    world.reopen().await;
    assert!(matches!(world.verify("live", &code).await, refused!(Refusal::FlowPassed)));
}

#[tokio::test]
async fn ids_grow_also_after_a_restart_with_the_clock_set_back() {
    let mut world = world!();
    let (ada, grace) = (address("ada"), address("grace"));
    let highest = |flow: &Flow| flow.id.get().max(flow.challenge.as_ref().unwrap().message.get());
    world.sign_in("flow", &ada).await;
    for another in ["one", "two", "three"] {
        // The newest row of all is a session.
        let verified = world.sign_in("flow", &ada).await;
        let session = verified.session.unwrap().id.get();
        let before = highest(&verified.flow).max(session);
        assert_eq!(before, session);
        world.clock.set_back(Duration::from_hours(48));
        world.reopen().await;
        let flow = world.start(another, Purpose::SignInOrUp, &grace).await.unwrap().flow;
        assert!(flow.id.get() > before);
        assert!(flow.challenge.unwrap().message.get() > before);
    }
}

#[tokio::test]
async fn what_two_nodes_claim_at_once_is_the_firsts() {
    let world = world!();
    let store = &world.calls;
    assert_eq!(store.claim_meta("claimed", vec![1]).await.unwrap(), [1]);
    assert_eq!(store.claim_meta("claimed", vec![2]).await.unwrap(), [1]);
    assert_eq!(store.meta("claimed").await.unwrap(), Some(vec![1]));
    store.put_meta("claimed", vec![3]).await.unwrap();
    assert_eq!(store.meta("claimed").await.unwrap(), Some(vec![3]));
    assert_eq!(store.meta("other").await.unwrap(), None);

    let key = |kid: &str| SealedKey {
        kid: kid.to_owned(),
        project: world.project().clone(),
        algorithm: Algorithm::Es256,
        slot: 0,
        created_at: world.engine.now(),
        sealed: vec![1, 2, 3],
    };
    store.add_signing_key(key("first")).await.unwrap();
    store.add_signing_key(key("second")).await.unwrap();
    let kept = store.signing_keys(world.project().clone()).await.unwrap();
    assert_eq!(kept.iter().map(|key| key.kid.as_str()).collect::<Vec<_>>(), ["first"]);
    assert!(store.signing_keys(engine::ProjectId::new("P2")).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_clock_that_was_set_back_keeps_no_code_alive_longer_and_gives_no_guess_back() {
    let world = world!();
    let ada = address("ada");
    world.start("flow", Purpose::SignInOrUp, &ada).await.unwrap();
    let code = world.code(&ada).await.unwrap();
    world.verify("flow", &other_than(&code)).await.unwrap_err();
    world.clock.set_back(Duration::from_hours(1));
    let again = world.start("flow", Purpose::SignInOrUp, &ada).await.unwrap().flow;
    let challenge = again.challenge.unwrap();
    assert_eq!(challenge.attempts, 1);
    assert_eq!(challenge.expires_at, ManualClock::BEGINNING.plus(Duration::from_mins(10)), "the deadline stays");
}

#[tokio::test]
async fn a_sweep_removes_only_what_has_been_over_for_a_day() {
    let world = world!(Policy { send_limit: Some(SendLimit::default()), ..unlimited() });
    let ada = address("ada");
    let verified = world.sign_in("flow", &ada).await;
    let session = verified.session.unwrap().id;
    let leased = world.engine.lease_messages(1).await.unwrap();
    assert!(leased.is_empty(), "its code was used before it was sent, so that it is dropped now");
    world.start("owed", Purpose::SignInOrUp, &address("grace")).await.unwrap();
    world.clock.advance(Duration::from_secs(30));
    let resent =
        world.engine.resend(&world.context(), world.handle("owed"), Naming::Public, ResendMode::SameCode).await;
    assert_eq!(resent.unwrap().flow.challenge.unwrap().sends, 2, "and its first message is cancelled");

    let none = Swept::default();
    let swept = async |now| {
        world.clock.set(now);
        world.engine.sweep().await.unwrap()
    };
    let began = ManualClock::BEGINNING;
    assert_eq!(swept(began.plus(DAY)).await, none);
    assert_eq!(swept(began.plus(DAY).plus(MILLISECOND)).await, Swept { messages: 1, budgets: 1, ..none });
    let later = began.plus(DAY).plus(Duration::from_secs(30));
    assert_eq!(swept(later).await, none);
    assert_eq!(swept(later.plus(MILLISECOND)).await, Swept { messages: 1, budgets: 1, ..none });
    assert_eq!(swept(began.plus(LIFE).plus(DAY)).await, none, "the flows ended exactly a day ago");
    assert!(matches!(world.verify("flow", "000000").await, refused!(Refusal::FlowPassed)));
    assert_eq!(swept(began.plus(LIFE).plus(DAY).plus(MILLISECOND)).await, Swept { flows: 2, ..none });
    assert!(matches!(world.verify("flow", "000000").await, refused!(Refusal::FlowNotFound)));
    assert!(world.engine.owner(world.project(), &ada).await.is_ok(), "identities stay");

    // What is owed is not swept but given up when it is next leased, and swept a day later.
    assert_eq!(world.engine.outbox_depth().await.unwrap().owed, 1);
    world.engine.lease_messages(1).await.unwrap();
    let given_up = world.engine.now();
    assert_eq!(swept(given_up.plus(DAY)).await, none);
    assert_eq!(swept(given_up.plus(DAY).plus(MILLISECOND)).await, Swept { messages: 1, ..none });

    // A session that is over shows for ninety days more that its device is known.
    assert_eq!(swept(began.plus(LIFE).plus(KNOWN_FOR)).await, none);
    assert!(world.session(session).await.is_some());
    assert_eq!(swept(began.plus(LIFE).plus(KNOWN_FOR).plus(MILLISECOND)).await, Swept { sessions: 1, ..none });
    assert!(world.session(session).await.is_none());
}

#[tokio::test]
async fn a_sweep_removes_a_bounded_number_of_rows() {
    let world = Arc::new(world!(Policy { send_limit: Some(SendLimit::default()), ..unlimited() }));
    let mut tasks = JoinSet::new();
    for number in 0..600 {
        let world = Arc::clone(&world);
        tasks.spawn(async move {
            let to = address(&format!("a{number}"));
            world.sign_in(&number.to_string(), &to).await;
        });
    }
    tasks.join_all().await;
    world.engine.lease_messages(1).await.unwrap();
    world.clock.advance(KNOWN_FOR + DAY);
    let most = Swept { flows: 500, messages: 500, sessions: 500, budgets: 500, others: 0 };
    let rest = Swept { flows: 100, messages: 100, sessions: 100, budgets: 100, others: 0 };
    for expected in [most, rest, Swept::default()] {
        assert_eq!(world.engine.sweep().await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_sweep_is_one_operation_and_leaves_the_live_alone() {
    let world = world!();
    let ada = address("ada");
    world.start("dead", Purpose::SignInOrUp, &ada).await.unwrap();
    world.clock.advance(DAY * 2);
    world.start("live", Purpose::SignInOrUp, &ada).await.unwrap();
    let code = world.code(&ada).await.unwrap();
    let leased = world.engine.lease_messages(1).await.unwrap();
    assert_eq!(leased.len(), 1);
    let delivery = engine::Delivery { id: leased[0].id, lease: leased[0].lease, outcome: DeliveryOutcome::Sent };
    world.engine.settle_messages(vec![delivery]).await.unwrap();
    world.calls.take_calls();
    assert_eq!(world.engine.sweep().await.unwrap(), Swept { flows: 1, ..Swept::default() });
    assert_eq!(world.calls.take_calls(), ["sweep"]);
    world.verify("live", &code).await.unwrap();
}
