//! Sessions: refreshed with grace, ended on behalf of one of them, and the change of address they are needed for.

use std::time::Duration;

use engine::{
    Change, EndSessions, GRACE, IdentityState, Keeping, Naming, Purpose, Refresh, RefreshOutcome, Refusal, Rotation,
    Session, SessionId, Sessions, Start, StartOutcome, Timestamp,
};

use crate::memory::Memory;
use crate::support::*;

/// Somebody who owns `address` and is signed in.
fn signed_in(memory: &mut Memory, name: &str) -> Session {
    let flow = started(memory.start(&start(NOON, name, Purpose::SignInOrUp, &address(name))));
    passed(memory.verify(&verify(NOON, name, &code(&flow)))).session.unwrap()
}

fn refresh(now: Timestamp, session: SessionId, generation: u32, rotation: Rotation) -> Refresh {
    Refresh { now, project: project(), dialect: "test", session, generation, rotation }
}

fn refreshed(outcome: RefreshOutcome) -> Session {
    match outcome {
        RefreshOutcome::Refreshed(caller) => caller.session,
        RefreshOutcome::Refused(refusal) => panic!("{refusal:?}"),
    }
}

fn refused(outcome: &RefreshOutcome) -> Refusal {
    match outcome {
        RefreshOutcome::Refused(refusal) => *refusal,
        RefreshOutcome::Refreshed(_) => panic!("refreshed"),
    }
}

#[test]
fn st_62_parallel_refreshes_and_a_lost_answer_keep_the_session_and_get_the_same_successor() {
    let mut memory = Memory::default();
    let session = signed_in(&mut memory, "ada");
    let first = NOON.plus(Duration::from_mins(1));
    let successor = refreshed(memory.refresh(&refresh(first, session.id, 0, Rotation::On)));
    assert_eq!((successor.generation, successor.rotated_at), (1, first));
    for late in [Duration::ZERO, Duration::from_secs(1), Duration::from_millis(29_999)] {
        let again = refreshed(memory.refresh(&refresh(first.plus(late), session.id, 0, Rotation::On)));
        assert_eq!(again, successor, "{late:?}");
    }
    // The successor is used: its predecessor is late, and nobody is punished for it.
    let second = first.plus(Duration::from_secs(10));
    assert_eq!(refreshed(memory.refresh(&refresh(second, session.id, 1, Rotation::On))).generation, 2);
    assert_eq!(refused(&memory.refresh(&refresh(second, session.id, 0, Rotation::On))), Refusal::TokenInvalid);
    assert!(memory.sessions[&session.id].is_live(second));
}

#[test]
fn st_62_a_truly_old_token_ends_the_session() {
    for (used, presented) in [(1, 0), (2, 0), (3, 0), (3, 1)] {
        let mut memory = Memory::default();
        let session = signed_in(&mut memory, "ada");
        let mut now = NOON;
        for generation in 0..used {
            now = now.plus(Duration::from_mins(10));
            refreshed(memory.refresh(&refresh(now, session.id, generation, Rotation::On)));
        }
        let later = now.plus(GRACE);
        assert_eq!(
            refused(&memory.refresh(&refresh(later, session.id, presented, Rotation::On))),
            Refusal::TokenReused
        );
        assert_eq!(refused(&memory.refresh(&refresh(later, session.id, used, Rotation::On))), Refusal::SessionEnded);
    }
}

#[test]
fn without_rotation_the_token_stays_good_as_long_as_its_session() {
    let mut memory = Memory::default();
    let session = signed_in(&mut memory, "ada");
    let last = session.expires_at.minus(Duration::from_millis(1));
    for now in [NOON, NOON.plus(GRACE), last] {
        assert_eq!(refreshed(memory.refresh(&refresh(now, session.id, 0, Rotation::Off))), session);
    }
    let over = memory.refresh(&refresh(session.expires_at, session.id, 0, Rotation::Off));
    assert_eq!(refused(&over), Refusal::SessionEnded);
}

#[test]
fn a_session_goes_on_only_for_whom_it_was_opened() {
    let mut memory = Memory::default();
    let session = signed_in(&mut memory, "ada");
    let good = || refresh(NOON, session.id, 0, Rotation::Off);
    let foreign = Refresh { dialect: "other", ..good() };
    assert_eq!(refused(&memory.refresh(&foreign)), Refusal::SessionEnded);
    let elsewhere = Refresh { project: engine::ProjectId::new("P-other"), ..good() };
    assert_eq!(refused(&memory.refresh(&elsewhere)), Refusal::SessionEnded);
    let unknown = Refresh { session: SessionId::new(1), ..good() };
    assert_eq!(refused(&memory.refresh(&unknown)), Refusal::SessionEnded);
    let never_made = Refresh { generation: 1, ..good() };
    assert_eq!(refused(&memory.refresh(&never_made)), Refusal::TokenInvalid);
    memory.identities.get_mut(&session.identity).unwrap().state = IdentityState::Inactive;
    assert_eq!(refused(&memory.refresh(&good())), Refusal::IdentityInactive);
}

#[test]
fn ending_ends_this_session_or_all_of_its_identity_and_nobody_elses() {
    for (which, other_lives) in [(Sessions::This, true), (Sessions::OfIdentity, false)] {
        let mut memory = Memory::default();
        let (one, grace) = (signed_in(&mut memory, "ada"), signed_in(&mut memory, "grace"));
        let other = signed_in(&mut memory, "ada");
        assert_eq!(one.identity, other.identity);
        let end = EndSessions { now: NOON, project: project(), dialect: "test", session: one.id, which };
        assert_eq!(memory.end_sessions(&end), Ok(()));
        assert_eq!(memory.end_sessions(&end), Err(Refusal::SessionEnded));
        assert_eq!(memory.sessions[&other.id].is_live(NOON), other_lives);
        assert!(memory.sessions[&grace.id].is_live(NOON));
    }
}

/// A start that changes `current` to `new` on behalf of `session`.
fn change(now: Timestamp, session: &Session, current: &str, new: &str, keeping: Keeping) -> Start {
    let change =
        Change { session: session.id, generation: Some(session.generation), current: address(current), keeping };
    Start { change: Some(change), ..start(now, "update", Purpose::ChangeAddress, &address(new)) }
}

#[test]
fn a_change_replaces_only_the_address_it_names_and_only_once_it_is_proved() {
    for (keeping, left) in [(Keeping::Replace, vec!["ada.new"]), (Keeping::Both, vec!["ada", "ada.new"])] {
        let mut memory = Memory::default();
        let session = signed_in(&mut memory, "ada");
        let flow = started(memory.start(&change(NOON, &session, "ada", "ada.new", keeping)));
        assert!(memory.owner(&project(), &address("ada.new")).is_none(), "not before it is proved");
        let verified = passed(memory.verify(&verify(NOON, "update", &code(&flow))));
        assert!(!verified.is_first_proof);
        assert_eq!(verified.identity.id, session.identity);
        let expected: Vec<_> = left.into_iter().map(address).collect();
        assert_eq!(verified.addresses.iter().map(|own| own.address.clone()).collect::<Vec<_>>(), expected);
        let kept = memory.account(session.identity).unwrap().addresses;
        assert_eq!(kept, verified.addresses);
        assert!(memory.sessions[&session.id].is_live(NOON), "a later proof ends nothing");
    }
}

#[test]
fn a_change_needs_a_live_session_of_who_has_the_address() {
    let mut memory = Memory::default();
    let (ada, grace) = (signed_in(&mut memory, "ada"), signed_in(&mut memory, "grace"));
    let refusal = |outcome| match outcome {
        StartOutcome::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    };
    let foreign = change(NOON, &grace, "ada", "new", Keeping::Replace);
    assert_eq!(refusal(memory.start(&foreign)), Refusal::IdentityNotFound);
    let good = change(NOON, &ada, "ada", "new", Keeping::Replace);
    let over = Start { asking: asking(ada.expires_at, engine::ResendMode::SameCode), ..good };
    assert_eq!(refusal(memory.start(&over)), Refusal::SessionEnded);
    memory.sessions.get_mut(&ada.id).unwrap().ended_at = Some(NOON);
    let ended = change(NOON, &ada, "ada", "new", Keeping::Replace);
    assert_eq!(refusal(memory.start(&ended)), Refusal::SessionEnded);
    assert!(memory.outbox.values().all(|message| message.recipient != address("new")));
}

#[test]
fn st_27_a_pending_change_gives_nothing_when_what_it_replaces_or_takes_has_changed_hands() {
    // The address it replaces is gone.
    let mut memory = Memory::default();
    let session = signed_in(&mut memory, "ada");
    let flow = started(memory.start(&change(NOON, &session, "ada", "ada.new", Keeping::Replace)));
    let old = memory.owner(&project(), &address("ada")).unwrap().address.id;
    memory.addresses.remove(&old);
    assert_eq!(refusal(&memory.verify(&verify(NOON, "update", &code(&flow)))), Refusal::IdentityNotFound);
    assert!(memory.owner(&project(), &address("ada.new")).is_none());

    // The new one has come to be somebody else's.
    let mut memory = Memory::default();
    let session = signed_in(&mut memory, "ada");
    let flow = started(memory.start(&change(NOON, &session, "ada", "grace", Keeping::Replace)));
    let grace = signed_in(&mut memory, "grace");
    assert_eq!(refusal(&memory.verify(&verify(NOON, "update", &code(&flow)))), Refusal::AddressTaken);
    assert_eq!(memory.owner(&project(), &address("grace")).unwrap().identity.id, grace.identity);
    assert!(memory.owner(&project(), &address("ada")).is_some());

    // The identity is gone.
    let mut memory = Memory::default();
    let session = signed_in(&mut memory, "ada");
    let flow = started(memory.start(&change(NOON, &session, "ada", "ada.new", Keeping::Both)));
    memory.identities.clear();
    memory.addresses.clear();
    assert_eq!(refusal(&memory.verify(&verify(NOON, "update", &code(&flow)))), Refusal::IdentityNotFound);
    assert!(memory.addresses.is_empty() && memory.identities.is_empty());
}

#[test]
fn st_63_a_strangers_start_leaves_purpose_and_attributes_of_a_pending_flow_as_they_are() {
    let ada = address("ada");
    let mut memory = Memory::default();
    let attributes = |name: &str| Some(format!(r#"{{"name":"{name}"}}"#));
    let hers = Start { attributes: attributes("Ada"), ..start(NOON, "ada", Purpose::SignUp, &ada) };
    let flow = started(memory.start(&hers));
    let mut now = NOON;
    for purpose in [Purpose::SignIn, Purpose::SignUp, Purpose::SignInOrUp] {
        now = now.plus(Duration::from_secs(5));
        let his = Start {
            attributes: attributes("Mallory"),
            memo: Some("his".to_owned()),
            ..start(now, "ada", purpose, &ada)
        };
        let held = started(memory.start(&his));
        assert_eq!((held.purpose, &held.attributes, &held.memo), (flow.purpose, &flow.attributes, &flow.memo));
        assert_eq!(code(&held), code(&flow), "the code in her inbox stays good");
    }
    let verified = passed(memory.verify(&verify(now, "ada", &code(&flow))));
    assert_eq!(verified.identity.traits, r#"{"name":"Ada"}"#);
}

#[test]
fn a_start_that_nobody_can_answer_never_stands_in_the_way_of_one_that_somebody_can() {
    let ada = address("ada");
    let mut memory = Memory::default();
    let decoy = started(memory.start(&start(NOON, "ada", Purpose::SignIn, &ada)));
    let flow = started(memory.start(&start(NOON, "ada", Purpose::SignUp, &ada)));
    assert_eq!(flow.purpose, Purpose::SignUp);
    assert!(challenge(&flow).epoch > challenge(&decoy).epoch);
    passed(memory.verify(&verify(NOON, "ada", &code(&flow))));
}

#[test]
fn a_secret_handle_is_asked_anew_by_who_knows_it() {
    let ada = address("ada");
    let mut memory = Memory::default();
    let first = Start { naming: Naming::Secret, ..start(NOON, "ada", Purpose::SignUp, &ada) };
    let flow = started(memory.start(&first));
    let now = NOON.plus(Duration::from_secs(5));
    let other = Start { naming: Naming::Secret, ..start(now, "ada", Purpose::SignInOrUp, &ada) };
    let again = started(memory.start(&other));
    assert_eq!(again.purpose, Purpose::SignInOrUp);
    assert_ne!(code(&again), code(&flow));
    assert_eq!(again.id, flow.id);
}

#[test]
fn st_62_an_old_refresh_token_changes_no_address() {
    let mut memory = Memory::default();
    let mut session = signed_in(&mut memory, "ada");
    session.generation = 1;
    session.rotated_at = NOON;
    memory.sessions.insert(session.id, session.clone());
    let start = |memory: &mut Memory, now: Timestamp, generation: u32| {
        let mut operation = change(now, &session, "ada", "new", Keeping::Replace);
        operation.change.as_mut().unwrap().generation = Some(generation);
        memory.start(&operation)
    };
    let later = NOON.plus(GRACE);
    for (now, generation) in [(later, 0), (NOON, 2)] {
        assert!(matches!(start(&mut memory, now, generation), StartOutcome::Refused(Refusal::TokenInvalid)));
    }
    started(start(&mut memory, NOON, 0));
    started(start(&mut memory, later, 1));
}
