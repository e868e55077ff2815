//! Identities, their addresses and sessions: loaders and appliers.

use engine::{
    Address, AddressId, Identity, IdentityId, IdentityState, Owner, ProjectId, Session, SessionId, StoreError,
    Timestamp, VerifiableAddress,
};
use rusqlite::{Connection, params};

use super::row::Cells;
use crate::error::driver;

/// Who owns an address.
pub(super) fn owner(
    connection: &Connection,
    project: &ProjectId,
    address: &Address,
) -> Result<Option<Owner>, StoreError> {
    let sql = "SELECT identities.id, identities.project, identities.state, revision, identities.created_at, updated_at, \
               addresses.id, addresses.channel, addresses.address, verified_at, addresses.created_at \
               FROM addresses JOIN identities ON identities.id = identity_id \
               WHERE addresses.address = ?1 AND addresses.project = ?2 AND addresses.channel = ?3";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    let mut rows =
        statement.query(params![address.as_str(), project.as_str(), address.channel().name()]).map_err(driver)?;
    let Some(row) = rows.next().map_err(driver)? else { return Ok(None) };
    let cells = Cells::new(row, "identities", 0)?;
    let identity = Identity {
        id: IdentityId::new(cells.id()),
        project: cells.project(1)?,
        state: cells.word(2, "state", IdentityState::from_name)?,
        revision: cells.get(3, "revision")?,
        created_at: cells.time(4, "created_at")?,
        updated_at: cells.time(5, "updated_at")?,
    };
    let cells = Cells::new(row, "addresses", 6)?;
    let address = VerifiableAddress {
        id: AddressId::new(cells.id()),
        identity: identity.id,
        address: cells.address(7)?,
        verified_at: cells.get::<Option<i64>>(9, "verified_at")?.map(Timestamp::from_millis),
        created_at: cells.time(10, "created_at")?,
    };
    Ok(Some(Owner { identity, address }))
}

/// Whether the owner's identity has proved any address.
pub(super) fn is_proven(connection: &Connection, owner: &Owner) -> Result<bool, StoreError> {
    if owner.address.verified_at.is_some() {
        return Ok(true);
    }
    let sql = "SELECT EXISTS (SELECT 1 FROM addresses WHERE identity_id = ?1 AND verified_at IS NOT NULL)";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement.query_row(params![owner.identity.id.get()], |row| row.get(0)).map_err(driver)
}

/// A new identity.
pub(super) fn add(connection: &Connection, identity: &Identity) -> Result<(), StoreError> {
    let sql =
        "INSERT INTO identities (id, project, state, revision, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement
        .execute(params![
            identity.id.get(),
            identity.project.as_str(),
            identity.state.name(),
            identity.revision,
            identity.created_at.millis(),
            identity.updated_at.millis(),
        ])
        .map_err(driver)?;
    Ok(())
}

/// An identity has changed.
pub(super) fn bump(connection: &Connection, id: IdentityId, revision: i64, at: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE identities SET revision = ?2, updated_at = ?3 WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement.execute(params![id.get(), revision, at.millis()]).map_err(driver)?;
    Ok(())
}

/// An identity owns another address.
pub(super) fn add_address(
    connection: &Connection,
    project: &ProjectId,
    address: &VerifiableAddress,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO addresses (id, identity_id, project, channel, address, verified_at, created_at) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement
        .execute(params![
            address.id.get(),
            address.identity.get(),
            project.as_str(),
            address.address.channel().name(),
            address.address.as_str(),
            address.verified_at.map(Timestamp::millis),
            address.created_at.millis(),
        ])
        .map_err(driver)?;
    Ok(())
}

/// An address is proved.
pub(super) fn prove_address(connection: &Connection, id: AddressId, at: Timestamp) -> Result<(), StoreError> {
    let mut statement =
        connection.prepare_cached("UPDATE addresses SET verified_at = ?2 WHERE id = ?1").map_err(driver)?;
    statement.execute(params![id.get(), at.millis()]).map_err(driver)?;
    Ok(())
}

/// The addresses an identity never proved are gone.
pub(super) fn drop_unproven_addresses(
    connection: &Connection,
    identity: IdentityId,
    except: AddressId,
) -> Result<(), StoreError> {
    let sql = "DELETE FROM addresses WHERE identity_id = ?1 AND verified_at IS NULL AND id <> ?2";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement.execute(params![identity.get(), except.get()]).map_err(driver)?;
    Ok(())
}

/// Somebody is signed in.
pub(super) fn open_session(connection: &Connection, session: &Session) -> Result<(), StoreError> {
    let sql = "INSERT INTO sessions (id, project, identity_id, method, issued_at, expires_at, ended_at) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement
        .execute(params![
            session.id.get(),
            session.project.as_str(),
            session.identity.get(),
            session.method,
            session.issued_at.millis(),
            session.expires_at.millis(),
            session.ended_at.map(Timestamp::millis),
        ])
        .map_err(driver)?;
    Ok(())
}

/// All live sessions of an identity end.
pub(super) fn end_sessions(connection: &Connection, identity: IdentityId, at: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE sessions SET ended_at = ?2 WHERE identity_id = ?1 AND ended_at IS NULL";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement.execute(params![identity.get(), at.millis()]).map_err(driver)?;
    Ok(())
}

/// A session.
pub(super) fn session(connection: &Connection, id: SessionId) -> Result<Option<Session>, StoreError> {
    let sql = "SELECT id, project, identity_id, method, issued_at, expires_at, ended_at FROM sessions WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    let mut rows = statement.query(params![id.get()]).map_err(driver)?;
    let Some(row) = rows.next().map_err(driver)? else { return Ok(None) };
    let cells = Cells::new(row, "sessions", 0)?;
    Ok(Some(Session {
        id,
        project: cells.project(1)?,
        identity: IdentityId::new(cells.get(2, "identity_id")?),
        method: cells.get(3, "method")?,
        issued_at: cells.time(4, "issued_at")?,
        expires_at: cells.time(5, "expires_at")?,
        ended_at: cells.get::<Option<i64>>(6, "ended_at")?.map(Timestamp::from_millis),
    }))
}

/// Removes sessions that ended before `before`: at most `limit`.
pub(super) fn sweep_sessions(connection: &Connection, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    // The oldest first, as with flows: see there.
    let sql = "DELETE FROM sessions WHERE id IN (SELECT id FROM (SELECT id, expires_at, ended_at FROM sessions ORDER BY id \
               LIMIT 4 * ?2) WHERE min(expires_at, coalesce(ended_at, expires_at)) < ?1 LIMIT ?2)";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement.execute(params![before.millis(), limit]).map_err(driver)
}
