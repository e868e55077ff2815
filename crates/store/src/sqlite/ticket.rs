//! Tickets: loaders and appliers.

use engine::{Digest, IdentityId, ProjectId, SessionId, StoreError, Ticket, Timestamp};
use rusqlite::{Connection, params};

use crate::error::driver;

const fn corrupt(column: &'static str) -> StoreError {
    StoreError::Corrupt { table: "tickets", column, id: 0 }
}

/// The ticket of a digest.
pub(super) fn by_digest(connection: &Connection, digest: &[u8; 32]) -> Result<Option<Ticket>, StoreError> {
    let sql = "SELECT project, binding, identity_id, method, sealed, expires_at, spent_at, session_id FROM tickets \
               WHERE digest = ?1";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    let mut rows = statement.query(params![digest]).map_err(driver)?;
    let Some(row) = rows.next().map_err(driver)? else { return Ok(None) };
    let project: String = row.get(0).map_err(|_| corrupt("project"))?;
    let binding: [u8; 32] = row.get(1).map_err(|_| corrupt("binding"))?;
    Ok(Some(Ticket {
        digest: *digest,
        project: ProjectId::new(&project),
        binding: Digest::from_bytes(binding),
        identity: row.get::<_, Option<i64>>(2).map_err(|_| corrupt("identity_id"))?.map(IdentityId::new),
        method: row.get(3).map_err(|_| corrupt("method"))?,
        sealed: row.get(4).map_err(|_| corrupt("sealed"))?,
        expires_at: Timestamp::from_millis(row.get(5).map_err(|_| corrupt("expires_at"))?),
        spent_at: row.get::<_, Option<i64>>(6).map_err(|_| corrupt("spent_at"))?.map(Timestamp::from_millis),
        session: row.get::<_, Option<i64>>(7).map_err(|_| corrupt("session_id"))?.map(SessionId::new),
    }))
}

/// A ticket is made.
pub(super) fn put(connection: &Connection, ticket: &Ticket) -> Result<(), StoreError> {
    let sql = "INSERT INTO tickets (digest, project, binding, identity_id, method, sealed, expires_at, spent_at, session_id) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement
        .execute(params![
            ticket.digest,
            ticket.project.as_str(),
            ticket.binding.as_bytes(),
            ticket.identity.map(IdentityId::get),
            ticket.method,
            ticket.sealed,
            ticket.expires_at.millis(),
            ticket.spent_at.map(Timestamp::millis),
            ticket.session.map(SessionId::get),
        ])
        .map_err(driver)?;
    Ok(())
}

/// A ticket is over.
pub(super) fn spend(
    connection: &Connection,
    digest: &[u8; 32],
    at: Timestamp,
    session: Option<SessionId>,
) -> Result<(), StoreError> {
    let sql = "UPDATE tickets SET spent_at = ?2, session_id = ?3 WHERE digest = ?1";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement.execute(params![digest, at.millis(), session.map(SessionId::get)]).map_err(driver)?;
    Ok(())
}

/// The tickets that concern an identity are gone.
pub(super) fn drop_all(connection: &Connection, identity: IdentityId) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached("DELETE FROM tickets WHERE identity_id = ?1").map_err(driver)?;
    statement.execute(params![identity.get()]).map_err(driver)?;
    Ok(())
}

/// Removes tickets that ended before `before`: at most `limit`.
pub(super) fn sweep(connection: &Connection, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql = "DELETE FROM tickets WHERE digest IN (SELECT digest FROM tickets WHERE expires_at < ?1 LIMIT ?2)";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement.execute(params![before.millis(), limit]).map_err(driver)
}
