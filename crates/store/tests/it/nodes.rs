//! Several nodes on one PostgreSQL database: what people get who ask all of them at once. Each race is run over three nodes, again and
//! again; [`ROUNDS`] says how often, `COUNTERSIGN_TEST_ROUNDS` how often else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use engine::{
    Address, Attempt, DeviceChange, Error, Naming, NewIdentity, NewTicket, Policy, Purpose, Refusal, Registered,
    ResendMode, Rotation, SendLimit, SessionTerms, Sessions, Taking, WantedAddress,
};
use store::{Database, NODE_LEASE};
use testkit::world::{Backend, LIFE, World, unlimited};
use tokio::task::JoinSet;

use crate::support::*;

/// How often a race is run.
const ROUNDS: usize = 100;

fn rounds() -> usize {
    let told = std::env::var_os("COUNTERSIGN_TEST_ROUNDS");
    told.and_then(|told| told.to_str()?.parse().ok()).unwrap_or(ROUNDS)
}

/// Three nodes on one database.
#[derive(Clone)]
struct Nodes(Arc<[World; 3]>);

impl Nodes {
    async fn new() -> Option<Self> {
        Self::under(unlimited()).await
    }

    async fn under(policy: Policy) -> Option<Self> {
        let first = World::on(Backend::Postgres, policy).await?;
        let (second, third) = (first.beside(2).await, first.beside(3).await);
        Some(Self(Arc::new([first, second, third])))
    }

    /// The node that somebody happens to ask who is the `number`th.
    fn any(&self, number: usize) -> &World {
        &self.0[number % 3]
    }

    fn one(&self) -> &World {
        &self.0[0]
    }

    /// What `count` tasks answer, in their order, that do the same at once, each at another node than the one before it.
    async fn at_once<T, F>(&self, count: usize, task: impl Fn(Self, usize) -> F) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let doing = task(self.clone(), number);
            tasks.spawn(async move { (number, doing.await) });
        }
        let mut answers = tasks.join_all().await;
        answers.sort_by_key(|(number, _)| *number);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    /// How many deadlocks the database has broken.
    fn deadlocks(&self) -> i64 {
        // Backends report when they are idle for a moment or end.
        self.one().row("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    }

    async fn stop(&self) {
        for world in self.0.iter() {
            world.stop().await;
        }
    }
}

fn refusal<T>(answer: Result<T, Error>) -> Option<Refusal> {
    match answer {
        Ok(_) => None,
        Err(Error::Refused { refusal, .. }) => Some(refusal),
        Err(Error::Failed(fault)) => panic!("{}", fault.report()),
    }
}

macro_rules! nodes {
    () => {
        match Nodes::new().await {
            Some(nodes) => nodes,
            None => return,
        }
    };
}

mod guesses;
mod proofs;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn st_05_of_sixteen_right_answers_at_three_nodes_exactly_one_passes() {
    let nodes = nodes!();
    for round in 0..rounds() {
        let ada = address(&format!("ada{round}"));
        nodes.one().start("flow", Purpose::SignInOrUp, &ada).await.unwrap();
        let code = Arc::new(nodes.one().code(&ada).await.unwrap());
        let answers = nodes
            .at_once(16, |nodes, number| {
                let code = Arc::clone(&code);
                async move { refusal(nodes.any(number).verify("flow", &code).await) }
            })
            .await;
        assert_eq!(answers.iter().filter(|it| it.is_none()).count(), 1);
        assert_eq!(answers.iter().filter(|it| **it == Some(Refusal::FlowPassed)).count(), 15);
    }
    let sessions: i64 = nodes.one().row("SELECT count(*) FROM sessions");
    assert_eq!(usize::try_from(sessions).unwrap(), rounds());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_who_sign_up_at_two_nodes_for_one_address_are_one_identity() {
    let nodes = nodes!();
    for round in 0..rounds() {
        let ada = address(&format!("ada{round}"));
        let mut codes = Vec::new();
        for number in 0..2 {
            let key = format!("{round} {number}");
            nodes.any(number).start(&key, Purpose::SignInOrUp, &ada).await.unwrap();
            codes.push((key, nodes.one().code(&ada).await.unwrap()));
        }
        let codes = Arc::new(codes);
        let verified = nodes
            .at_once(2, |nodes, number| {
                let codes = Arc::clone(&codes);
                async move {
                    let (key, code) = &codes[number];
                    nodes.any(number).verify(key, code).await.unwrap()
                }
            })
            .await;
        assert_eq!(verified[0].identity.id, verified[1].identity.id);
    }
    let identities: i64 = nodes.one().row("SELECT count(*) FROM identities");
    assert_eq!(usize::try_from(identities).unwrap(), rounds());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_starts_of_one_flow_at_three_nodes_owe_one_message() {
    let nodes = nodes!();
    for round in 0..rounds() {
        let flows = nodes
            .at_once(24, move |nodes, number| async move {
                let ada = address(&format!("ada{round}"));
                nodes.any(number).start(&format!("flow{round}"), Purpose::SignInOrUp, &ada).await.unwrap().flow.id
            })
            .await;
        assert_eq!(flows.into_iter().collect::<BTreeSet<_>>().len(), 1);
    }
    let messages: i64 = nodes.one().row("SELECT count(*) FROM outbox");
    assert_eq!(usize::try_from(messages).unwrap(), rounds());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_resend_against_a_verification_leaves_one_truth() {
    let nodes = nodes!();
    for round in 0..rounds() {
        let (key, ada) = (Arc::new(format!("flow{round}")), address(&format!("ada{round}")));
        nodes.one().start(&key, Purpose::SignInOrUp, &ada).await.unwrap();
        let code = Arc::new(nodes.one().code(&ada).await.unwrap());
        nodes.one().clock.advance(Duration::from_secs(5));
        let answers = nodes
            .at_once(2, |nodes, number| {
                let (key, code) = (Arc::clone(&key), Arc::clone(&code));
                async move {
                    let world = nodes.any(number);
                    if number == 0 {
                        refusal(world.verify(&key, &code).await)
                    } else {
                        let handle = world.handle(&key);
                        refusal(
                            world.engine.resend(&world.context(), handle, Naming::Public, ResendMode::NewCode).await,
                        )
                    }
                }
            })
            .await;
        match (answers[0], answers[1]) {
            // The verification was first, and there was nothing to send again; or the old code was dead.
            (None, Some(Refusal::FlowPassed)) | (Some(Refusal::CodeMismatch { left: 4 }), None) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_parallel_refreshes_at_three_nodes_leave_the_session_alive() {
    let nodes = nodes!();
    for round in 0..rounds() {
        let session = nodes.one().sign_in("flow", &address(&format!("ada{round}"))).await.session.unwrap();
        let generations = nodes
            .at_once(4, |nodes, number| {
                let id = session.id;
                async move {
                    let world = nodes.any(number);
                    let caller = world.engine.refresh(&world.context(), id, 0, Rotation::On).await.unwrap();
                    caller.session.generation
                }
            })
            .await;
        assert_eq!(generations, [1; 4], "each has the same successor");
        assert!(nodes.one().session(session.id).await.unwrap().is_live(nodes.one().engine.now()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_take_one_ticket_one_has_it() {
    let nodes = nodes!();
    for round in 0..rounds() {
        let identity = nodes.one().sign_in("flow", &address(&format!("ada{round}"))).await.identity.id;
        let new = NewTicket {
            kind: "code",
            binding: [1; 32],
            identity: Some(identity),
            method: "email",
            body: b"body",
            life: LIFE,
        };
        let ticket = nodes.one().engine.put_ticket(&nodes.one().context(), new).await.unwrap();
        let ticket = Arc::new(ticket.expose().clone());
        let answers = nodes
            .at_once(8, |nodes, number| {
                let ticket = Arc::clone(&ticket);
                async move {
                    let world = nodes.any(number);
                    let session = Some(SessionTerms::of(LIFE));
                    let taking = Taking { kind: "code", ticket: &ticket, binding: [1; 32], session };
                    refusal(world.engine.take_ticket(&world.context(), taking).await)
                }
            })
            .await;
        assert_eq!(answers.iter().filter(|it| it.is_none()).count(), 1);
        assert_eq!(answers.iter().filter(|it| **it == Some(Refusal::TicketReused)).count(), 7);
    }
}

/// Something that somebody does, whatever comes of it.
async fn anything(nodes: &Nodes, number: usize, sessions: &[engine::SessionId]) {
    let world = nodes.any(number / 7);
    let who = (number * 5 / 3) % 6;
    let (key, address): (_, Address) = (format!("flow{}", number % 9), address(&format!("person{who}")));
    let context = world.context();
    let fault = |answer: Result<(), Error>| match answer {
        Ok(()) | Err(Error::Refused { .. }) => {}
        Err(Error::Failed(fault)) => panic!("{}: {}", fault.report(), world.postgres().unwrap().cluster().log()),
    };
    match number % 11 {
        0..=2 => fault(world.start(&key, Purpose::SignInOrUp, &address).await.map(drop)),
        3 => {
            let handle = world.handle(&key);
            fault(world.engine.resend(&context, handle, Naming::Public, ResendMode::SameCode).await.map(drop));
        }
        4 | 5 => fault(world.verify(&key, &world.code(&address).await.unwrap_or_default()).await.map(drop)),
        6 => {
            let other = world.handle(&format!("flow{}", (number + 1 + number % 7) % 9));
            let attempt = Attempt { handles: &[world.handle(&key), other], code: "000000", session: None };
            fault(world.engine.verify(&context, attempt).await.map(drop));
        }
        7 | 8 => {
            let session = sessions[number % sessions.len()];
            fault(world.engine.refresh(&context, session, 0, Rotation::On).await.map(drop));
        }
        9 => {
            let leased = world.engine.lease_messages(3).await.unwrap();
            let sent = |it: engine::Leased| engine::Delivery {
                id: it.id,
                lease: it.lease,
                outcome: engine::DeliveryOutcome::Sent,
            };
            world.engine.settle_messages(leased.into_iter().map(sent).collect()).await.unwrap();
        }
        _ => match number % 5 {
            0 => fault(world.start(&key, Purpose::VerifyAddress, &address).await.map(drop)),
            1 => {
                world.engine.sweep().await.unwrap();
                world.engine.forgive(world.project(), &address).await.unwrap();
            }
            2 => {
                // Somebody is thrown out and comes back, and the first proof of him who comes drops what was pending.
                if let Ok(owner) = world.engine.owner(world.project(), &address).await {
                    fault(world.engine.erase_identity(&context, owner.identity.id).await);
                }
                let registered = world.engine.register(world.project(), address).await.unwrap();
                assert!(matches!(registered, Registered::Added(_) | Registered::Taken(_)));
            }
            3 => {
                let session = sessions[number % sessions.len()];
                fault(world.engine.end_sessions(&context, session, Sessions::OfIdentity).await);
            }
            _ => {
                if let Ok(owner) = world.engine.owner(world.project(), &address).await {
                    let more = WantedAddress { address: self::address(&format!("more{}", number % 3)), verified: None };
                    let own = WantedAddress { address, verified: Some(false) };
                    let change = engine::IdentityChange {
                        addresses: Some(vec![own, more]),
                        ..engine::IdentityChange::default()
                    };
                    fault(world.engine.change_identity(&context, owner.identity.id, change).await.map(drop));
                }
            }
        },
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_thousand_operations_of_all_kinds_on_six_addresses_never_deadlock() {
    // So many that messages are counted and hardly ever refused.
    let many = SendLimit {
        apart: Duration::ZERO,
        per_hour: 200,
        per_day: 200,
        per_hour_and_network: 200,
        per_day_and_network: 200,
        network: 10_000,
        project: 10_000,
    };
    let Some(nodes) = Nodes::under(Policy { send_limit: Some(many), ..unlimited() }).await else { return };
    let mut sessions = Vec::new();
    for who in 0..6 {
        let verified = nodes.one().sign_in("flow", &address(&format!("person{who}"))).await;
        sessions.push(verified.session.unwrap().id);
    }
    let sessions = Arc::new(sessions);
    for lap in 0..10 {
        nodes
            .at_once(200, |nodes, number| {
                let sessions = Arc::clone(&sessions);
                async move { anything(&nodes, lap * 200 + number, &sessions).await }
            })
            .await;
        nodes.one().clock.advance(Duration::from_secs(7));
    }
    // What was counted in a connection is told when that ends.
    nodes.stop().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(nodes.deadlocks(), 0);
    let orphans =
        "SELECT count(*) FROM sessions WHERE ended_at IS NULL AND identity_id NOT IN (SELECT id FROM identities)";
    assert_eq!(nodes.one().row::<i64>(orphans), 0, "nobody who was erased is signed in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn devices_that_are_signed_in_and_out_at_once_count_each_change() {
    let nodes = nodes!();
    for round in 0..rounds() {
        let device = nodes.one().engine.new_device_id(&nodes.one().context());
        let mut codes = Vec::new();
        for number in 0..4 {
            let (key, ada) = (format!("{round} {number}"), address(&format!("ada{number}")));
            let mut challenge = nodes.one().challenge(&key, Purpose::SignInOrUp, &ada);
            challenge.device = Some(device);
            nodes.one().engine.start_challenge(&nodes.one().context(), challenge).await.unwrap();
            codes.push((key, nodes.one().code(&ada).await.unwrap()));
        }
        let codes = Arc::new(codes);
        nodes
            .at_once(4, |nodes, number| {
                let codes = Arc::clone(&codes);
                async move {
                    let (key, code) = &codes[number];
                    nodes.any(number).verify(key, code).await.unwrap()
                }
            })
            .await;
        let view = nodes.one().engine.device(&nodes.one().context(), device).await.unwrap();
        assert_eq!((view.device.generation, view.callers.len()), (4, 4));
        nodes
            .at_once(3, |nodes, number| async move {
                let world = nodes.any(number);
                refusal(world.engine.change_device(&world.context(), device, DeviceChange::SignOut(None)).await)
            })
            .await;
        let view = nodes.one().engine.device(&nodes.one().context(), device).await.unwrap();
        assert_eq!((view.device.generation, view.callers.len()), (5, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_address_that_many_create_and_change_at_once_has_one_owner() {
    let nodes = nodes!();
    for round in 0..rounds() {
        let wanted = move || vec![WantedAddress { address: address(&format!("ada{round}")), verified: Some(true) }];
        let answers = nodes
            .at_once(12, move |nodes, number| async move {
                let world = nodes.any(number);
                let new = NewIdentity {
                    traits: "{}".to_owned(),
                    metadata: "{}".to_owned(),
                    state: engine::IdentityState::Active,
                    addresses: wanted(),
                };
                refusal(world.engine.create_identity(&world.context(), new).await)
            })
            .await;
        assert_eq!(answers.iter().filter(|it| it.is_none()).count(), 1);
        assert_eq!(answers.iter().filter(|it| **it == Some(Refusal::AddressTaken)).count(), 11);
    }
}

#[tokio::test]
async fn each_node_has_a_number_of_its_own_and_one_that_was_silent_for_long_loses_it() {
    let nodes = nodes!();
    let Database::Postgres(store) = nodes.one().opened() else { unreachable!("the nodes are on PostgreSQL") };
    let now = nodes.one().engine.now();
    let fourth = store.take_number(now, [4; 16]).await.unwrap();
    assert_eq!(fourth.get(), 3, "three run already");
    assert_eq!(store.keep_number(&fourth, now.plus(NODE_LEASE / 2)).await.unwrap(), Some(4));
    nodes.0[1].stop().await;
    let fifth = store.take_number(now, [5; 16]).await.unwrap();
    assert_eq!(fifth.get(), 1, "what was given back is free at once");
    // The first and the third said nothing since they came up, the fifth neither.
    let late = now.plus(NODE_LEASE);
    let taken = store.take_number(late, [6; 16]).await.unwrap();
    assert_eq!(taken.get(), 0);
    assert_eq!(store.take_number(late, [7; 16]).await.unwrap().get(), 1);
    assert_eq!(store.keep_number(&fifth, late).await.unwrap(), None, "it is told so");
    assert_eq!(store.keep_number(&fourth, late).await.unwrap(), Some(3));
    store.return_number(&fifth).await.unwrap();
    let eighth = store.take_number(late, [8; 16]).await.unwrap();
    assert_eq!(store.keep_number(&eighth, late).await.unwrap(), Some(4));
}
