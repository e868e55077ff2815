//! A word to the address that another one replaces.

use std::time::Duration;

use engine::{
    AddressId, Change, Content, Keeping, LEASE, MessageKind, MessageState, NOTICE_LIFE, Operation as _, OutboxMessage,
    Purpose, Refusal, Session, Start, Timestamp, VerifiableAddress,
};

use crate::memory::Memory;
use crate::support::*;

const LATER: Timestamp = Timestamp::from_millis(NOON.millis() + 60_000);

/// Somebody who owns `name` and is signed in.
fn signed_in(memory: &mut Memory, name: &str) -> Session {
    let flow = started(memory.start(&start(NOON, name, Purpose::SignInOrUp, &address(name))));
    passed(memory.verify(&verify(NOON, name, &code(&flow)))).session.unwrap()
}

/// A start that has `current` make room for `new`, or has `new` beside it.
fn change(session: &Session, current: &str, new: &str, keeping: Keeping) -> Start {
    let change = Change { session: session.id, generation: None, current: address(current), keeping };
    Start { change: Some(change), ..start(NOON, "change", Purpose::ChangeAddress, &address(new)) }
}

fn notices(memory: &Memory) -> Vec<&OutboxMessage> {
    memory.outbox.values().filter(|message| message.kind == MessageKind::AddressReplaced).collect()
}

/// Whom the notices tell what, taken at `now`.
fn told(memory: &mut Memory, now: Timestamp) -> Vec<(String, String)> {
    let leased = memory.lease(&lease(now)).messages.into_iter();
    let notices = leased.filter_map(|message| match message.content {
        Content::AddressReplaced { by } => {
            assert_eq!((message.purpose, message.created_at), (Purpose::ChangeAddress, LATER));
            Some((message.recipient.mailbox().to_owned(), by))
        }
        Content::Code { .. } | Content::NoAccount => None,
    });
    notices.collect()
}

#[test]
fn st_33_the_address_that_was_replaced_is_told_once_in_the_same_operation_and_nothing_is_spent() {
    let mut memory = Memory::default();
    let session = signed_in(&mut memory, "ada");
    let flow = started(memory.start(&change(&session, "ada", "countess", Keeping::Replace)));
    let (code, budgets) = (code(&flow), memory.budgets.clone());
    passing_writes(&memory, &code);
    // What does not pass tells nobody.
    assert!(matches!(
        refusal(&memory.verify(&verify(NOON, "change", &other_than(&code)))),
        Refusal::CodeMismatch { .. }
    ));
    assert!(notices(&memory).is_empty());
    passed(memory.verify(&verify(LATER, "change", &code)));
    assert_eq!(refusal(&memory.verify(&verify(LATER, "change", &code))), Refusal::FlowPassed);

    let [notice] = notices(&memory)[..] else { panic!("one notice") };
    assert_eq!((&notice.recipient, notice.state, notice.epoch), (&address("ada"), MessageState::Owed, 0));
    assert_eq!(notice.replaced_by.as_deref(), Some("c***@example.com"));
    assert_eq!((notice.created_at, notice.due_at, notice.not_after), (LATER, LATER, LATER.plus(NOTICE_LIFE)));
    assert_eq!(notice.link, None);
    let spent =
        |name: &str| memory.budgets.get(&(project(), address(name))).map(|budget| budget.stranger.sends.clone());
    let before = |name: &str| budgets.get(&(project(), address(name))).map(|budget| budget.stranger.sends.clone());
    for name in ["ada", "countess"] {
        assert_eq!(spent(name).unwrap_or_default(), before(name).unwrap_or_default(), "{name}");
    }
}

/// What the pass writes: the notice, and nothing about budgets.
fn passing_writes(memory: &Memory, code: &str) {
    let seen = memory.seen(&handle("change")).unwrap();
    let decision = verify(LATER, "change", code).decide(only(seen));
    let expected =
        ["AddAddress", "DropAddress", "OweMessage", "DropChanges", "BumpIdentity", "PassFlow", "OpenSession"];
    assert_eq!(names(&decision.writes), expected);
}

#[test]
fn st_33_a_notice_goes_out_whatever_becomes_of_its_flow_and_not_after_a_day() {
    let notice = |gone: bool| {
        let mut memory = Memory::default();
        let session = signed_in(&mut memory, "ada");
        let flow = started(memory.start(&change(&session, "ada", "countess", Keeping::Replace)));
        passed(memory.verify(&verify(LATER, "change", &code(&flow))));
        if gone {
            memory.flows.clear();
        }
        memory
    };
    let expected = [("ada@example.com".to_owned(), "c***@example.com".to_owned())];
    for gone in [false, true] {
        let mut memory = notice(gone);
        assert_eq!(told(&mut memory, LATER), expected, "gone: {gone}");
        assert!(told(&mut memory, LATER).is_empty(), "it is leased");
        assert_eq!(told(&mut memory, LATER.plus(LEASE)), expected, "whoever took it is taken for dead");
    }
    let end = LATER.plus(NOTICE_LIFE);
    assert_eq!(told(&mut notice(true), end.minus(Duration::from_mins(1))), expected);
    let mut late = notice(true);
    assert!(told(&mut late, end.minus(Duration::from_secs(59))).is_empty());
    assert_eq!(notices(&late)[0].state, MessageState::Expired);
}

#[test]
fn st_33_nobody_is_told_where_nothing_that_was_proved_is_replaced() {
    // A second address beside the first.
    let mut memory = Memory::default();
    let session = signed_in(&mut memory, "ada");
    let flow = started(memory.start(&change(&session, "ada", "countess", Keeping::Both)));
    passed(memory.verify(&verify(LATER, "change", &code(&flow))));
    assert!(notices(&memory).is_empty());

    // The address itself, proved again.
    let mut memory = Memory::default();
    let session = signed_in(&mut memory, "ada");
    let flow = started(memory.start(&change(&session, "ada", "ada", Keeping::Replace)));
    passed(memory.verify(&verify(LATER, "change", &code(&flow))));
    assert!(notices(&memory).is_empty());

    // One that was never proved: nobody has shown to read it.
    let mut memory = Memory::default();
    let session = signed_in(&mut memory, "ada");
    let unproved = VerifiableAddress {
        id: AddressId::new(id()),
        address: address("somebody.else"),
        verified_at: None,
        ..memory.owner(&project(), &address("ada")).unwrap().address
    };
    memory.addresses.insert(unproved.id, (project(), unproved));
    let flow = started(memory.start(&change(&session, "somebody.else", "countess", Keeping::Replace)));
    let verified = passed(memory.verify(&verify(LATER, "change", &code(&flow))));
    assert_eq!(verified.addresses.len(), 2);
    assert!(notices(&memory).is_empty());
}

#[test]
fn st_33_going_to_and_fro_tells_each_address_once_for_each_time_it_was_proved() {
    let mut memory = Memory::default();
    let session = signed_in(&mut memory, "ada");
    for (current, new) in [("ada", "countess"), ("countess", "ada"), ("ada", "countess")] {
        let flow = started(memory.start(&change(&session, current, new, Keeping::Replace)));
        passed(memory.verify(&verify(LATER, "change", &code(&flow))));
    }
    let recipients: Vec<_> = notices(&memory).iter().map(|notice| notice.recipient.clone()).collect();
    assert_eq!(recipients, ["ada", "countess", "ada"].map(address));
    let codes = memory.outbox.values().filter(|message| message.kind == MessageKind::Code);
    assert_eq!(codes.filter(|message| message.recipient == address("ada")).count(), 2, "a code for each proof");
}
