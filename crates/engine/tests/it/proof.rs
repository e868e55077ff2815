//! What passing means: to whom the address is proved, and what ends with it.

use std::time::Duration;

use engine::{
    AddressId, Identity, IdentityState, Operation as _, Owner, Purpose, Refusal, Session, SessionId, VerifiableAddress,
};

use crate::memory::Memory;
use crate::support::*;

/// `owner`, who may not sign in any more.
fn inactive(owner: &Owner) -> Owner {
    Owner {
        identity: Identity { state: IdentityState::Inactive, ..owner.identity.clone() },
        address: owner.address.clone(),
    }
}

/// What may become of an address between the sending of a code and its coming back.
fn changes(owner: &Owner) -> [(&'static str, Option<Owner>, Refusal); 3] {
    [
        ("removed, or its identity erased", None, Refusal::IdentityNotFound),
        ("given to another", Some(owner_of(&owner.address.address, None)), Refusal::IdentityNotFound),
        ("its identity made inactive", Some(inactive(owner)), Refusal::IdentityInactive),
    ]
}

#[test]
fn st_27_an_address_that_changed_hands_between_send_and_verify_is_not_given_back() {
    let ada = address("ada");
    for purpose in PURPOSES {
        for verified_at in [None, Some(NOON)] {
            let owner = owner_of(&ada, verified_at);
            let flow = asked("flow", purpose, &ada, Some(&owner));
            for (what, changed, expected) in changes(&owner) {
                if purpose == Purpose::VerifyAddress && expected == Refusal::IdentityInactive {
                    // It is its own address still: see the test below.
                    continue;
                }
                let is_decoy = purpose == Purpose::SignUp && verified_at.is_some();
                let expected = match (&changed, is_decoy) {
                    (_, true) => Refusal::CodeMismatch { left: 4 },
                    _ => expected,
                };
                let decision = verify(NOON, "flow", &code(&flow)).decide(only(seen(&flow, changed.as_ref())));
                assert_eq!(refusal(&decision.outcome), expected, "{purpose:?}: {what}");
                let written = names(&decision.writes);
                let spent: &[&str] = if is_decoy { &["CountMiss", "PutBudget"] } else { &["PassFlow"] };
                assert_eq!(written, spent, "{purpose:?}: {what}: no session, no address, and the code is spent");
            }
        }
    }
}

#[test]
fn who_may_not_sign_in_may_prove_an_address_and_is_not_signed_in_by_it() {
    let ada = address("ada");
    for verified_at in [None, Some(NOON)] {
        let owner = owner_of(&ada, verified_at);
        let inactive = inactive(&owner);
        let flow = asked("flow", Purpose::VerifyAddress, &ada, Some(&owner));
        let now = NOON.plus(Duration::from_secs(30));
        // A session was asked for; nobody gets one.
        let decision = verify(now, "flow", &code(&flow)).decide(only(seen(&flow, Some(&inactive))));
        let expected: &[&str] =
            if verified_at.is_none() { &["ProveAddress", "BumpIdentity", "PassFlow"] } else { &["PassFlow"] };
        assert_eq!(names(&decision.writes), expected);
        let verified = passed(decision.outcome);
        assert_eq!((&verified.session, verified.identity.state), (&None, IdentityState::Inactive));
        assert_eq!(verified.address.verified_at, verified_at.or(Some(now)));
    }
}

#[test]
fn st_27_a_sign_up_does_not_take_an_address_that_was_taken_meanwhile() {
    let ada = address("ada");
    let flow = asked("flow", Purpose::SignUp, &ada, None);
    let other = owner_of(&ada, None);
    let decision = verify(NOON, "flow", &code(&flow)).decide(only(seen(&flow, Some(&other))));
    assert_eq!(refusal(&decision.outcome), Refusal::AddressTaken);
    assert_eq!(names(&decision.writes), ["PassFlow"]);
}

#[test]
fn two_who_sign_in_or_up_at_once_with_one_address_are_one_person() {
    let ada = address("ada");
    let mut memory = Memory::default();
    for key in ["one", "two"] {
        started(memory.start(&start(NOON, key, Purpose::SignInOrUp, &ada)));
    }
    let codes = ["one", "two"].map(|key| code(memory.flow(&handle(key)).unwrap()));
    let first = passed(memory.verify(&verify(NOON, "one", &codes[0])));
    let second = passed(memory.verify(&verify(NOON, "two", &codes[1])));
    assert_eq!(first.identity.id, second.identity.id);
    assert_eq!((first.is_first_proof, second.is_first_proof), (true, false));
    assert_eq!((memory.identities.len(), memory.addresses.len(), memory.sessions.len()), (1, 1, 2));
}

#[test]
fn the_first_proof_ends_what_was_there_before_it() {
    let ada = address("ada");
    let owner = owner_of(&ada, None);
    for purpose in [Purpose::SignIn, Purpose::SignUp, Purpose::SignInOrUp] {
        let flow = asked("flow", purpose, &ada, Some(&owner));
        let decision = verify(NOON, "flow", &code(&flow)).decide(only(seen(&flow, Some(&owner))));
        assert_eq!(
            names(&decision.writes),
            [
                "EndSessions",
                "DropTickets",
                "DropFlows",
                "DropUnprovenAddresses",
                "ProveAddress",
                "BumpIdentity",
                "PassFlow",
                "OpenSession"
            ],
            "{purpose:?}: the old ends before the new session begins"
        );
        let verified = passed(decision.outcome);
        assert!(verified.is_first_proof);
        assert_eq!(verified.address.verified_at, Some(NOON));
        assert_eq!(verified.identity.revision, 2);
    }
}

#[test]
fn a_first_proof_by_which_nobody_signs_in_ends_nothing() {
    let ada = address("ada");
    let owner = owner_of(&ada, None);
    let mut flow = asked("flow", Purpose::VerifyAddress, &ada, Some(&owner));
    flow.attributes = Some(r#"{"name":"Mallory"}"#.to_owned());
    let mut seen = seen(&flow, Some(&owner));
    let other = owner_of(&address("ada.other"), None).address;
    let other = VerifiableAddress { identity: owner.identity.id, ..other };
    seen.account.as_mut().unwrap().addresses.push(other.clone());
    let decision = verify(NOON, "flow", &code(&flow)).decide(only(seen));
    assert_eq!(names(&decision.writes), ["ProveAddress", "BumpIdentity", "PassFlow", "OpenSession"]);
    let verified = passed(decision.outcome);
    assert!(verified.is_first_proof, "and it says so");
    assert_eq!(verified.addresses, [verified.address.clone(), other], "the other one stays, unproved");
    assert_eq!((verified.identity.traits.as_str(), verified.identity.revision), ("{}", 2));
}

#[test]
fn the_first_proof_keeps_nothing_but_itself() {
    let (ada, hers) = (address("ada"), address("ada.other"));
    let owner = owner_of(&ada, None);
    let mut memory = Memory::default();
    let other = VerifiableAddress { id: AddressId::new(id()), address: hers.clone(), ..owner.address.clone() };
    memory.identities.insert(owner.identity.id, owner.identity.clone());
    for address in [&owner.address, &other] {
        memory.addresses.insert(address.id, (project(), address.clone()));
    }
    let session = Session {
        id: SessionId::new(id()),
        project: project(),
        dialect: "test".to_owned(),
        identity: owner.identity.id,
        method: "email".to_owned(),
        memo: None,
        device: None,
        issued_at: NOON,
        expires_at: NOON.plus(FLOW_LIFE),
        ended_at: None,
        generation: 0,
        rotated_at: NOON,
        previous_rotated_at: NOON,
    };
    memory.sessions.insert(session.id, session.clone());
    let flow = started(memory.start(&start(NOON, "hers", Purpose::SignIn, &ada)));
    let planted = started(memory.start(&start(NOON, "planted", Purpose::SignIn, &hers)));
    let stranger = started(memory.start(&start(NOON, "stranger's", Purpose::SignInOrUp, &address("grace"))));

    let now = NOON.plus(Duration::from_mins(1));
    let verified = passed(memory.verify(&verify(now, "hers", &code(&flow))));
    assert_eq!(memory.sessions[&session.id].ended_at, Some(now));
    assert!(verified.session.unwrap().is_live(now));
    assert_eq!(memory.addresses.keys().collect::<Vec<_>>(), [&owner.address.id]);
    assert!(memory.flows.contains_key(&flow.id), "its own flow still tells that it passed");
    assert!(!memory.flows.contains_key(&planted.id));
    assert!(memory.flows.contains_key(&stranger.id));
    assert_eq!(refusal(&memory.verify(&verify(now, "planted", &code(&planted)))), Refusal::FlowNotFound);
}

#[test]
fn a_second_address_is_proved_without_ending_anything() {
    let ada = address("ada");
    let owner = owner_of(&ada, None);
    let flow = asked("flow", Purpose::VerifyAddress, &ada, Some(&owner));
    // The identity has proved another address before.
    let mut seen = seen(&flow, Some(&owner));
    let mut other = owner_of(&address("ada.other"), Some(NOON)).address;
    other.identity = owner.identity.id;
    seen.account.as_mut().unwrap().addresses.push(other);
    let decision = verify(NOON, "flow", &code(&flow)).decide(only(seen));
    assert_eq!(names(&decision.writes), ["ProveAddress", "BumpIdentity", "PassFlow", "OpenSession"]);
    assert!(!passed(decision.outcome).is_first_proof);
}
