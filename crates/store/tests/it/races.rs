//! Many at once: what one caller gets while hundreds of others want the same.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::{
    Error, IdentityChange, Naming, NewTicket, Purpose, Refusal, Registered, ResendMode, SessionTerms, Taking,
    VerificationOutcome,
};
use testkit::world::{LIFE, World, other_than};
use tokio::task::JoinSet;

use crate::support::*;

/// What `count` tasks answer that do the same at once.
async fn at_once<T, F>(world: &Arc<World>, count: usize, task: impl Fn(Arc<World>, usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for number in 0..count {
        tasks.spawn(task(Arc::clone(world), number));
    }
    tasks.join_all().await
}

fn refusal<T>(answer: Result<T, Error>) -> Option<Refusal> {
    match answer {
        Ok(_) => None,
        Err(Error::Refused { refusal, .. }) => Some(refusal),
        Err(Error::Failed(fault)) => panic!("{}", fault.report()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn st_05_of_two_hundred_right_answers_at_once_exactly_one_passes() {
    let world = Arc::new(world!());
    let ada = address("ada");
    world.start("flow", Purpose::SignInOrUp, &ada).await.unwrap();
    let code = Arc::new(world.code(&ada).await.unwrap());
    let answers = at_once(&world, 200, |world, _| {
        let code = Arc::clone(&code);
        async move { refusal(world.verify("flow", &code).await) }
    })
    .await;
    assert_eq!(answers.iter().filter(|it| it.is_none()).count(), 1);
    assert_eq!(answers.iter().filter(|it| **it == Some(Refusal::FlowPassed)).count(), 199);
    assert_eq!(world.events.verified(VerificationOutcome::Passed), 1);
    assert_eq!(world.row::<i64>("SELECT count(*) FROM sessions"), 1);
    assert_eq!(world.row::<i64>("SELECT count(*) FROM identities"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn st_01_st_04_of_five_hundred_wrong_guesses_at_once_exactly_five_are_evaluated_and_then_the_right_one_is_refused()
 {
    let world = Arc::new(world!());
    let ada = address("ada");
    world.start("flow", Purpose::SignInOrUp, &ada).await.unwrap();
    let code = world.code(&ada).await.unwrap();
    let wrong = Arc::new(other_than(&code));
    let answers = at_once(&world, 500, |world, _| {
        let wrong = Arc::clone(&wrong);
        async move { refusal(world.verify("flow", &wrong).await) }
    })
    .await;
    let left: BTreeSet<_> = answers
        .iter()
        .filter_map(|answer| match answer {
            Some(Refusal::CodeMismatch { left }) => Some(*left),
            _ => None,
        })
        .collect();
    assert_eq!(left.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4], "each is told another number");
    assert_eq!(world.events.verified(VerificationOutcome::Mismatch), 5);
    assert_eq!(world.events.verified(VerificationOutcome::Exhausted), 495);
    assert_eq!(refusal(world.verify("flow", &code).await), Some(Refusal::AttemptsExhausted));
    let again = world.engine.resend(&world.context(), world.handle("flow"), Naming::Public, ResendMode::NewCode).await;
    assert_eq!(refusal(again), Some(Refusal::AttemptsExhausted));
    assert_eq!(world.row::<i64>("SELECT attempts FROM flows"), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn right_and_wrong_answers_at_once_pass_at_most_once_and_evaluate_at_most_five() {
    for round in 0..10 {
        let world = Arc::new(world!());
        let ada = address("ada");
        world.start("flow", Purpose::SignInOrUp, &ada).await.unwrap();
        let right = world.code(&ada).await.unwrap();
        let codes = Arc::new([other_than(&right), right]);
        at_once(&world, 32, |world, number| {
            let codes = Arc::clone(&codes);
            async move { refusal(world.verify("flow", &codes[(number + round) % 2]).await) }
        })
        .await;
        let passed = world.events.verified(VerificationOutcome::Passed);
        assert!(passed <= 1 && passed + world.events.verified(VerificationOutcome::Mismatch) <= 5);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_who_sign_up_at_once_for_one_address_are_one_identity() {
    let world = Arc::new(world!());
    let ada = address("ada");
    let mut codes = Vec::new();
    for key in ["0", "1"] {
        world.start(key, Purpose::SignInOrUp, &ada).await.unwrap();
        codes.push(world.code(&ada).await.unwrap());
    }
    let codes = Arc::new(codes);
    let verified = at_once(&world, 2, |world, number| {
        let codes = Arc::clone(&codes);
        async move { world.verify(&number.to_string(), &codes[number]).await.unwrap() }
    })
    .await;
    assert_eq!(verified[0].identity.id, verified[1].identity.id);
    assert_eq!(world.row::<i64>("SELECT count(*) FROM identities"), 1);
    assert_eq!(world.row::<i64>("SELECT count(*) FROM addresses"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_address_registered_by_many_at_once_has_one_owner() {
    let world = Arc::new(world!());
    let answers =
        at_once(
            &world,
            50,
            |world, _| async move { world.engine.register(world.project(), address("ada")).await.unwrap() },
        )
        .await;
    assert_eq!(answers.iter().filter(|it| matches!(it, Registered::Added(_))).count(), 1);
    let owners: BTreeSet<_> = answers
        .iter()
        .map(|answer| match answer {
            Registered::Added(account) => account.identity.id,
            Registered::Taken(owner) => owner.identity.id,
        })
        .collect();
    assert_eq!(owners.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_starts_of_one_flow_at_once_owe_one_message() {
    let world = Arc::new(world!());
    let flows = at_once(&world, 50, |world, _| async move {
        world.start("flow", Purpose::SignInOrUp, &address("ada")).await.unwrap().flow.id
    })
    .await;
    assert_eq!(flows.into_iter().collect::<BTreeSet<_>>().len(), 1);
    assert_eq!(world.row::<i64>("SELECT count(*) FROM outbox"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_couriers_at_once_take_each_message_once() {
    let world = Arc::new(world!());
    at_once(&world, 40, |world, number| async move {
        let (key, to) = (number.to_string(), address(&format!("a{number}")));
        world.start(&key, Purpose::SignInOrUp, &to).await.unwrap();
    })
    .await;
    let taken = at_once(&world, 8, |world, _| async move {
        let leased = world.engine.lease_messages(10).await.unwrap();
        leased.into_iter().map(|it| it.id).collect::<Vec<_>>()
    })
    .await;
    assert!(taken.iter().all(|it| it.len() <= 10));
    let mut taken = taken.concat();
    // What one looks at while it takes others no second one does: that waits for the next time.
    taken.extend(world.engine.lease_messages(40).await.unwrap().into_iter().map(|it| it.id));
    assert_eq!((taken.len(), taken.iter().collect::<BTreeSet<_>>().len()), (40, 40));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_take_one_ticket_at_once_one_succeeds_and_its_session_is_ended() {
    for count in [2, 16] {
        let world = Arc::new(world!());
        let ada = world.sign_in("flow", &address("ada")).await;
        let new = NewTicket {
            kind: "code",
            binding: [1; 32],
            identity: Some(ada.identity.id),
            method: "email",
            body: b"",
            life: LIFE,
        };
        let ticket = Arc::new(world.engine.put_ticket(&world.context(), new).await.unwrap());
        let answers = at_once(&world, count, |world, _| {
            let ticket = Arc::clone(&ticket);
            async move {
                let session = Some(SessionTerms::of(LIFE));
                let taking = Taking { kind: "code", ticket: ticket.expose(), binding: [1; 32], session };
                world.engine.take_ticket(&world.context(), taking).await
            }
        })
        .await;
        let (taken, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!((taken.len(), refused.len()), (1, count - 1));
        assert!(refused.into_iter().all(|answer| refusal(answer) == Some(Refusal::TicketReused)));
        let session = taken.into_iter().next().unwrap().unwrap().session.unwrap();
        let caller = world.engine.caller(&world.context(), session.id).await;
        assert_eq!(refusal(caller), Some(Refusal::SessionEnded), "nobody can say which of them was meant");
        assert_eq!(world.row::<i64>("SELECT count(*) FROM sessions"), 2, "hers of before, and that one");
        let before = world.engine.caller(&world.context(), ada.session.unwrap().id).await;
        assert_eq!(refusal(before), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_changes_made_from_one_revision_at_once_one_is_made() {
    let world = Arc::new(world!());
    let id = world.sign_in("flow", &address("ada")).await.identity.id;
    let answers = at_once(&world, 16, |world, number| async move {
        let traits = Some(format!(r#"{{"number":{number}}}"#));
        let change = IdentityChange { revision: Some(1), traits, ..IdentityChange::default() };
        world.engine.change_identity(&world.context(), id, change).await
    })
    .await;
    let (mut made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((made.len(), refused.len()), (1, 15));
    assert!(refused.into_iter().all(|answer| refusal(answer) == Some(Refusal::IdentityChanged)));
    let kept = world.engine.identity(&world.context(), id).await.unwrap();
    assert_eq!(kept, made.remove(0).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_identity_that_is_erased_while_its_owner_signs_in_leaves_nothing_alive() {
    for round in 0..10 {
        let world = Arc::new(world!());
        let ada = address("ada");
        let id = world.sign_in("before", &ada).await.identity.id;
        world.start("flow", Purpose::SignIn, &ada).await.unwrap();
        let code = Arc::new(world.code(&ada).await.unwrap());
        at_once(&world, 8, |world, number| {
            let code = Arc::clone(&code);
            async move {
                if number == round % 8 {
                    world.engine.erase_identity(&world.context(), id).await.unwrap();
                } else {
                    let _ = refusal(world.verify("flow", &code).await);
                }
            }
        })
        .await;
        let left: i64 = world.row(
            "SELECT (SELECT count(*) FROM identities) + (SELECT count(*) FROM addresses) + \
             (SELECT count(*) FROM flows) + (SELECT count(*) FROM sessions WHERE ended_at IS NULL)",
        );
        assert_eq!(left, 0, "round {round}");
    }
}
