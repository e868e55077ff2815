//! How often an operation on PostgreSQL waits for the database, counted on the wire.

use std::time::Duration;

use engine::{Change, Keeping, Naming, NewChallenge, Policy, Purpose, ResendMode, Rotation};
use testkit::wire::Wire;
use testkit::world::{Backend, World, other_than, unlimited};

use crate::support::*;

/// A world, and a second node on its database that is at the other end of a wire.
struct Far {
    near: World,
    world: World,
    wire: Wire,
}

impl Far {
    async fn under(policy: Policy) -> Option<Self> {
        let near = World::on(Backend::Postgres, policy).await?;
        let wire = Wire::to(near.postgres().unwrap().cluster().address()).await;
        let world = near.through(wire.address(), 2).await;
        wire.take_trips();
        Some(Self { near, world, wire })
    }

    /// What an operation on the far node comes to, which must take `trips`.
    async fn takes<T>(&self, trips: usize, name: &str, operation: impl Future<Output = T>) -> T {
        let done = operation.await;
        assert_eq!(self.wire.take_trips(), trips, "{name}");
        done
    }

    async fn code(&self, name: &str) -> String {
        self.near.code(&address(name)).await.unwrap()
    }
}

#[tokio::test]
async fn a_start_and_a_verification_take_two_round_trips_each() {
    // With what is sent counted, which takes more statements, and without.
    for policy in [Policy { sign_up: true, ..Policy::default() }, unlimited()] {
        let Some(far) = Far::under(policy).await else { return };
        let (world, ada) = (&far.world, address("ada"));
        for purpose in [Purpose::SignInOrUp, Purpose::SignIn] {
            // Up, then in.
            let (key, name) = (purpose.name(), purpose.name());
            far.takes(2, name, world.start(key, purpose, &ada)).await.unwrap();
            let code = far.code("ada").await;
            let wrong = far.takes(2, "a wrong code", world.verify(key, &other_than(&code))).await;
            assert!(wrong.is_err());
            let verified = far.takes(2, "a right code", world.verify(key, &code)).await.unwrap();
            assert!(far.takes(2, "a code again", world.verify(key, &code)).await.is_err());
            let session = verified.session.unwrap().id;
            let context = world.context();
            let refreshed = world.engine.refresh(&context, session, 0, Rotation::On);
            far.takes(2, "a refresh", refreshed).await.unwrap();
            far.takes(1, "a look", world.session(session)).await.unwrap();
            world.clock.advance(Duration::from_hours(2));
        }
        far.takes(2, "in the place of another", world.start("sign_in", Purpose::SignIn, &ada)).await.unwrap();
        world.clock.advance(Duration::from_mins(1));
        let context = world.context();
        let resent = world.engine.resend(&context, world.handle("sign_in"), Naming::Public, ResendMode::NewCode);
        far.takes(2, "a resend", resent).await.unwrap();
        far.takes(2, "nobody's address", world.start("other", Purpose::SignIn, &address("eve"))).await.unwrap();
        assert!(far.takes(2, "no flow", world.verify("unknown", "000000")).await.is_err());
    }
}

/// The first proof of an address that others had a hand in drops what was pending about its owner, and a change drops what would bring
/// the old address back: where nobody else has that at the moment, it is locked by the trip that drops it.
#[tokio::test]
async fn a_verification_that_drops_what_was_pending_takes_two_round_trips_too() {
    for policy in [Policy { sign_up: true, ..Policy::default() }, unlimited()] {
        let Some(far) = Far::under(policy).await else { return };
        let (world, ada) = (&far.world, address("ada"));
        world.start("before", Purpose::SignInOrUp, &ada).await.unwrap();
        let earlier = far.code("ada").await;
        world.engine.register(world.project(), ada.clone()).await.unwrap();
        world.clock.advance(Duration::from_mins(1));
        world.start("flow", Purpose::SignIn, &ada).await.unwrap();
        let code = far.code("ada").await;
        far.wire.take_trips();
        let proved = far.takes(2, "the first proof", world.verify("flow", &code)).await.unwrap();
        assert!(proved.is_first_proof);
        // What was begun when the address was nobody's concerned nobody.
        far.takes(2, "what was begun before", world.verify("before", &earlier)).await.unwrap();

        let (session, countess) = (proved.session.unwrap(), address("countess"));
        let change = |key: &str| {
            let change =
                Change { session: session.id, generation: None, current: ada.clone(), keeping: Keeping::Replace };
            NewChallenge { change: Some(change), ..world.challenge(key, Purpose::ChangeAddress, &countess) }
        };
        world.clock.advance(Duration::from_mins(1));
        far.takes(2, "asking for a change", world.engine.start_challenge(&world.context(), change("change")))
            .await
            .unwrap();
        let code = far.code("countess").await;
        far.takes(2, "the change", world.verify("change", &code)).await.unwrap();
        assert!(world.engine.owner(world.project(), &ada).await.is_err(), "it was replaced");
    }
}

/// However much that is.
#[tokio::test]
async fn what_others_began_is_dropped_by_the_first_proof_in_its_two_round_trips() {
    let Some(far) = Far::under(unlimited()).await else { return };
    let (world, ada) = (&far.world, address("ada"));
    world.engine.register(world.project(), ada.clone()).await.unwrap();
    for key in ["one", "two", "three"] {
        world.start(key, Purpose::SignIn, &ada).await.unwrap();
    }
    let code = far.code("ada").await;
    far.wire.take_trips();
    far.takes(2, "the first proof", world.verify("three", &code)).await.unwrap();
    let left = far.near.postgres().unwrap().ask("SELECT count(*) FROM flows");
    assert_eq!(left, "1", "the others are gone");
}

/// The exception: what somebody else has just then is waited for in its turn, and so by loading again.
#[tokio::test]
async fn what_is_dropped_while_somebody_has_it_is_waited_for() {
    let Some(far) = Far::under(unlimited()).await else { return };
    let (world, ada) = (&far.world, address("ada"));
    world.engine.register(world.project(), ada.clone()).await.unwrap();
    for key in ["one", "two"] {
        world.start(key, Purpose::SignIn, &ada).await.unwrap();
    }
    let code = far.code("ada").await;
    let database = far.near.postgres().unwrap().clone();
    let holder = database.clone();
    let held = "BEGIN; SELECT id FROM flows ORDER BY id LIMIT 1 FOR UPDATE; SELECT pg_sleep(3); COMMIT";
    let holding = tokio::task::spawn_blocking(move || holder.ask(held));
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
    while database.ask(asleep) == "0" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    far.wire.take_trips();
    far.takes(5, "the first proof", world.verify("two", &code)).await.unwrap();
    holding.await.unwrap();
    assert_eq!(database.ask("SELECT count(*) FROM flows"), "1", "it is gone all the same");
}
