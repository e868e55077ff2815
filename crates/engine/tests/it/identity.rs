//! Identities by an operator's hand: changed, erased, and what that does to whatever is pending.

use std::time::Duration;

use engine::{
    Account, Address, AddressId, Change, ChangeIdentity, Digest, EraseIdentity, IdentityChange, IdentityId,
    IdentityState, Keeping, MessageState, Operation as _, Owner, ProjectId, Purpose, Refusal, Session, Start, Ticket,
    Timestamp, VerifiableAddress, WantedAddress,
};

use crate::memory::Memory;
use crate::support::*;

const LATER: Timestamp = Timestamp::from_millis(NOON.millis() + 60_000);

/// An identity that has `names` for its addresses, the first of them proved.
fn somebody(memory: &mut Memory, names: &[&str]) -> Account {
    let identity = owner_of(&address(names[0]), None).identity;
    memory.identities.insert(identity.id, identity.clone());
    for (index, name) in names.iter().enumerate() {
        let verified_at = (index == 0).then_some(NOON);
        let own = VerifiableAddress { identity: identity.id, ..owner_of(&address(name), verified_at).address };
        memory.addresses.insert(own.id, (project(), own));
    }
    memory.account(identity.id).unwrap()
}

fn wanted(name: &str, verified: Option<bool>) -> WantedAddress {
    WantedAddress { address: address(name), verified }
}

fn change(id: IdentityId, change: IdentityChange) -> ChangeIdentity {
    let address_ids = change.addresses.iter().flatten().map(|_| AddressId::new(crate::support::id())).collect();
    ChangeIdentity { now: LATER, project: project(), id, change, address_ids }
}

/// A change of its addresses to these.
fn readdress(id: IdentityId, addresses: Vec<WantedAddress>) -> ChangeIdentity {
    change(id, IdentityChange { addresses: Some(addresses), ..IdentityChange::default() })
}

fn erase(id: IdentityId) -> EraseIdentity {
    EraseIdentity { now: LATER, project: project(), id }
}

/// Signs in with `name`, which somebody has.
fn sign_in(memory: &mut Memory, name: &str) -> Session {
    let flow = started(memory.start(&start(NOON, name, Purpose::SignIn, &address(name))));
    passed(memory.verify(&verify(NOON, name, &code(&flow)))).session.unwrap()
}

/// A change by `session` of the address `current` to `to`.
fn new_address(key: &str, session: &Session, current: &str, to: &Address, keeping: Keeping) -> Start {
    let mut operation = start(NOON, key, Purpose::ChangeAddress, to);
    operation.change = Some(Change { session: session.id, generation: Some(0), current: address(current), keeping });
    operation
}

fn ticket(digest: u8, identity: IdentityId) -> Ticket {
    Ticket {
        digest: [digest; 32],
        project: project(),
        binding: Digest::from_bytes([0; 32]),
        identity: Some(identity),
        method: String::new(),
        sealed: Vec::new(),
        expires_at: LATER.plus(FLOW_LIFE),
        spent_at: None,
        session: None,
    }
}

#[test]
fn a_change_changes_what_it_names_and_nothing_else() {
    let mut memory = Memory::default();
    let before = somebody(&mut memory, &["ada", "ada.other"]);
    let changes = [
        IdentityChange { traits: Some(r#"{"name":"Ada"}"#.to_owned()), ..IdentityChange::default() },
        IdentityChange { metadata: Some(r#"{"kratos":{}}"#.to_owned()), ..IdentityChange::default() },
        IdentityChange { state: Some(IdentityState::Inactive), ..IdentityChange::default() },
    ];
    let mut expected = before;
    for (revision, what) in (2..).zip(changes) {
        let identity = &mut expected.identity;
        identity.traits = what.traits.clone().unwrap_or_else(|| identity.traits.clone());
        identity.metadata = what.metadata.clone().unwrap_or_else(|| identity.metadata.clone());
        identity.state = what.state.unwrap_or(identity.state);
        (identity.revision, identity.updated_at) = (revision, LATER);
        let id = identity.id;
        let told = memory.change_identity(&change(id, what)).unwrap();
        assert_eq!(told, expected);
        assert_eq!(memory.account(id).unwrap(), expected, "what is told is what is kept");
    }
}

#[test]
fn a_change_made_from_another_revision_changes_nothing() {
    let mut memory = Memory::default();
    let account = somebody(&mut memory, &["ada"]);
    let from = |revision| {
        let traits = Some(r#"{"name":"Ada"}"#.to_owned());
        change(account.identity.id, IdentityChange { revision: Some(revision), traits, ..IdentityChange::default() })
    };
    for revision in [0, 2] {
        assert_eq!(memory.change_identity(&from(revision)), Err(Refusal::IdentityChanged));
    }
    assert_eq!(memory.account(account.identity.id).unwrap(), account);
    assert_eq!(memory.change_identity(&from(1)).unwrap().identity.revision, 2);
    assert_eq!(memory.change_identity(&from(1)), Err(Refusal::IdentityChanged), "of two, one");
}

#[test]
fn an_identity_of_another_tenant_is_none() {
    let mut memory = Memory::default();
    let id = somebody(&mut memory, &["ada"]).identity.id;
    let project = ProjectId::new("P2");
    let elsewhere = ChangeIdentity { project: project.clone(), ..change(id, IdentityChange::default()) };
    assert_eq!(memory.change_identity(&elsewhere), Err(Refusal::IdentityNotFound));
    assert_eq!(memory.erase_identity(&EraseIdentity { project, ..erase(id) }), Err(Refusal::IdentityNotFound));
    let nobody = IdentityId::new(crate::support::id());
    assert_eq!(memory.change_identity(&change(nobody, IdentityChange::default())), Err(Refusal::IdentityNotFound));
    assert_eq!(memory.erase_identity(&erase(nobody)), Err(Refusal::IdentityNotFound));
}

#[test]
fn addresses_that_stay_are_the_rows_they_were_and_others_come_and_go() {
    let mut memory = Memory::default();
    let before = somebody(&mut memory, &["ada", "ada.other"]);
    let id = before.identity.id;
    let operation = readdress(id, vec![wanted("ada.new", None), wanted("ada", None), wanted("ada.new", Some(true))]);
    let after = memory.change_identity(&operation).unwrap();
    assert_eq!(after.addresses[0], before.addresses[0]);
    let new = VerifiableAddress {
        id: operation.address_ids[0],
        identity: id,
        address: address("ada.new"),
        verified_at: None,
        asked_at: None,
        created_at: LATER,
    };
    assert_eq!(after.addresses[1..], [new], "named twice, it counts as it is named first");
    assert_eq!(memory.account(id).unwrap(), after);
    let none = memory.change_identity(&readdress(id, Vec::new())).unwrap();
    assert!(none.addresses.is_empty() && memory.addresses.is_empty());
}

#[test]
fn an_operator_says_which_addresses_count_as_proved() {
    let mut memory = Memory::default();
    let before = somebody(&mut memory, &["ada", "ada.other"]);
    let id = before.identity.id;
    for (first, second, expected) in [
        (None, None, [Some(NOON), None]),
        (Some(true), Some(false), [Some(NOON), None]),
        (Some(false), Some(true), [None, Some(LATER)]),
        (None, None, [None, Some(LATER)]),
    ] {
        let operation = readdress(id, vec![wanted("ada", first), wanted("ada.other", second)]);
        let after = memory.change_identity(&operation).unwrap();
        assert_eq!([after.addresses[0].verified_at, after.addresses[1].verified_at], expected);
        assert_eq!(memory.account(id).unwrap(), after);
    }
    let new = readdress(id, vec![wanted("a", Some(true)), wanted("b", Some(false)), wanted("c", None)]);
    let verified: Vec<_> = memory.change_identity(&new).unwrap().addresses.iter().map(|own| own.verified_at).collect();
    assert_eq!(verified, [Some(LATER), None, None]);
}

#[test]
fn st_26_an_address_of_somebody_else_is_not_taken_away_from_him() {
    let mut memory = Memory::default();
    let ada = somebody(&mut memory, &["ada"]);
    let grace = somebody(&mut memory, &["grace", "grace.other"]);
    for name in ["grace", "grace.other"] {
        let operation = readdress(ada.identity.id, vec![wanted("ada", None), wanted(name, Some(true))]);
        assert_eq!(memory.change_identity(&operation), Err(Refusal::AddressTaken), "{name}");
    }
    assert_eq!(memory.account(ada.identity.id).unwrap(), ada);
    assert_eq!(memory.account(grace.identity.id).unwrap(), grace);
}

#[test]
fn who_may_no_longer_sign_in_is_signed_out_and_none_of_his_tickets_lets_him_in_again() {
    let mut memory = Memory::default();
    let id = somebody(&mut memory, &["ada"]).identity.id;
    let session = sign_in(&mut memory, "ada");
    memory.tickets.insert([1; 32], ticket(1, id));
    let to = |state| change(id, IdentityChange { state: Some(state), ..IdentityChange::default() });
    memory.change_identity(&to(IdentityState::Active)).unwrap();
    assert!(memory.sessions[&session.id].is_live(LATER), "who may, may");
    assert_eq!(memory.tickets.len(), 1);
    memory.change_identity(&to(IdentityState::Inactive)).unwrap();
    assert_eq!(memory.sessions[&session.id].ended_at, Some(LATER));
    assert!(memory.tickets.is_empty());
    memory.change_identity(&to(IdentityState::Active)).unwrap();
    assert!(!memory.sessions[&session.id].is_live(LATER), "nothing comes back");
}

#[test]
fn erasing_takes_everything_that_says_who_it_was() {
    let mut memory = Memory::default();
    let id = somebody(&mut memory, &["ada", "ada.other"]).identity.id;
    let grace = somebody(&mut memory, &["grace"]);
    let hers = sign_in(&mut memory, "grace");
    let session = sign_in(&mut memory, "ada");
    memory.sessions.get_mut(&session.id).unwrap().memo = Some("192.0.2.1".to_owned());
    memory.sessions.get_mut(&hers.id).unwrap().memo = Some("192.0.2.2".to_owned());
    memory.tickets.insert([1; 32], ticket(1, id));
    memory.tickets.insert([2; 32], ticket(2, grace.identity.id));
    let pending = started(memory.start(&start(NOON, "pending", Purpose::SignIn, &address("ada"))));

    assert_eq!(memory.erase_identity(&erase(id)), Ok(()));
    assert!(memory.account(id).is_none());
    assert!(memory.addresses.values().all(|(_, own)| own.identity == grace.identity.id));
    assert!(memory.flows.values().all(|flow| flow.identity == Some(grace.identity.id)), "also those that have passed");
    assert_eq!(memory.tickets.keys().collect::<Vec<_>>(), [&[2; 32]]);
    let kept = &memory.sessions[&session.id];
    assert_eq!((kept.ended_at, kept.memo.as_deref()), (Some(LATER), None));
    let kept = &memory.sessions[&hers.id];
    assert_eq!((kept.ended_at, kept.memo.as_deref()), (None, Some("192.0.2.2")), "nobody else's");
    // What is still owed to her is not sent.
    assert!(memory.lease(&lease(NOON)).messages.is_empty());
    assert_eq!(memory.outbox[&challenge(&pending).message].state, MessageState::Dropped);
    assert_eq!(memory.erase_identity(&erase(id)), Err(Refusal::IdentityNotFound), "once");
}

/// Every flow there may be when an operator takes an address away from its identity: each with what it is asked for.
fn pending(memory: &mut Memory, session: &Session, ada: &Address) -> Vec<(&'static str, String)> {
    let purposes = [
        ("sign in", Purpose::SignIn),
        ("sign up", Purpose::SignUp),
        ("either", Purpose::SignInOrUp),
        ("verify", Purpose::VerifyAddress),
    ];
    let mut operations: Vec<_> =
        purposes.into_iter().map(|(key, purpose)| (key, start(NOON, key, purpose, ada))).collect();
    for (key, keeping) in [("replace", Keeping::Replace), ("beside", Keeping::Both)] {
        operations.push((key, new_address(key, session, "ada.other", ada, keeping)));
    }
    let ask = |(key, operation)| {
        let flow = started(memory.start(&operation));
        (key, code(&flow))
    };
    operations.into_iter().map(ask).collect()
}

/// Whoever has `name`, if anybody.
fn owner(memory: &Memory, name: &str) -> Option<Owner> {
    memory.owner(&project(), &address(name))
}

#[test]
fn st_27_an_address_that_an_operator_took_away_is_given_back_by_nothing_that_was_pending() {
    let ada = address("ada");
    // Proved already or not: for a sign-up of a proved one no code was sent, and none passes.
    for verified_at in [None, Some(NOON)] {
        let mut memory = Memory::default();
        let id = somebody(&mut memory, &["ada.other", "ada"]).identity.id;
        let session = sign_in(&mut memory, "ada.other");
        let own = owner(&memory, "ada").unwrap().address.id;
        memory.addresses.get_mut(&own).unwrap().1.verified_at = verified_at;
        let pending = pending(&mut memory, &session, &ada);
        memory.change_identity(&readdress(id, vec![wanted("ada.other", None)])).unwrap();
        let (before, sessions) = (memory.account(id).unwrap(), memory.sessions.len());
        for (key, code) in pending {
            let refused = refusal(&memory.verify(&verify(LATER, key, &code)));
            let expected = match key {
                // Nothing is left to be answered: it alone would have given the address to whoever asks.
                "replace" | "beside" => Refusal::FlowNotFound,
                "sign up" if verified_at.is_some() => Refusal::CodeMismatch { left: 4 },
                _ => Refusal::IdentityNotFound,
            };
            assert_eq!(refused, expected, "{key}, {verified_at:?}");
            assert!(owner(&memory, "ada").is_none(), "{key}");
        }
        assert_eq!(memory.account(id).unwrap(), before);
        assert_eq!(memory.sessions.len(), sessions, "and nobody is signed in by it");
    }
}

#[test]
fn st_27_an_erased_identity_is_given_nothing_back_by_anything_that_was_pending() {
    let ada = address("ada");
    let mut memory = Memory::default();
    let id = somebody(&mut memory, &["ada.other", "ada"]).identity.id;
    let session = sign_in(&mut memory, "ada.other");
    let pending = pending(&mut memory, &session, &ada);
    memory.erase_identity(&erase(id)).unwrap();
    for (key, code) in pending {
        assert_eq!(refusal(&memory.verify(&verify(LATER, key, &code))), Refusal::FlowNotFound, "{key}");
    }
    assert!(memory.identities.is_empty() && memory.addresses.is_empty());
    assert!(memory.sessions.values().all(|session| !session.is_live(LATER)));
}

#[test]
fn st_27_an_address_that_its_owner_replaced_is_not_given_back_by_an_older_change_that_is_pending() {
    let mut memory = Memory::default();
    let id = somebody(&mut memory, &["ada", "ada.other"]).identity.id;
    let session = sign_in(&mut memory, "ada");
    // Whoever reads the address that she is about to give up asks to have it anew.
    let again = started(memory.start(&new_address("again", &session, "ada.other", &address("ada"), Keeping::Both)));
    let change = new_address("change", &session, "ada", &address("ada.new"), Keeping::Replace);
    let change = started(memory.start(&change));
    passed(memory.verify(&verify(LATER, "change", &code(&change))));
    assert_eq!(refusal(&memory.verify(&verify(LATER, "again", &code(&again)))), Refusal::FlowNotFound);
    let left: Vec<_> = memory.account(id).unwrap().addresses.into_iter().map(|own| own.address).collect();
    assert_eq!(left, [address("ada.other"), address("ada.new")]);
}

#[test]
fn a_change_to_an_address_that_was_not_taken_away_goes_on() {
    let mut memory = Memory::default();
    let id = somebody(&mut memory, &["ada", "ada.other"]).identity.id;
    let session = sign_in(&mut memory, "ada");
    let change = new_address("change", &session, "ada", &address("ada.new"), Keeping::Replace);
    let change = started(memory.start(&change));
    memory.change_identity(&readdress(id, vec![wanted("ada", None)])).unwrap();
    let later = LATER.plus(Duration::from_secs(1));
    let verified = passed(memory.verify(&verify(later, "change", &code(&change))));
    assert_eq!(verified.addresses, std::slice::from_ref(&verified.address));
    assert_eq!(verified.address.address, address("ada.new"));
}

#[test]
fn an_erasure_writes_what_was_owned_before_its_owner() {
    let mut memory = Memory::default();
    let account = somebody(&mut memory, &["ada", "ada.other"]);
    let decision = erase(account.identity.id).decide(Some(account));
    assert_eq!(
        names(&decision.writes),
        ["DropFlows", "EndSessions", "ForgetSessions", "DropTickets", "DropAddress", "DropAddress", "DropIdentity"]
    );
}
