//! Tickets: taken once, by whom they were made for.

use std::time::Duration;

use engine::{
    Digest, EndSessions, Identity, IdentityId, IdentityState, Operation as _, Owner, ProjectId, Refusal, Session,
    SessionId, SessionTerms, Sessions, TakeTicket, Taken, Ticket, TicketSeen, Timestamp,
};

use crate::memory::Memory;
use crate::support::*;

const NAME: [u8; 32] = [1; 32];
const LIFE: Duration = Duration::from_mins(1);

/// A ticket made at noon for `identity`.
fn ticket(identity: Option<IdentityId>) -> Ticket {
    Ticket {
        digest: NAME,
        project: project(),
        binding: Digest::from_bytes([2; 32]),
        identity,
        method: "email".to_owned(),
        sealed: b"sealed".to_vec(),
        expires_at: NOON.plus(LIFE),
        spent_at: None,
        session: None,
    }
}

fn taking(now: Timestamp) -> TakeTicket {
    TakeTicket {
        now,
        project: project(),
        dialect: "test",
        digest: NAME,
        binding: Digest::from_bytes([2; 32]),
        session: Some(SessionTerms { life: FLOW_LIFE, memo: Some("by ticket".to_owned()) }),
        session_id: SessionId::new(id()),
    }
}

/// Somebody, and a ticket for her.
fn hers() -> (Memory, Owner) {
    let owner = owner_of(&address("ada"), Some(NOON));
    let mut memory = Memory::default();
    memory.identities.insert(owner.identity.id, owner.identity.clone());
    memory.addresses.insert(owner.address.id, (project(), owner.address.clone()));
    memory.tickets.insert(NAME, ticket(Some(owner.identity.id)));
    (memory, owner)
}

fn refused(outcome: Result<Taken, Refusal>) -> Refusal {
    outcome.expect_err("it is refused")
}

#[test]
fn a_ticket_opens_a_session_for_whom_it_concerns() {
    let (mut memory, owner) = hers();
    let now = NOON.plus(LIFE).minus(MILLISECOND);
    let operation = taking(now);
    let taken = memory.take_ticket(&operation).unwrap();
    assert_eq!((taken.body.expose().as_slice(), taken.method.as_str()), (b"sealed".as_slice(), "email"));
    assert_eq!(taken.account, Some(account_of(&owner)));
    let session = taken.session.unwrap();
    assert_eq!(
        (session.id, session.identity, session.dialect.as_str()),
        (operation.session_id, owner.identity.id, "test")
    );
    assert_eq!((session.method.as_str(), session.memo.as_deref()), ("email", Some("by ticket")));
    assert_eq!((session.issued_at, session.expires_at, session.device), (now, now.plus(FLOW_LIFE), None));
    assert_eq!(memory.sessions[&session.id], session);
    assert_eq!((memory.tickets[&NAME].spent_at, memory.tickets[&NAME].session), (Some(now), Some(session.id)));
}

#[test]
fn a_ticket_may_concern_nobody_or_open_nothing() {
    let (mut memory, owner) = hers();
    let mut without_session = taking(NOON);
    without_session.session = None;
    let taken = memory.take_ticket(&without_session).unwrap();
    assert_eq!((taken.account, taken.session), (Some(account_of(&owner)), None));

    memory.tickets.insert(NAME, ticket(None));
    let taken = memory.take_ticket(&taking(NOON)).unwrap();
    assert_eq!((taken.account, taken.session), (None, None), "there is nobody to sign in");
    assert!(memory.sessions.is_empty());
    assert_eq!(refused(memory.take_ticket(&taking(NOON))), Refusal::TicketReused);
}

#[test]
fn a_ticket_is_taken_once_and_the_second_take_ends_what_the_first_began() {
    let (mut memory, _) = hers();
    let session = memory.take_ticket(&taking(NOON)).unwrap().session.unwrap();
    // Also when its life is over, and whatever is shown with it: one of two was not meant to have it.
    let mut by_another = taking(NOON.plus(LIFE * 10));
    by_another.binding = Digest::from_bytes([3; 32]);
    let again = by_another.now;
    assert_eq!(refused(memory.take_ticket(&by_another)), Refusal::TicketReused);
    assert_eq!(memory.sessions[&session.id].ended_at, Some(again));
    assert_eq!(refused(memory.take_ticket(&taking(again.plus(LIFE)))), Refusal::TicketReused);
    assert_eq!(memory.sessions[&session.id].ended_at, Some(again), "it ended once");
    assert_eq!(memory.sessions.len(), 1, "and there is no other");
}

#[test]
fn a_ticket_shown_with_anything_else_is_over() {
    let (mut memory, _) = hers();
    let mut wrong = taking(NOON);
    wrong.binding = Digest::from_bytes([3; 32]);
    assert_eq!(refused(memory.take_ticket(&wrong)), Refusal::TicketInvalid);
    assert_eq!(refused(memory.take_ticket(&taking(NOON))), Refusal::TicketReused, "also for whom it was made");
    assert!(memory.sessions.is_empty());
}

#[test]
fn a_ticket_is_over_from_the_millisecond_on_at_which_its_life_ends() {
    let (mut memory, _) = hers();
    assert_eq!(refused(memory.take_ticket(&taking(NOON.plus(LIFE)))), Refusal::TicketInvalid);
    assert!(memory.sessions.is_empty());
    assert_eq!(
        refused(memory.take_ticket(&taking(NOON))),
        Refusal::TicketReused,
        "nor does a clock set back revive it"
    );
}

#[test]
fn a_ticket_of_nobody_of_another_tenant_or_never_made_is_none() {
    let (mut memory, owner) = hers();
    let mut elsewhere = taking(NOON);
    elsewhere.project = ProjectId::new("P2");
    let seen = TicketSeen { ticket: memory.tickets.get(&NAME).cloned(), account: Some(account_of(&owner)) };
    for (operation, seen) in [(elsewhere, seen), (taking(NOON), TicketSeen { ticket: None, account: None })] {
        let decision = operation.decide(seen);
        assert_eq!(decision.outcome.unwrap_err(), Refusal::TicketInvalid);
        assert!(decision.writes.is_empty(), "nobody spends the ticket of another tenant");
    }
    memory.take_ticket(&taking(NOON)).unwrap();
}

#[test]
fn st_32_a_ticket_lets_nobody_in_who_may_not_sign_in_or_is_not_there_any_more() {
    for (state, expected) in
        [(Some(IdentityState::Inactive), Refusal::IdentityInactive), (None, Refusal::IdentityNotFound)]
    {
        let (memory, owner) = hers();
        let account = state.map(|state| {
            let identity = Identity { state, ..owner.identity.clone() };
            account_of(&Owner { identity, address: owner.address.clone() })
        });
        let decision = taking(NOON).decide(TicketSeen { ticket: memory.tickets.get(&NAME).cloned(), account });
        assert_eq!(decision.outcome.unwrap_err(), expected);
        assert_eq!(names(&decision.writes), ["SpendTicket"]);
    }
}

#[test]
fn st_31_who_signs_out_everywhere_ends_the_tickets_by_which_there_would_be_more_sessions() {
    let (mut memory, owner) = hers();
    let session = Session { id: SessionId::new(id()), ..memory.take_ticket(&taking(NOON)).unwrap().session.unwrap() };
    memory.sessions.insert(session.id, session.clone());
    memory.tickets.insert(NAME, ticket(Some(owner.identity.id)));
    memory.tickets.insert([9; 32], Ticket { digest: [9; 32], ..ticket(Some(IdentityId::new(id()))) });
    let end = |which| EndSessions { now: NOON, project: project(), dialect: "test", session: session.id, which };
    memory.end_sessions(&end(Sessions::OfIdentity)).unwrap();
    assert_eq!(memory.tickets.keys().collect::<Vec<_>>(), [&[9; 32]], "nobody else's");
    assert_eq!(refused(memory.take_ticket(&taking(NOON))), Refusal::TicketInvalid);
}

#[test]
fn a_ticket_prints_without_anything_that_could_be_used() {
    let printed = format!("{:?}", ticket(None));
    assert!(!printed.contains("sealed") && !printed.contains("binding"), "{printed}");
}
