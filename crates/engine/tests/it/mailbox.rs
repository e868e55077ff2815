//! Where mail goes: to the mailbox that is stored with an address, whatever anybody types.

use std::time::Duration;

use engine::{
    Address, AddressId, Change, ChangeIdentity, IdentityChange, IdentityId, Keeping, MessageKind, Naming,
    Operation as _, Owner, Purpose, Refusal, Register, ResendMode, Start, StartOutcome, Timestamp, Verified,
    WantedAddress, Write,
};

use crate::memory::Memory;
use crate::support::*;

const LATER: Timestamp = Timestamp::from_millis(NOON.millis() + 60_000);

fn typed(text: &str) -> Address {
    Address::email(text).unwrap()
}

/// The mailboxes that messages were owed to, the oldest first; of decoys too.
fn mailboxes(memory: &Memory) -> Vec<&str> {
    memory.outbox.values().map(|message| message.recipient.mailbox()).collect()
}

/// Somebody who signed up, at noon, with `address`.
fn signed_up(memory: &mut Memory, key: &str, address: &Address) -> Verified {
    let flow = started(memory.start(&start(NOON, key, Purpose::SignInOrUp, address)));
    passed(memory.verify(&verify(NOON, key, &code(&flow))))
}

fn kind(memory: &Memory) -> MessageKind {
    memory.outbox.values().last().unwrap().kind
}

#[test]
fn st_16_the_mailbox_that_was_proved_is_stored_and_mail_goes_there_whatever_is_typed_later() {
    let mut memory = Memory::default();
    let verified = signed_up(&mut memory, "sign-up", &typed(" Ada.Lovelace@Bücher.EXAMPLE "));
    assert_eq!(verified.address.address.mailbox(), "Ada.Lovelace@xn--bcher-kva.example");
    assert_eq!(verified.address.address.as_str(), "ada.lovelace@xn--bcher-kva.example");
    for (key, purpose) in [("a", Purpose::SignIn), ("b", Purpose::SignInOrUp), ("c", Purpose::VerifyAddress)] {
        for written in ["ada.lovelace@xn--bcher-kva.example", "ADA.LOVELACE@bücher.example"] {
            memory.outbox.clear();
            let key = format!("{key}{written}");
            let flow = started(memory.start(&start(LATER, &key, purpose, &typed(written))));
            started(memory.resend(&resend(LATER.plus(Duration::from_secs(5)), &key, ResendMode::SameCode)));
            started(memory.resend(&resend(LATER.plus(Duration::from_secs(9)), &key, ResendMode::NewCode)));
            assert_eq!(mailboxes(&memory), ["Ada.Lovelace@xn--bcher-kva.example"; 3], "{key}");
            assert_eq!(challenge(&flow).address.mailbox(), "Ada.Lovelace@xn--bcher-kva.example", "{key}");
        }
    }
    assert_eq!(memory.addresses.len(), 1);
}

#[test]
fn st_16_what_an_operator_stored_stays_where_mail_goes() {
    let mut memory = Memory::default();
    let owner = owner_of(&typed("Ada@example.com"), None);
    memory.register(&Register { identity: owner.identity.clone(), addresses: vec![owner.address] });
    let addresses = ["ADA@example.com", "ada.two@example.com"];
    let wanted = |text: &str| WantedAddress { address: typed(text), verified: None };
    let change = ChangeIdentity {
        now: LATER,
        project: project(),
        id: owner.identity.id,
        change: IdentityChange {
            addresses: Some(addresses.into_iter().map(wanted).collect()),
            ..IdentityChange::default()
        },
        address_ids: vec![AddressId::new(id()), AddressId::new(id())],
    };
    memory.change_identity(&change).unwrap();
    let stored: Vec<_> = memory.addresses.values().map(|(_, own)| own.address.mailbox()).collect();
    assert_eq!(stored, ["Ada@example.com", "ada.two@example.com"]);
    // An address that is there, but was never proved, may be signed up for: by who reads that mailbox.
    signed_up(&mut memory, "flow", &typed("ada@example.com"));
    assert_eq!(mailboxes(&memory), ["Ada@example.com"]);
}

#[test]
fn mail_to_an_address_that_nobody_owns_goes_where_it_was_asked_for_first() {
    for naming in [Naming::Public, Naming::Secret] {
        let mut memory = Memory::default();
        for (second, written) in [(0, "ADA@example.com"), (5, "ada@example.com"), (10, "Ada@example.com")] {
            let now = NOON.plus(Duration::from_secs(second));
            let operation = Start { naming, ..start(now, "flow", Purpose::SignUp, &typed(written)) };
            started(memory.start(&operation));
        }
        assert_eq!(mailboxes(&memory), ["ADA@example.com"; 3], "the same question, in the same flow");
        let flow = memory.flow(&handle("flow")).unwrap().clone();
        let verified = passed(memory.verify(&verify(LATER, "flow", &code(&flow))));
        assert_eq!(verified.address.address.mailbox(), "ADA@example.com");
    }
}

#[test]
fn st_34_how_it_is_typed_does_not_tell_whether_somebody_owns_an_address() {
    let owner = owner_of(&typed("Ada@example.com"), Some(NOON));
    let one = |owner: Option<&Owner>| {
        let mut memory = Memory::default();
        if let Some(owner) = owner {
            memory.register(&Register { identity: owner.identity.clone(), addresses: vec![owner.address.clone()] });
        }
        let mut said = Vec::new();
        for (second, written) in [(0, "ada@example.com"), (1, "ADA@example.com"), (5, "Ada@example.com")] {
            let now = NOON.plus(Duration::from_secs(second));
            let operation = start(now, "flow", Purpose::SignIn, &typed(written));
            let (word, flow) = match memory.start(&operation) {
                StartOutcome::Started { flow, .. } => ("started", flow),
                StartOutcome::Repeated(flow) => ("repeated", flow),
                StartOutcome::Refused(refusal) => panic!("{refusal:?}"),
            };
            let challenge = flow.challenge.unwrap();
            let address = challenge.address.as_str().to_owned();
            said.push((word, address, challenge.epoch, challenge.sends, challenge.expires_at));
        }
        (said, memory.outbox.len(), memory.flows.len())
    };
    assert_eq!(one(Some(&owner)), one(None));
}

#[test]
fn st_16_a_code_shows_nothing_about_another_mailbox_than_the_one_it_went_to() {
    let (hers, his) = (typed("ada@example.com"), typed("Ada@example.com"));
    for (purpose, expected) in [(Purpose::SignInOrUp, Refusal::AddressTaken), (Purpose::SignUp, Refusal::AddressTaken)]
    {
        // Asked for while nobody owned it; by the time the code comes back somebody does, at another mailbox.
        let mut memory = Memory::default();
        let flow = started(memory.start(&start(NOON, "flow", purpose, &his)));
        let hers = signed_up(&mut memory, "hers", &hers);
        assert_eq!(refusal(&memory.verify(&verify(LATER, "flow", &code(&flow)))), expected, "{purpose:?}");
        assert_eq!(memory.owner(&project(), &his).unwrap().identity, hers.identity);
        assert_eq!(memory.identities.len(), 1);
    }
    // The same mailbox is the same person.
    let mut memory = Memory::default();
    let flow = started(memory.start(&start(NOON, "flow", Purpose::SignInOrUp, &hers)));
    let before = signed_up(&mut memory, "hers", &hers);
    let verified = passed(memory.verify(&verify(LATER, "flow", &code(&flow))));
    assert_eq!(verified.identity.id, before.identity.id);
    // Somebody's own address, which was taken away and given back in another form.
    for purpose in PURPOSES {
        let owner = owner_of(&hers, None);
        let flow = asked("flow", purpose, &hers, Some(&owner));
        let mut moved = owner;
        moved.address.address = his.clone();
        let decision = verify(NOON, "flow", &code(&flow)).decide(only(seen(&flow, Some(&moved))));
        assert_eq!(refusal(&decision.outcome), Refusal::IdentityNotFound, "{purpose:?}");
    }
}

#[test]
fn st_16_a_code_that_went_elsewhere_is_not_sent_again() {
    let (hers, his) = (typed("ada@example.com"), typed("Ada@example.com"));
    let owner = owner_of(&hers, Some(NOON));
    let flow = asked("flow", Purpose::SignIn, &hers, Some(&owner));
    let mut moved = owner;
    moved.address.address = his;
    let operation = resend(LATER, "flow", ResendMode::SameCode);
    let seen = engine::StartSeen { flow: Some(flow.clone()), owner: Some(moved), ..Default::default() };
    let decision = operation.decide(seen);
    let owed = decision.writes.iter().find_map(|write| match write {
        Write::OweMessage(message) => Some(message.recipient.mailbox().to_owned()),
        _ => None,
    });
    assert_eq!(owed.as_deref(), Some("Ada@example.com"));
    let again = started(decision.outcome);
    assert_eq!(challenge(&again).epoch, 2);
    assert_ne!(code(&again), code(&flow));
}

#[test]
fn a_new_address_is_stored_as_it_was_typed_and_its_owner_is_asked_there() {
    let mut memory = Memory::default();
    let session = signed_up(&mut memory, "sign-up", &typed("ada@example.com")).session.unwrap();
    let change =
        Change { session: session.id, generation: None, current: typed("ADA@example.com"), keeping: Keeping::Replace };
    let new = typed("Countess@example.com");
    let operation = Start { change: Some(change), ..start(LATER, "change", Purpose::ChangeAddress, &new) };
    let flow = started(memory.start(&operation));
    assert_eq!((kind(&memory), *mailboxes(&memory).last().unwrap()), (MessageKind::Code, "Countess@example.com"));
    let verified = passed(memory.verify(&verify(LATER, "change", &code(&flow))));
    assert_eq!(verified.address.address.mailbox(), "Countess@example.com");
    assert_eq!(verified.addresses.len(), 1);
    let account: IdentityId = verified.identity.id;
    assert_eq!(memory.account(account).unwrap().addresses, verified.addresses);
}
