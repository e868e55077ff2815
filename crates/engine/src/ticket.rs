//! Tickets: one-time envelopes, for surfaces that hand something to somebody who brings it back once.
//!
//! A ticket is bound to what must be shown with it. Shown with anything else it is over; brought back a second time it ends the
//! session that it opened, because one of the two who had it was not meant to (RFC 9700, 4.2.4; RFC 6749, 4.1.2).

use std::fmt;

use crate::env::Timestamp;
use crate::error::Refusal;
use crate::id::{IdentityId, SessionId};
use crate::identity::{Account, IdentityState};
use crate::project::ProjectId;
use crate::secret::{Digest, Secret};
use crate::session::{Beginning, Session, SessionTerms};
use crate::store::{Decision, Operation, Write};

/// A ticket as it is kept: neither what it is called nor what it holds can be read from it.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Digest of the surface, the kind and the ticket's text.
    pub digest: [u8; 32],
    /// Whose tenant's it is.
    pub project: ProjectId,
    /// Digest of what must be shown with it.
    pub binding: Digest,
    /// Whom it concerns.
    pub identity: Option<IdentityId>,
    /// How that one was proved: a channel's name, or empty.
    pub method: String,
    /// What it holds, sealed.
    pub sealed: Vec<u8>,
    /// When its life ends.
    pub expires_at: Timestamp,
    /// When it was taken or burned.
    pub spent_at: Option<Timestamp>,
    /// The session it opened.
    pub session: Option<SessionId>,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Ticket")
            .field("identity", &self.identity)
            .field("spent_at", &self.spent_at)
            .finish_non_exhaustive()
    }
}

/// Takes a ticket.
#[derive(Debug)]
pub struct TakeTicket {
    /// When.
    pub now: Timestamp,
    /// Whose tenant's it must be.
    pub project: ProjectId,
    /// The surface, which a session is opened for.
    pub dialect: &'static str,
    /// Which.
    pub digest: [u8; 32],
    /// What was shown with it.
    pub binding: Digest,
    /// The session to open, if any.
    pub session: Option<SessionTerms>,
    /// Its id.
    pub session_id: SessionId,
}

/// What a [`TakeTicket`] must see.
#[derive(Debug)]
pub struct TicketSeen {
    /// The ticket.
    pub ticket: Option<Ticket>,
    /// Whom it concerns.
    pub account: Option<Account>,
}

/// A ticket that was taken.
#[derive(Debug)]
pub struct Taken {
    /// What it holds: sealed as the store hands it over, open as the engine does.
    pub body: Secret<Vec<u8>>,
    /// Whom it concerns.
    pub account: Option<Account>,
    /// How that one was proved: a channel's name, or empty.
    pub method: String,
    /// The session, if one was asked for.
    pub session: Option<Session>,
}

impl Operation for TakeTicket {
    type Seen = TicketSeen;
    type Outcome = Result<Taken, Refusal>;

    fn decide(&self, seen: TicketSeen) -> Decision<Self::Outcome> {
        let refused = |refusal, writes| Decision { outcome: Err(refusal), writes };
        let Some(ticket) = seen.ticket.filter(|ticket| ticket.project == self.project) else {
            return refused(Refusal::TicketInvalid, Vec::new());
        };
        if ticket.spent_at.is_some() {
            let end = ticket.session.map(|id| Write::EndSession { id, at: self.now });
            return refused(Refusal::TicketReused, end.into_iter().collect());
        }
        let spend = |session| Write::SpendTicket { digest: self.digest, at: self.now, session };
        if self.now >= ticket.expires_at || self.binding != ticket.binding {
            return refused(Refusal::TicketInvalid, vec![spend(None)]);
        }
        let account = match (ticket.identity, seen.account) {
            (None, _) => None,
            (Some(_), None) => return refused(Refusal::IdentityNotFound, vec![spend(None)]),
            (Some(_), Some(account)) => match account.identity.state {
                IdentityState::Active => Some(account),
                IdentityState::Inactive => return refused(Refusal::IdentityInactive, vec![spend(None)]),
            },
        };
        let session = account.as_ref().zip(self.session.as_ref()).map(|(account, terms)| {
            let beginning = Beginning {
                id: self.session_id,
                project: &self.project,
                dialect: self.dialect,
                identity: account.identity.id,
                device: None,
                method: &ticket.method,
                now: self.now,
            };
            beginning.session(terms)
        });
        let mut writes = vec![spend(session.as_ref().map(|session| session.id))];
        writes.extend(session.clone().map(Write::OpenSession));
        let taken = Taken { body: Secret::new(ticket.sealed), account, method: ticket.method, session };
        Decision { outcome: Ok(taken), writes }
    }
}
