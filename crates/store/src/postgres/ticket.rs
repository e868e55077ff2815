//! Tickets: loaders and appliers.

use engine::{Digest, IdentityId, SessionId, StoreError, Ticket, Timestamp};

use super::connect::Link;
use super::identity::{address_columns, concerned, identity_columns};
use super::row::Cells;
use super::trip::{Step, ask, statements};
use super::wire::Row;

statements! {
    LOCK = "SELECT project, binding, identity_id, method, sealed, expires_at, spent_at, session_id FROM tickets \
            WHERE digest = $1 FOR UPDATE";
    LOCK_IDENTITY_OF = concat!(
        "SELECT ", identity_columns!(), " FROM identities WHERE id = (SELECT identity_id FROM tickets WHERE digest = $1) FOR UPDATE"
    );
    ADDRESSES_OF = concat!(
        "SELECT ", address_columns!(), " FROM addresses \
         WHERE identity_id = (SELECT identity_id FROM tickets WHERE digest = $1) ORDER BY id"
    );
    LOCK_OF_IDENTITY = "SELECT 1 FROM tickets WHERE identity_id = $1 ORDER BY digest FOR UPDATE";
    SEIZE_OF_IDENTITY = "SELECT 1 FROM tickets WHERE identity_id = $1 FOR UPDATE NOWAIT";
    /// The tickets of whomever the flows of handles concern.
    LOCK_OF_CONCERNED = concat!(
        "SELECT 1 FROM tickets WHERE identity_id = ANY(", concerned!(), ") ORDER BY digest FOR UPDATE"
    );
    LOCK_OF_SESSION = "SELECT 1 FROM tickets WHERE identity_id = (SELECT identity_id FROM sessions WHERE id = $1) \
                       ORDER BY digest FOR UPDATE";
    // As with flows: see there.
    DROP_ALL = "DELETE FROM tickets WHERE digest = ANY(ARRAY(SELECT digest FROM tickets WHERE identity_id = $1 FOR UPDATE SKIP LOCKED))";
    PUT = "INSERT INTO tickets (digest, project, binding, identity_id, method, sealed, expires_at, spent_at, session_id) \
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    SPEND = "UPDATE tickets SET spent_at = $2, session_id = $3 WHERE digest = $1";
    SWEEP = "DELETE FROM tickets WHERE digest IN (SELECT digest FROM tickets WHERE expires_at < $1 ORDER BY expires_at LIMIT $2 \
             FOR UPDATE SKIP LOCKED) RETURNING 1";
}

/// Reads the ticket of a digest.
pub(super) fn read(rows: &[Row], digest: &[u8; 32]) -> Result<Option<Ticket>, StoreError> {
    let Some(row) = rows.first() else { return Ok(None) };
    let cells = Cells::nameless(row, "tickets");
    Ok(Some(Ticket {
        digest: *digest,
        project: cells.project(0)?,
        binding: Digest::from_bytes(cells.bytes(1, "binding")?),
        identity: cells.get::<Option<i64>>(2, "identity_id")?.map(IdentityId::new),
        method: cells.get(3, "method")?,
        sealed: cells.get(4, "sealed")?,
        expires_at: cells.time(5, "expires_at")?,
        spent_at: cells.optional_time(6, "spent_at")?,
        session: cells.get::<Option<i64>>(7, "session_id")?.map(SessionId::new),
    }))
}

/// The ticket of a digest, locked.
pub(super) fn lock(link: &Link, digest: &[u8; 32]) -> Step {
    ask(link, LOCK, &[&digest.as_slice()])
}

/// Whom a ticket concerns, locked.
pub(super) fn lock_identity_of(link: &Link, digest: &[u8; 32]) -> Step {
    ask(link, LOCK_IDENTITY_OF, &[&digest.as_slice()])
}

/// The addresses of whom a ticket concerns, the oldest first.
pub(super) fn addresses_of(link: &Link, digest: &[u8; 32]) -> Step {
    ask(link, ADDRESSES_OF, &[&digest.as_slice()])
}

/// Locks the tickets that concern an identity.
pub(super) fn lock_of_identity(link: &Link, identity: IdentityId) -> Step {
    ask(link, LOCK_OF_IDENTITY, &[&identity.get()])
}

/// Locks the tickets that concern an identity, without waiting for any, as with flows: see there.
pub(super) fn seize_of_identity(link: &Link, identity: IdentityId) -> Step {
    ask(link, SEIZE_OF_IDENTITY, &[&identity.get()])
}

/// Locks the tickets that concern whomever the flows of handles concern.
pub(super) fn lock_of_concerned(link: &Link, handles: &[&[u8]]) -> Step {
    ask(link, LOCK_OF_CONCERNED, &[&handles])
}

/// Locks the tickets that concern whom a session belongs to.
pub(super) fn lock_of_session(link: &Link, session: SessionId) -> Step {
    ask(link, LOCK_OF_SESSION, &[&session.get()])
}

/// The tickets that concern an identity are gone.
pub(super) fn drop_all(link: &Link, identity: IdentityId) -> Step {
    ask(link, DROP_ALL, &[&identity.get()])
}

/// A ticket is made.
pub(super) fn put(link: &Link, ticket: &Ticket) -> Step {
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 9] = [
        &ticket.digest.as_slice(),
        &ticket.project.as_str(),
        &ticket.binding.as_bytes().as_slice(),
        &ticket.identity.map(IdentityId::get),
        &ticket.method,
        &ticket.sealed,
        &ticket.expires_at.millis(),
        &ticket.spent_at.map(Timestamp::millis),
        &ticket.session.map(SessionId::get),
    ];
    ask(link, PUT, &parameters)
}

/// A ticket is over.
pub(super) fn spend(link: &Link, digest: &[u8; 32], at: Timestamp, session: Option<SessionId>) -> Step {
    ask(link, SPEND, &[&digest.as_slice(), &at.millis(), &session.map(SessionId::get)])
}

/// Removes tickets that ended before `before`: at most `limit`.
pub(super) fn sweep(link: &Link, before: Timestamp, limit: i64) -> Step {
    ask(link, SWEEP, &[&before.millis(), &limit])
}
