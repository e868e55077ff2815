//! Messages that go to the courier the moment they are owed: leased, once, and only when that is durable.

use std::time::Duration;

use engine::{Delivery, DeliveryOutcome, Event, Fetched, LEASE, Leased, MessageKind, Place, Purpose, ResendMode};
use testkit::world::{World, unlimited};

use crate::support::*;

/// A world whose courier has room for so many messages.
async fn with_room(backend: testkit::world::Backend, room: usize) -> Option<World> {
    let world = World::on(backend, unlimited()).await?;
    world.engine.departures().open(room);
    Some(world)
}

async fn ask(world: &World, name: &str) {
    world.start(name, Purpose::SignInOrUp, &address(name)).await.unwrap();
}

fn fetch(world: &World) -> (Vec<(Leased, Place)>, bool) {
    let Fetched { messages, has_owed } = world.engine.departures().fetch();
    (messages, has_owed)
}

fn recipients(messages: &[(Leased, Place)]) -> Vec<&str> {
    messages.iter().map(|(message, _)| message.recipient.as_str()).collect()
}

/// Whom messages out of the outbox are for.
async fn taken(world: &World) -> Vec<String> {
    let leased = world.engine.lease_messages(100).await.unwrap();
    leased.iter().map(|message| message.recipient.as_str().to_owned()).collect()
}

#[tokio::test]
async fn what_is_handed_over_is_leased_and_carries_the_code_that_passes() {
    let Some(world) = with_room(super::BACKEND, 1).await else { return };
    ask(&world, "ada").await;
    let (messages, has_owed) = fetch(&world);
    assert!(!has_owed, "nobody has to look for it");
    let [(message, _)] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!(message.recipient, address("ada"));
    assert_eq!((message.attempts, message.lease), (0, world.engine.now().plus(LEASE)));
    assert_eq!(world.row::<i64>("SELECT due_at FROM outbox"), message.lease.millis());
    assert!(fetch(&world).0.is_empty(), "once");
    assert!(taken(&world).await.is_empty(), "and nobody else has it");
    world.verify("ada", message.content.code().unwrap().expose()).await.unwrap();
    let delivery = Delivery { id: message.id, lease: message.lease, outcome: DeliveryOutcome::Sent };
    world.engine.settle_messages(vec![delivery]).await.unwrap();
    assert_eq!(world.row::<String>("SELECT state FROM outbox"), "sent");
}

#[tokio::test]
async fn what_was_handed_to_one_who_died_is_anybodys_when_the_lease_ends() {
    let Some(world) = with_room(super::BACKEND, 1).await else { return };
    ask(&world, "ada").await;
    let (messages, _) = fetch(&world);
    let ends_at = messages[0].0.lease;
    world.clock.set(ends_at.minus(Duration::from_millis(1)));
    assert!(taken(&world).await.is_empty());
    world.clock.set(ends_at);
    let again = world.engine.lease_messages(1).await.unwrap();
    assert_eq!(again[0].id, messages[0].0.id, "and the mail's id stays");
}

#[tokio::test]
async fn for_what_there_is_no_room_the_courier_has_to_look() {
    let Some(world) = with_room(super::BACKEND, 1).await else { return };
    ask(&world, "ada").await;
    ask(&world, "grace").await;
    let (messages, has_owed) = fetch(&world);
    assert_eq!((recipients(&messages), has_owed), (vec!["ada@example.com"], true));
    assert_eq!(taken(&world).await, ["grace@example.com"]);
    let place = messages[0].1.clone();
    drop(messages);
    ask(&world, "edith").await;
    assert_eq!(taken(&world).await, ["edith@example.com"], "it is under way still");
    assert!(fetch(&world).1);
    drop(place);
    ask(&world, "joan").await;
    let (messages, has_owed) = fetch(&world);
    assert_eq!((recipients(&messages), has_owed), (vec!["joan@example.com"], false));
    drop(messages);
    world.engine.departures().open(0);
    ask(&world, "mary").await;
    assert_eq!(taken(&world).await, ["mary@example.com"]);
}

#[tokio::test]
async fn a_decoy_wakes_the_courier_like_a_message_and_is_none() {
    let Some(world) = with_room(super::BACKEND, 1).await else { return };
    let wakings = |world: &World| world.events.take().iter().filter(|it| matches!(it, Event::MessageOwed)).count();
    ask(&world, "ada").await;
    assert_eq!(wakings(&world), 1);
    drop(fetch(&world));
    world.start("nobody", Purpose::SignIn, &address("nobody")).await.unwrap();
    assert_eq!(wakings(&world), 1);
    let (messages, has_owed) = fetch(&world);
    assert!(messages.is_empty() && !has_owed);
    let decoy = MessageKind::Decoy.name();
    let due_at = format!("SELECT due_at FROM outbox WHERE kind = '{decoy}'");
    assert_eq!(world.row::<i64>(&due_at), world.engine.now().millis(), "it is dropped by whoever looks next");
    assert!(taken(&world).await.is_empty());
    assert_eq!(world.row::<String>(&format!("SELECT state FROM outbox WHERE kind = '{decoy}'")), "dropped");
    ask(&world, "grace").await;
    assert_eq!(recipients(&fetch(&world).0), ["grace@example.com"], "and its place is free");
}

#[tokio::test]
async fn a_code_that_is_sent_again_is_handed_over_again() {
    let Some(world) = with_room(super::BACKEND, 2).await else { return };
    ask(&world, "ada").await;
    let (first, _) = fetch(&world);
    world.clock.advance(Duration::from_secs(3));
    let handle = world.handle("ada");
    world.engine.resend(&world.context(), handle, engine::Naming::Secret, ResendMode::NewCode).await.unwrap();
    let (second, _) = fetch(&world);
    assert_ne!(first[0].0.id, second[0].0.id);
    // What is sent of the first is too late: it was cancelled.
    let delivery = Delivery { id: first[0].0.id, lease: first[0].0.lease, outcome: DeliveryOutcome::Sent };
    world.engine.settle_messages(vec![delivery]).await.unwrap();
    assert_eq!(world.row::<String>(&format!("SELECT state FROM outbox WHERE id = {}", first[0].0.id)), "dropped");
    world.verify("ada", second[0].0.content.code().unwrap().expose()).await.unwrap();
}

#[tokio::test]
async fn a_mail_is_handed_over_although_whoever_asked_for_it_went_away() {
    let Some(world) = with_room(super::BACKEND, 1).await else { return };
    begin_and_leave(world.start("ada", Purpose::SignInOrUp, &address("ada")));
    for _ in 0..600 {
        let (messages, _) = fetch(&world);
        if !messages.is_empty() {
            assert_eq!(recipients(&messages), ["ada@example.com"]);
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nothing was handed over in a minute");
}
