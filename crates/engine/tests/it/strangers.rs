//! Whoever reads an address that nobody has an account with, and is told so.

use engine::{
    Content, MessageKind, MessageState, Naming, Operation as _, OutboxMessage, Owner, Purpose, REPEAT, Refusal,
    ResendMode, SendLimit, Start, StartSeen, Strangers, Write,
};

use crate::memory::Memory;
use crate::support::*;

/// A start by which strangers are told.
fn telling(purpose: Purpose) -> Start {
    let mut operation = start(NOON, "flow", purpose, &address("ada"));
    operation.asking.strangers = Strangers::Told;
    operation
}

fn owed(writes: &[Write]) -> OutboxMessage {
    let owed = writes.iter().find_map(|write| match write {
        Write::OweMessage(message) => Some(message.clone()),
        _ => None,
    });
    owed.expect("a message is owed")
}

#[test]
fn strangers_are_told_only_where_nobody_owns_the_address_and_nobody_could_pass() {
    use MessageKind::{Code, Decoy, NoAccount};
    let ada = address("ada");
    let (unproven, proven) = (owner_of(&ada, None), owner_of(&ada, Some(NOON)));
    let cases: [(Purpose, Option<&Owner>, MessageKind); 10] = [
        (Purpose::SignIn, None, NoAccount),
        (Purpose::SignIn, Some(&proven), Code),
        (Purpose::VerifyAddress, None, NoAccount),
        (Purpose::VerifyAddress, Some(&unproven), Code),
        (Purpose::SignInOrUp, None, Code),
        (Purpose::SignInOrUp, Some(&proven), Code),
        (Purpose::SignUp, None, Code),
        (Purpose::SignUp, Some(&unproven), Code),
        // Who has an account is not told that he has none.
        (Purpose::SignUp, Some(&proven), Decoy),
        (Purpose::ChangeAddress, Some(&proven), Decoy),
    ];
    for (purpose, owner, expected) in cases {
        let mut operation = telling(purpose);
        if purpose == Purpose::ChangeAddress {
            operation.identity = Some(engine::IdentityId::new(id()));
        }
        let told = operation.decide(StartSeen { owner: owner.cloned(), ..StartSeen::default() });
        assert_eq!(owed(&told.writes).kind, expected, "{purpose:?}");
    }
}

#[test]
fn st_34_telling_strangers_makes_the_same_rows_as_a_code() {
    let ada = address("ada");
    for purpose in PURPOSES {
        let shapes = [None, Some(owner_of(&ada, None)), Some(owner_of(&ada, Some(NOON)))].map(|owner| {
            let mut operation = telling(purpose);
            operation.asking.send_limit = Some(SendLimit::default());
            operation.asking.link = Some(vec![7; 99]);
            let decision = operation.decide(StartSeen { owner, ..StartSeen::default() });
            let message = owed(&decision.writes);
            let told = (message.recipient, message.due_at, message.not_after, message.epoch, message.link);
            let shape: Vec<_> = decision.writes.iter().map(std::mem::discriminant).collect();
            let flow = started(decision.outcome);
            (shape, told, (flow.state, flow.expires_at, challenge(&flow).code_digest.is_some()))
        });
        assert_eq!(shapes[0], shapes[1], "{purpose:?}");
        assert_eq!(shapes[0], shapes[2], "{purpose:?}");
    }
}

#[test]
fn what_strangers_are_told_holds_neither_code_nor_link() {
    let mut operation = telling(Purpose::SignIn);
    operation.asking.link = Some(vec![7; 99]);
    let mut memory = Memory::default();
    memory.start(&operation);
    let leased = memory.lease(&lease(NOON)).messages;
    assert_eq!(leased.len(), 1, "it is sent");
    assert_eq!((&leased[0].recipient, leased[0].purpose), (&address("ada"), Purpose::SignIn));
    assert!(matches!(leased[0].content, Content::NoAccount));
    assert!(leased[0].content.code().is_none());
}

#[test]
fn no_code_passes_where_strangers_are_told() {
    // Three digits, so that every answer there is can be tried.
    for purpose in [Purpose::SignIn, Purpose::VerifyAddress] {
        let mut operation = telling(purpose);
        operation.format.length = 3;
        let flow = started(operation.decide(StartSeen::default()).outcome);
        let derived = code(&flow);
        for number in 0..1000 {
            let typed = format!("{number:03}");
            let refused = refusal(&verify(NOON, "flow", &typed).decide(only(seen(&flow, None))).outcome);
            // The digest may by chance be that of a code: also then there is nobody who passes.
            let is_spent = refused == Refusal::IdentityNotFound;
            assert!(is_spent || refused == Refusal::CodeMismatch { left: 4 }, "{refused:?}");
            assert!(!is_spent || typed != derived);
        }
    }
}

#[test]
fn asking_again_for_a_stranger_is_silent_unless_it_is_said_again() {
    let mut memory = Memory::default();
    started(memory.start(&telling(Purpose::SignIn)));
    let now = NOON.plus(REPEAT);
    let mut again = telling(Purpose::SignIn);
    again.asking.now = now;
    started(memory.start(&again));
    started(memory.resend(&resend(now.plus(REPEAT), "flow", ResendMode::SameCode)));
    let kinds: Vec<_> = memory.outbox.values().map(|message| (message.kind, message.state)).collect();
    assert_eq!(
        kinds,
        [
            (MessageKind::NoAccount, MessageState::Dropped),
            (MessageKind::NoAccount, MessageState::Dropped),
            (MessageKind::Decoy, MessageState::Owed)
        ]
    );
}

#[test]
fn once_the_address_is_somebodys_a_code_is_sent_and_the_word_to_strangers_is_not() {
    let ada = address("ada");
    let owner = owner_of(&ada, Some(NOON));
    let mut operation = telling(Purpose::SignIn);
    operation.naming = Naming::Secret;
    let mut memory = Memory::default();
    let stranger = started(memory.start(&operation));
    memory.identities.insert(owner.identity.id, owner.identity.clone());
    memory.addresses.insert(owner.address.id, (project(), owner.address.clone()));
    let now = NOON.plus(REPEAT);
    let hers = started(memory.resend(&resend(now, "flow", ResendMode::SameCode)));
    assert_eq!((challenge(&hers).epoch, hers.identity), (challenge(&stranger).epoch + 1, Some(owner.identity.id)));
    let leased = memory.lease(&lease(now)).messages;
    assert_eq!(leased.len(), 1);
    passed(memory.verify(&verify(now, "flow", &told(&leased[0].content))));
}
