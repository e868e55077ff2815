//! Tickets, bearer tokens and sealed values.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Context, Engine};
use crate::error::{Fault, Refusal, Result};
use crate::id::{IdentityId, SessionId};
use crate::secret::{Digest, Secret, fingerprint};
use crate::session::SessionTerms;
use crate::ticket::{TakeTicket, Taken, Ticket};

/// A ticket that a surface asks for.
#[derive(Clone, Copy)]
pub struct NewTicket<'a> {
    /// What kind it is: a constant. A ticket of one kind is none of another.
    pub kind: &'static str,
    /// Digest of what must be shown with it.
    pub binding: [u8; 32],
    /// Whom it concerns.
    pub identity: Option<IdentityId>,
    /// How that one was proved: the channel's name, or empty.
    pub method: &'a str,
    /// What it holds. Kept sealed.
    pub body: &'a [u8],
    /// How long it lives.
    pub life: Duration,
}

impl fmt::Debug for NewTicket<'_> {
    /// Without what it holds.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("NewTicket");
        shown.field("kind", &self.kind).field("identity", &self.identity).finish_non_exhaustive()
    }
}

/// A ticket that is brought back.
#[derive(Clone)]
pub struct Taking<'a> {
    /// What kind it must be.
    pub kind: &'static str,
    /// Its text.
    pub ticket: &'a str,
    /// Digest of what was shown with it.
    pub binding: [u8; 32],
    /// The session to open for whom it concerns, in the same operation.
    pub session: Option<SessionTerms>,
}

impl fmt::Debug for Taking<'_> {
    /// Without its text.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Taking").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// How many random bytes a ticket is.
const TICKET: usize = 32;

impl Engine {
    /// Makes a one-time ticket: 43 characters of base64url. The store keeps its digest, and what it holds sealed.
    pub async fn put_ticket(&self, context: &Context<'_>, new: NewTicket<'_>) -> Result<Secret<String>> {
        let secret = Secret::new(self.env.bytes::<TICKET>());
        let digest = ticket_digest(new.kind, secret.expose());
        let ticket = Ticket {
            digest,
            project: context.project.id.clone(),
            binding: Digest::from_bytes(new.binding),
            identity: new.identity,
            method: new.method.to_owned(),
            sealed: self.keys.seal(self.env.bytes(), &ticket_place(&digest), new.body)?,
            expires_at: context.now.plus(new.life),
            spent_at: None,
            session: None,
        };
        self.store.put_ticket(ticket).await?;
        Ok(Secret::new(URL_SAFE_NO_PAD.encode(secret.expose())))
    }

    /// Takes a ticket, once: one operation of the store.
    ///
    /// # Refusals
    /// `TicketInvalid` (unknown, over, or another binding, which burns it), `TicketReused` (the session that it opened has been ended),
    /// `IdentityNotFound`, `IdentityInactive`.
    pub async fn take_ticket(&self, context: &Context<'_>, taking: Taking<'_>) -> Result<Taken> {
        let secret = URL_SAFE_NO_PAD.decode(taking.ticket).map_err(|_| Refusal::TicketInvalid)?;
        let digest = ticket_digest(taking.kind, &secret);
        let operation = TakeTicket {
            now: context.now,
            project: context.project.id.clone(),
            dialect: context.dialect,
            digest,
            binding: Digest::from_bytes(taking.binding),
            session: taking.session,
            session_id: SessionId::new(self.env.ids.next(context.now)),
        };
        let mut taken = self.store.take_ticket(operation).await??;
        let body = self.keys.open(&ticket_place(&digest), taken.body.expose());
        taken.body = body.ok_or_else(|| Fault::bug("a ticket cannot be opened with any master key"))?;
        Ok(taken)
    }

    /// A token for whoever owns the row `id`: the id and a 128-bit tag that nobody else can make. `kind` keeps tokens of different nouns
    /// and uses apart. No I/O, and nothing is stored.
    pub fn bearer(&self, kind: &str, id: i64) -> Secret<[u8; 24]> {
        let tag = Digest::keyed(&self.public_ids, &[b"bearer", &[0], kind.as_bytes(), &[0], &id.to_be_bytes()]);
        let mut token = [0; 24];
        let (number, rest) = token.split_at_mut(8);
        number.copy_from_slice(&id.to_be_bytes());
        rest.copy_from_slice(tag.as_bytes().first_chunk::<16>().unwrap_or(&[0; 16]));
        Secret::new(token)
    }

    /// The id that [`Engine::bearer`] made `token` for; `None` if it did not. Compares in constant time.
    pub fn read_bearer(&self, kind: &str, token: &[u8]) -> Option<i64> {
        let (id, _) = token.split_first_chunk::<8>()?;
        let id = i64::from_be_bytes(*id);
        let expected = self.bearer(kind, id);
        bool::from(subtle::ConstantTimeEq::ct_eq(expected.expose().as_slice(), token)).then_some(id)
    }

    /// Encrypts `plain` for `place`: what it is and where it lies, so that it opens nowhere else. No I/O.
    pub fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>> {
        Ok(self.keys.seal(self.env.bytes(), &surface_place(place), plain)?)
    }

    /// Opens what [`Engine::seal`] made; `None` if it was made for another place, elsewhere, or was altered.
    pub fn open_sealed(&self, place: &str, sealed: &[u8]) -> Option<Secret<Vec<u8>>> {
        self.keys.open(&surface_place(place), sealed)
    }
}

fn ticket_digest(kind: &str, secret: &[u8]) -> [u8; 32] {
    fingerprint(&[b"ticket", kind.as_bytes(), secret])
}

fn ticket_place(digest: &[u8; 32]) -> String {
    format!("tickets/{}", URL_SAFE_NO_PAD.encode(digest))
}

/// Keeps what surfaces seal apart from what the engine does.
fn surface_place(place: &str) -> String {
    format!("surface/{place}")
}
