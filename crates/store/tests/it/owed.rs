//! The outbox on a real database: leased, settled, given up.

use std::time::Duration;

use engine::{
    Delivery, DeliveryOutcome, Event, LEASE, LEAST_LIFE, LOOK_AHEAD, Leased, MessageId, Naming, Purpose, ResendMode,
    back_off,
};
use testkit::world::{Backend, World, unlimited};

use crate::support::*;

/// A world that owes one message, and the message, leased.
async fn leased(backend: Backend) -> Option<(World, Leased)> {
    let world = World::on(backend, unlimited()).await?;
    world.start("flow", Purpose::SignInOrUp, &address("ada")).await.unwrap();
    let leased = world.engine.lease_messages(1).await.unwrap().remove(0);
    Some((world, leased))
}

async fn settle(world: &World, leased: &Leased, outcome: DeliveryOutcome) {
    let delivery = Delivery { id: leased.id, lease: leased.lease, outcome };
    world.engine.settle_messages(vec![delivery]).await.unwrap();
}

fn deferred() -> DeliveryOutcome {
    DeliveryOutcome::Deferred { reason: "451 try again later".to_owned() }
}

fn state(world: &World, id: MessageId) -> String {
    world.row(&format!("SELECT state FROM outbox WHERE id = {id}"))
}

async fn lease(world: &World) -> Vec<Leased> {
    world.engine.lease_messages(100).await.unwrap()
}

#[tokio::test]
async fn no_more_is_leased_than_asked_for_and_nothing_twice_until_its_lease_ends() {
    let world = world!();
    for number in 0..5 {
        let to = address(&format!("a{number}"));
        world.start(&number.to_string(), Purpose::SignInOrUp, &to).await.unwrap();
        world.clock.advance(Duration::from_millis(1));
    }
    let first = world.engine.lease_messages(3).await.unwrap();
    let recipients: Vec<_> = first.iter().map(|it| it.recipient.clone()).collect();
    assert_eq!(recipients, [0, 1, 2].map(|number| address(&format!("a{number}"))), "longest due first");
    assert_eq!(world.engine.lease_messages(3).await.unwrap().len(), 2);
    assert_eq!(lease(&world).await.len(), 0);
    world.clock.set(first[0].lease.minus(Duration::from_millis(1)));
    assert_eq!(lease(&world).await.len(), 0);
    world.clock.advance(Duration::from_millis(1));
    let again = lease(&world).await;
    assert_eq!(again.len(), 5, "whoever took them is taken for dead");
    assert_eq!(again[0].id, first[0].id, "and the mail's id stays");
    assert!(world.engine.lease_messages(0).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_a_lease_carries_is_the_code_that_passes() {
    let Some((world, leased)) = leased(super::BACKEND).await else { return };
    assert_eq!(Some(leased.content.code().unwrap().expose()), world.code(&leased.recipient).await.as_ref());
    assert_eq!((leased.purpose, leased.attempts, &leased.project), (Purpose::SignInOrUp, 0, world.project()));
    assert_eq!(leased.not_after, world.engine.now().plus(Duration::from_mins(10)));
    world.verify("flow", leased.content.code().unwrap().expose()).await.unwrap();
}

#[tokio::test]
async fn what_was_sent_or_refused_for_good_is_not_owed_any_more() {
    for (outcome, expected) in [
        (DeliveryOutcome::Sent, "sent"),
        (DeliveryOutcome::Refused { reason: "550 no such user".to_owned() }, "refused"),
    ] {
        let Some((world, leased)) = leased(super::BACKEND).await else { return };
        settle(&world, &leased, outcome).await;
        assert_eq!(state(&world, leased.id), expected);
        assert_eq!(world.engine.outbox_depth().await.unwrap().owed, 0);
        world.clock.advance(LEASE);
        assert!(lease(&world).await.is_empty());
        assert!(world.events.take().contains(&Event::Delivered { outcome: expected }));
    }
}

#[tokio::test]
async fn what_failed_comes_back_after_a_growing_wait() {
    let Some((world, mut leased)) = leased(super::BACKEND).await else { return };
    let began = world.engine.now();
    for attempts in 1..=5 {
        settle(&world, &leased, deferred()).await;
        let due = world.engine.now().plus(back_off(attempts, leased.id));
        world.clock.set(due.minus(Duration::from_millis(1)));
        assert!(lease(&world).await.is_empty(), "after {attempts}");
        world.clock.advance(Duration::from_millis(1));
        leased = lease(&world).await.remove(0);
        assert_eq!(leased.attempts, attempts);
    }
    let depth = world.engine.outbox_depth().await.unwrap();
    assert_eq!((depth.owed, depth.oldest), (1, Some(began)));
    assert_eq!(world.row::<String>("SELECT last_error FROM outbox"), "451 try again later");
    assert!(world.events.take().contains(&Event::Delivered { outcome: "deferred" }));
}

#[tokio::test]
async fn a_settlement_under_an_old_lease_changes_nothing() {
    let Some((world, old)) = leased(super::BACKEND).await else { return };
    world.clock.advance(LEASE);
    let new = lease(&world).await.remove(0);
    assert_eq!(new.id, old.id);
    for outcome in [DeliveryOutcome::Sent, deferred(), DeliveryOutcome::Refused { reason: String::new() }] {
        settle(&world, &old, outcome).await;
        assert_eq!(state(&world, old.id), "owed");
        assert_eq!(world.row::<i64>("SELECT due_at FROM outbox"), new.lease.millis());
    }
    settle(&world, &new, DeliveryOutcome::Sent).await;
    settle(&world, &new, deferred()).await;
    assert_eq!(state(&world, old.id), "sent", "and what is settled stays so");
}

#[tokio::test]
async fn nothing_is_sent_with_less_than_a_minute_to_live() {
    for (early, expected) in [(Duration::ZERO, "owed"), (Duration::from_millis(1), "expired")] {
        let Some((world, leased)) = leased(super::BACKEND).await else { return };
        let now = leased.not_after.minus(LEAST_LIFE).plus(early);
        world.clock.set(now);
        assert_eq!(lease(&world).await.len(), usize::from(expected == "owed"));
        assert_eq!(state(&world, leased.id), expected);
    }
}

#[tokio::test]
async fn a_code_that_was_replaced_or_used_is_not_sent() {
    let world = world!();
    let ada = address("ada");
    world.start("flow", Purpose::SignInOrUp, &ada).await.unwrap();
    world.clock.advance(Duration::from_secs(5));
    world.engine.resend(&world.context(), world.handle("flow"), Naming::Public, ResendMode::NewCode).await.unwrap();
    let leased = lease(&world).await;
    assert_eq!(
        leased.iter().map(|it| it.content.code().unwrap().expose().clone()).collect::<Vec<_>>(),
        [world.code(&ada).await.unwrap()]
    );
    assert_eq!(world.row::<i64>("SELECT count(*) FROM outbox WHERE state = 'dropped'"), 1);

    // The courier fails to send it, and meanwhile it is typed from the inbox.
    settle(&world, &leased[0], deferred()).await;
    world.verify("flow", leased[0].content.code().unwrap().expose()).await.unwrap();
    world.clock.advance(Duration::from_secs(10));
    assert!(lease(&world).await.is_empty());
    assert_eq!(state(&world, leased[0].id), "dropped");
}

#[tokio::test]
async fn a_message_that_was_sent_stays_so_when_its_code_is_replaced() {
    let Some((world, first)) = leased(super::BACKEND).await else { return };
    settle(&world, &first, DeliveryOutcome::Sent).await;
    world.clock.advance(Duration::from_secs(5));
    world.engine.resend(&world.context(), world.handle("flow"), Naming::Public, ResendMode::NewCode).await.unwrap();
    assert_eq!(state(&world, first.id), "sent");
}

#[tokio::test]
async fn a_code_that_was_replaced_while_it_was_on_its_way_stays_replaced() {
    let Some((world, on_its_way)) = leased(super::BACKEND).await else { return };
    world.clock.advance(Duration::from_secs(5));
    world.engine.resend(&world.context(), world.handle("flow"), Naming::Public, ResendMode::NewCode).await.unwrap();
    settle(&world, &on_its_way, deferred()).await;
    world.clock.advance(Duration::from_mins(3));
    let leased = lease(&world).await;
    assert_eq!(leased.len(), 1);
    assert_ne!(leased[0].id, on_its_way.id);
}

#[tokio::test]
async fn decoys_never_stand_in_the_way_of_mail() {
    let world = world!();
    let decoys = 2 * LOOK_AHEAD + 10;
    let context = world.context();
    for number in 0..decoys {
        let to = address(&format!("nobody{number}"));
        let challenge = world.challenge(&number.to_string(), Purpose::SignIn, &to);
        world.engine.start_challenge(&context, challenge).await.unwrap();
    }
    world.clock.advance(Duration::from_millis(1));
    world.start("flow", Purpose::SignInOrUp, &address("ada")).await.unwrap();
    let leased = world.engine.lease_messages(1).await.unwrap();
    assert_eq!(leased.len(), 1);
    assert_eq!(world.engine.outbox_depth().await.unwrap().owed, 1);
}

#[tokio::test]
async fn emptying_the_inbox_hides_what_was_sent_and_cancels_nothing() {
    let mut world = world!();
    let ada = address("ada");
    world.start("flow", Purpose::SignInOrUp, &ada).await.unwrap();
    world.engine.empty_inbox().await.unwrap();
    assert!(world.engine.inbox(None).await.unwrap().is_empty());
    assert_eq!(lease(&world).await.len(), 1);
    // Also where the clock was behind when the program came up again.
    world.clock.set_back(Duration::from_hours(1));
    world.reopen().await;
    world.start("another", Purpose::SignInOrUp, &ada).await.unwrap();
    assert_eq!(world.shown(&ada).await.len(), 1, "what came after is shown");
}
