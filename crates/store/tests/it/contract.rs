//! The port's contract, held against the engine on a real database: what one caller sees after another.

use std::time::Duration;

use engine::{
    Attempt, ChallengeOutcome, Client, CodeFormat, Error, Event, Flow, Handle, Naming, NewChallenge, Policy, Purpose,
    Refusal, Registered, ResendMode, SendLimit, VerificationOutcome,
};
use testkit::env::ManualClock;
use testkit::world::{LIFE, other_than};

use crate::support::*;

#[tokio::test]
async fn somebody_known_signs_in() {
    let world = world!();
    let ada = address("ada");
    let Registered::Added(owner) = world.engine.register(world.project(), ada.clone()).await.unwrap() else {
        panic!("she is new")
    };
    assert!(owner.addresses[0].verified_at.is_none());

    let started = world.start("flow", Purpose::SignIn, &ada).await.unwrap();
    assert_eq!(started.masked, "a***@example.com");
    world.clock.advance(Duration::from_secs(20));
    let verified = world.verify("flow", &world.code(&ada).await.unwrap()).await.unwrap();

    let now = ManualClock::BEGINNING.plus(Duration::from_secs(20));
    assert_eq!(verified.identity.id, owner.identity.id);
    assert!(verified.is_first_proof);
    let session = verified.session.unwrap();
    assert_eq!((session.issued_at, session.expires_at), (now, now.plus(LIFE)));
    assert_eq!(world.session(session.id).await, Some(session));
    let proven = world.engine.owner(world.project(), &ada).await.unwrap();
    assert_eq!((proven.address.verified_at, proven.identity.revision), (Some(now), 2));
    assert_eq!(
        (&proven.identity, &proven.address),
        (&verified.identity, &verified.address),
        "what is told is what is kept"
    );
    assert_eq!(world.engine.flow(world.handle("flow")).await.unwrap(), verified.flow);
}

#[tokio::test]
async fn somebody_new_signs_up_and_is_there_afterwards() {
    let world = world!();
    let ada = address("ada");
    let verified = world.sign_in("flow", &ada).await;
    assert!(verified.is_first_proof);
    let owner = world.engine.owner(world.project(), &ada).await.unwrap();
    assert_eq!((owner.identity, owner.address), (verified.identity.clone(), verified.address));
    let again = world.sign_in("flow", &ada).await;
    assert_eq!(again.identity, verified.identity);
    assert!(!again.is_first_proof);
    let taken = world.engine.register(world.project(), ada).await.unwrap();
    assert!(matches!(taken, Registered::Taken(owner) if owner.identity.id == verified.identity.id));
}

#[tokio::test]
async fn every_row_comes_back_as_it_was_written() {
    let world = world!();
    for purpose in [Purpose::SignIn, Purpose::SignUp, Purpose::SignInOrUp, Purpose::VerifyAddress] {
        for alphabet in [engine::Alphabet::Digits, engine::Alphabet::UpperAlphanumeric] {
            let key = format!("{purpose:?} {alphabet:?}");
            let mut challenge = world.challenge(&key, purpose, &address("ada"));
            challenge.format = CodeFormat { alphabet, length: 9 };
            let started = world.engine.start_challenge(&world.context(), challenge).await.unwrap();
            assert_eq!(world.engine.flow(world.handle(&key)).await.unwrap(), started.flow, "{key}");
        }
    }
    assert!(matches!(world.engine.flow(world.handle("other")).await, refused!(Refusal::FlowNotFound)));
}

#[tokio::test]
async fn st_34_an_unknown_address_gets_the_same_answer_and_no_mail() {
    let world = world!();
    let (ada, nobody) = (address("ada"), address("nobody"));
    world.engine.register(world.project(), ada.clone()).await.unwrap();
    let known = world.start("known", Purpose::SignIn, &ada).await.unwrap();
    let unknown = world.start("unknown", Purpose::SignIn, &nobody).await.unwrap();

    let told = |flow: &Flow| {
        let challenge = flow.challenge.clone().unwrap();
        assert!(challenge.code_digest.is_some());
        (
            (flow.purpose, flow.state, flow.issued_at, flow.expires_at),
            (challenge.epoch, challenge.sends, challenge.attempts, challenge.max_attempts),
            (challenge.sent_at, challenge.expires_at, challenge.format, challenge.key),
        )
    };
    assert_eq!(told(&known.flow), told(&unknown.flow));
    assert_eq!(world.engine.outbox_depth().await.unwrap().owed, 2, "both owe a row");
    let events = world.events.take();
    let challenged = events.iter().filter(|it| matches!(it, Event::Challenged { .. })).collect::<Vec<_>>();
    assert_eq!(challenged[0], challenged[1]);

    assert!(world.code(&nobody).await.is_none(), "the inbox shows nothing");
    let leased = world.engine.lease_messages(10).await.unwrap();
    assert_eq!(leased.iter().map(|it| &it.recipient).collect::<Vec<_>>(), [&ada]);
    assert_eq!(world.engine.outbox_depth().await.unwrap().owed, 1, "the decoy's row is settled");
    world.clock.advance(engine::LEASE);
    assert_eq!(world.engine.lease_messages(10).await.unwrap().len(), 1, "as dropped, for good");

    let wrong = other_than(leased[0].content.code().unwrap().expose());
    for (key, left) in [("known", 4), ("unknown", 4), ("known", 3), ("unknown", 3)] {
        let answer = world.verify(key, &wrong).await;
        assert!(matches!(answer, refused!(Refusal::CodeMismatch { left: told }) if told == left), "{key}");
    }
}

#[tokio::test]
async fn st_34_known_and_unknown_addresses_spend_the_same_send_budget() {
    let world = world!(Policy { send_limit: Some(SendLimit::default()), ..testkit::world::unlimited() });
    world.engine.register(world.project(), address("ada")).await.unwrap();
    for (key, name) in [("known", "ada"), ("unknown", "nobody")] {
        world.start(key, Purpose::SignIn, &address(name)).await.unwrap();
    }
    world.clock.advance(Duration::from_secs(3));
    for key in ["known", "unknown"] {
        let answer =
            world.engine.resend(&world.context(), world.handle(key), Naming::Public, ResendMode::SameCode).await;
        let wait = Duration::from_secs(27);
        assert!(matches!(answer, refused!(Refusal::TooSoon { retry_after }) if retry_after == wait), "{key}");
    }
    // Another flow does not help: the budget is the address's.
    let answer = world.start("another", Purpose::SignIn, &address("ada")).await;
    assert!(matches!(answer, refused!(Refusal::TooSoon { .. })));
    assert!(world.engine.flow(world.handle("another")).await.is_err(), "and writes nothing");
}

#[tokio::test]
async fn a_code_is_refused_from_the_exact_millisecond_on() {
    let world = world!();
    let ada = address("ada");
    for (later, passes) in [(Duration::from_mins(10), false), (Duration::from_millis(599_999), true)] {
        world.start("flow", Purpose::SignInOrUp, &ada).await.unwrap();
        let code = world.code(&ada).await.unwrap();
        world.clock.advance(later);
        match world.verify("flow", &code).await {
            Ok(_) => assert!(passes),
            Err(Error::Refused { refusal, .. }) => assert!(!passes && refusal == Refusal::CodeExpired),
            Err(failed) => panic!("{failed:?}"),
        }
    }
}

#[tokio::test]
async fn st_06_nothing_passes_twice() {
    let world = world!();
    let ada = address("ada");
    world.start("flow", Purpose::SignInOrUp, &ada).await.unwrap();
    let code = world.code(&ada).await.unwrap();
    world.verify("flow", &code).await.unwrap();
    assert!(matches!(world.verify("flow", &code).await, refused!(Refusal::FlowPassed)));
    for mode in [ResendMode::SameCode, ResendMode::NewCode] {
        let answer = world.engine.resend(&world.context(), world.handle("flow"), Naming::Public, mode).await;
        assert!(matches!(answer, refused!(Refusal::FlowPassed)));
    }
    let mut secret = world.challenge("flow", Purpose::SignInOrUp, &ada);
    secret.naming = Naming::Secret;
    let answer = world.engine.start_challenge(&world.context(), secret).await;
    assert!(matches!(answer, refused!(Refusal::FlowPassed)));

    // Who can name the flow may start it anew; the old code is nothing to it.
    world.start("flow", Purpose::SignInOrUp, &ada).await.unwrap();
    assert!(matches!(world.verify("flow", &code).await, refused!(Refusal::CodeMismatch { left: 4 })));
}

#[tokio::test]
async fn st_07_a_passed_flow_keeps_nothing_to_be_opened_with() {
    let world = world!();
    let ada = address("ada");
    world.sign_in("flow", &ada).await;
    let flow = world.engine.flow(world.handle("flow")).await.unwrap();
    assert!(flow.challenge.unwrap().code_digest.is_none());
    assert_eq!(world.row::<i64>("SELECT count(*) FROM flows WHERE code_digest IS NULL"), 1);
}

#[tokio::test]
async fn a_resend_repeats_the_code_or_kills_it_as_its_mode_says() {
    let world = world!();
    let ada = address("ada");
    world.start("flow", Purpose::SignInOrUp, &ada).await.unwrap();
    let first = world.code(&ada).await.unwrap();

    let again = async |mode| {
        world.clock.advance(Duration::from_secs(5));
        world.engine.resend(&world.context(), world.handle("flow"), Naming::Public, mode).await.unwrap();
        world.code(&ada).await.unwrap()
    };
    assert_eq!(again(ResendMode::SameCode).await, first);
    assert_eq!(world.shown(&ada).await, [Some(first.clone()), Some(first.clone())]);
    assert_eq!(world.engine.outbox_depth().await.unwrap().owed, 1, "the first mail is not owed any more");

    let second = again(ResendMode::NewCode).await;
    assert_ne!(second, first);
    assert_eq!(world.shown(&ada).await, [Some(second.clone()), None, None], "null where it was replaced");
    assert!(matches!(world.verify("flow", &first).await, refused!(Refusal::CodeMismatch { left: 4 })));
    world.verify("flow", &second).await.unwrap();
}

#[tokio::test]
async fn a_repeat_within_two_seconds_is_answered_as_the_send_and_owes_nothing() {
    let world = world!();
    let ada = address("ada");
    let first = world.start("flow", Purpose::SignInOrUp, &ada).await.unwrap();
    world.clock.advance(Duration::from_millis(1_999));
    let again = world.start("flow", Purpose::SignInOrUp, &ada).await.unwrap();
    assert_eq!((again.flow, again.masked), (first.flow, first.masked));
    assert_eq!(world.shown(&ada).await.len(), 1);
    let outcomes = world.events.take().into_iter().filter_map(|event| match event {
        Event::Challenged { outcome, .. } => Some(outcome),
        _ => None,
    });
    assert_eq!(outcomes.collect::<Vec<_>>(), [ChallengeOutcome::Started, ChallengeOutcome::Repeated]);
}

#[tokio::test]
async fn st_28_a_code_passes_in_no_other_flow_surface_slot_or_project() {
    let world = world!();
    let (ada, grace) = (address("ada"), address("grace"));
    world.start("hers", Purpose::SignInOrUp, &ada).await.unwrap();
    world.start("another's", Purpose::SignInOrUp, &grace).await.unwrap();
    let hers = world.code(&ada).await.unwrap();
    let other = Handle::new("other", world.project(), "flow", b"hers");
    let slot = Handle::new("test", world.project(), "otp", b"hers");
    for handle in [other, slot] {
        let challenge = NewChallenge { handle, ..world.challenge("", Purpose::SignInOrUp, &ada) };
        world.engine.start_challenge(&world.context(), challenge).await.unwrap();
        let answer = world.engine.verify(&world.context(), attempt(&[handle], &hers)).await;
        assert!(matches!(answer, refused!(Refusal::CodeMismatch { left: 4 })));
    }
    assert!(matches!(world.verify("another's", &hers).await, refused!(Refusal::CodeMismatch { left: 4 })));
    assert!(matches!(world.verify("nobody's", &hers).await, refused!(Refusal::FlowNotFound)));
    let elsewhere = Handle::new("test", &engine::ProjectId::new("P2"), "flow", b"hers");
    let answer = world.engine.verify(&world.context(), attempt(&[elsewhere], &hers)).await;
    assert!(matches!(answer, refused!(Refusal::FlowNotFound)));
    world.verify("hers", &hers).await.unwrap();
}

#[tokio::test]
async fn of_several_flows_the_one_whose_code_it_is_passes_and_a_miss_counts_on_each() {
    let world = world!();
    let ada = address("ada");
    let keys = ["one", "two"];
    let mut codes = Vec::new();
    for key in keys {
        world.start(key, Purpose::SignInOrUp, &ada).await.unwrap();
        codes.push(world.code(&ada).await.unwrap());
        world.clock.advance(Duration::from_secs(1));
    }
    let handles = keys.map(|key| world.handle(key));
    let wrong = (0..10).map(|n| format!("{n:06}")).find(|it| !codes.contains(it)).unwrap();
    let answer = world.engine.verify(&world.context(), attempt(&handles, &wrong)).await;
    assert!(matches!(answer, refused!(Refusal::CodeMismatch { left: 4 })));
    for handle in handles {
        assert_eq!(world.engine.flow(handle).await.unwrap().challenge.unwrap().attempts, 1);
    }
    let verified = world.engine.verify(&world.context(), attempt(&handles, &codes[1])).await.unwrap();
    assert_eq!(verified.flow.handle, handles[1]);
}

#[tokio::test]
async fn st_27_an_address_removed_or_an_identity_erased_between_send_and_verify_is_not_given_back() {
    for (what, sql) in [
        ("address removed", "DELETE FROM addresses"),
        ("identity erased", "DELETE FROM addresses; DELETE FROM identities"),
        (
            "address given to another",
            "INSERT INTO identities (id, project, state, traits, metadata, revision, created_at, updated_at) VALUES (1, 'P1', 'active', '{}', '{}', 1, 0, 0); \
             UPDATE addresses SET identity_id = 1",
        ),
    ] {
        for purpose in [Purpose::SignIn, Purpose::SignUp, Purpose::SignInOrUp, Purpose::VerifyAddress] {
            let world = world!();
            let ada = address("ada");
            let Registered::Added(owner) = world.engine.register(world.project(), ada.clone()).await.unwrap() else {
                panic!("she is new")
            };
            let mut challenge = world.challenge("flow", purpose, &ada);
            challenge.identity = Some(owner.identity.id);
            world.engine.start_challenge(&world.context(), challenge).await.unwrap();
            let code = world.code(&ada).await.unwrap();
            world.execute(sql);
            let answer = world.verify("flow", &code).await;
            assert!(matches!(answer, refused!(Refusal::IdentityNotFound)), "{purpose:?}: {what}");
            let sessions: i64 = world.row("SELECT count(*) FROM sessions");
            let proven: i64 = world.row("SELECT count(*) FROM addresses WHERE verified_at IS NOT NULL");
            assert_eq!((sessions, proven), (0, 0), "{purpose:?}: {what}");
            assert!(matches!(world.verify("flow", &code).await, refused!(Refusal::FlowPassed)), "the code is spent");
        }
    }
}

#[tokio::test]
async fn an_inactive_identity_does_not_pass() {
    let world = world!();
    let ada = address("ada");
    world.engine.register(world.project(), ada.clone()).await.unwrap();
    world.start("flow", Purpose::SignIn, &ada).await.unwrap();
    world.execute("UPDATE identities SET state = 'inactive'");
    let code = world.code(&ada).await.unwrap();
    assert!(matches!(world.verify("flow", &code).await, refused!(Refusal::IdentityInactive)));
}

#[tokio::test]
async fn the_first_proof_ends_older_sessions_flows_and_unproven_addresses() {
    let world = world!();
    let (ada, hers) = (address("ada"), address("ada.other"));
    let Registered::Added(owner) = world.engine.register(world.project(), ada.clone()).await.unwrap() else {
        panic!("she is new")
    };
    // Somebody set the account up before its owner came: a session, another address, a pending sign-in to that.
    world.execute(&format!(
        "INSERT INTO sessions (id, project, dialect, identity_id, method, issued_at, expires_at, generation, rotated_at, \
         previous_rotated_at) VALUES (5, 'P1', 'test', {id}, 'email', 0, {end}, 0, 0, 0); \
         INSERT INTO addresses (id, identity_id, project, channel, address, mailbox, created_at) \
         VALUES (6, {id}, 'P1', 'email', 'ada.other@example.com', 'ada.other@example.com', 0)",
        id = owner.identity.id,
        end = world.clock_millis() + 10_000_000,
    ));
    world.start("planted", Purpose::SignIn, &hers).await.unwrap();
    let planted = world.code(&hers).await.unwrap();
    world.start("stranger's", Purpose::SignInOrUp, &address("grace")).await.unwrap();

    let verified = world.sign_in("flow", &ada).await;
    assert_eq!(verified.identity.id, owner.identity.id);
    let old = world.session(engine::SessionId::new(5)).await.unwrap();
    assert_eq!(old.ended_at, Some(world.engine.now()));
    assert!(verified.session.unwrap().is_live(world.engine.now()));
    assert!(world.engine.owner(world.project(), &hers).await.is_err());
    assert!(matches!(world.verify("planted", &planted).await, refused!(Refusal::FlowNotFound)));
    assert!(world.engine.flow(world.handle("stranger's")).await.is_ok());

    // Later proofs end nothing.
    world.clock.advance(Duration::from_secs(5));
    let later = world.sign_in("another", &ada).await;
    assert!(!later.is_first_proof);
    let sessions: i64 = world.row("SELECT count(*) FROM sessions WHERE ended_at IS NULL");
    assert_eq!(sessions, 2);
}

#[tokio::test]
async fn a_start_a_resend_and_a_verification_are_one_store_operation_each() {
    let world = world!();
    let ada = address("ada");
    world.engine.register(world.project(), ada.clone()).await.unwrap();
    let one = |name: &'static str, before: usize| {
        assert_eq!(world.calls.take_calls(), [name], "reads count, too");
        assert_eq!(world.events.stored(), before + 1);
    };
    for (key, name) in [("known", "ada"), ("unknown", "nobody")] {
        world.calls.take_calls();
        let stored = world.events.stored();
        world.start(key, Purpose::SignIn, &address(name)).await.unwrap();
        one("start", stored);
        world.clock.advance(Duration::from_secs(5));
        world.engine.resend(&world.context(), world.handle(key), Naming::Public, ResendMode::SameCode).await.unwrap();
        one("resend", stored + 1);
        world.verify(key, "000000").await.unwrap_err();
        one("verify", stored + 2);
    }
    let code = world.code(&ada).await.unwrap();
    world.calls.take_calls();
    let stored = world.events.stored();
    world.verify("known", &code).await.unwrap();
    one("verify", stored);
    world.verify("known", &code).await.unwrap_err();
    one("verify", stored + 1);
    world.verify("none", &code).await.unwrap_err();
    one("verify", stored + 2);
    assert_eq!(world.events.verified(VerificationOutcome::Passed), 1);
}

#[tokio::test]
async fn the_project_of_a_request_is_a_world_of_its_own() {
    let world = world!();
    let ada = address("ada");
    let owner = world.sign_in("flow", &ada).await;
    let mut other = (**world.engine.projects().default_project()).clone();
    other.id = engine::ProjectId::new("P2");
    let context = world.engine.context(&other, "test", Client::default());
    assert!(world.engine.owner(&other.id, &ada).await.is_err());
    let handle = Handle::new("test", &other.id, "flow", b"flow");
    let challenge = NewChallenge { handle, ..world.challenge("", Purpose::SignInOrUp, &ada) };
    world.engine.start_challenge(&context, challenge).await.unwrap();
    let code = world.code(&ada).await.unwrap();
    let verified = world.engine.verify(&context, attempt(&[handle], &code)).await.unwrap();
    assert_ne!(verified.identity.id, owner.identity.id);
    assert_eq!(verified.identity.project, other.id);
}

fn attempt<'a>(handles: &'a [Handle], code: &'a str) -> Attempt<'a> {
    Attempt { handles, code, session: None }
}
