//! Sessions: loaders and appliers.

use engine::{Caller, DeviceId, IdentityId, Prover, SIGN_INS_SEEN, Session, SessionId, StoreError, Timestamp};
use rusqlite::{Connection, Params, Row, params};

use super::row::Cells;
use super::{device, identity};
use crate::error::driver;

/// The columns of a session, in the order that [`read`] expects.
macro_rules! columns {
    () => {
        "id, project, dialect, identity_id, method, issued_at, expires_at, ended_at, generation, rotated_at, \
         previous_rotated_at, device_id, memo"
    };
}

fn read(row: &Row<'_>) -> Result<Session, StoreError> {
    let cells = Cells::new(row, "sessions", 0)?;
    Ok(Session {
        id: SessionId::new(cells.id()),
        project: cells.project(1)?,
        dialect: cells.get(2, "dialect")?,
        identity: IdentityId::new(cells.get(3, "identity_id")?),
        method: cells.get(4, "method")?,
        issued_at: cells.time(5, "issued_at")?,
        expires_at: cells.time(6, "expires_at")?,
        ended_at: cells.get::<Option<i64>>(7, "ended_at")?.map(Timestamp::from_millis),
        generation: cells.number(8, "generation")?,
        rotated_at: cells.time(9, "rotated_at")?,
        previous_rotated_at: cells.time(10, "previous_rotated_at")?,
        device: cells.get::<Option<i64>>(11, "device_id")?.map(DeviceId::new),
        memo: cells.get(12, "memo")?,
    })
}

/// A session and whose it is.
pub(super) fn caller(connection: &Connection, id: SessionId) -> Result<Option<Caller>, StoreError> {
    let sql = concat!("SELECT ", columns!(), " FROM sessions WHERE id = ?1");
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    let mut rows = statement.query(params![id.get()]).map_err(driver)?;
    let Some(row) = rows.next().map_err(driver)? else { return Ok(None) };
    let session = read(row)?;
    // Without its identity a session is nobody's.
    Ok(identity::account(connection, session.identity)?.map(|account| Caller { session, account }))
}

/// Who was proved in a session, over or not.
pub(super) fn prover(connection: &Connection, id: SessionId) -> Result<Vec<Prover>, StoreError> {
    provers(connection, "SELECT identity_id, issued_at FROM sessions WHERE id = ?1", params![id.get()])
}

/// Who was proved in the newest sessions of a device, over or not.
pub(super) fn provers_at(connection: &Connection, device: DeviceId) -> Result<Vec<Prover>, StoreError> {
    let sql = "SELECT identity_id, issued_at FROM sessions WHERE device_id = ?1 ORDER BY id DESC LIMIT ?2";
    provers(connection, sql, params![device.get(), SIGN_INS_SEEN])
}

fn provers(connection: &Connection, sql: &str, parameters: impl Params) -> Result<Vec<Prover>, StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    let mut rows = statement.query(parameters).map_err(driver)?;
    let mut provers = Vec::new();
    while let Some(row) = rows.next().map_err(driver)? {
        let identity = IdentityId::new(row.get(0).map_err(driver)?);
        provers.push(Prover { identity, proved_at: Timestamp::from_millis(row.get(1).map_err(driver)?) });
    }
    Ok(provers)
}

/// The sessions of an identity that are not over at `now`, the oldest first.
pub(super) fn of_identity(
    connection: &Connection,
    identity: IdentityId,
    now: Timestamp,
) -> Result<Vec<Session>, StoreError> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM sessions WHERE identity_id = ?1 AND ended_at IS NULL AND expires_at > ?2 ORDER BY id"
    );
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    let mut rows = statement.query(params![identity.get(), now.millis()]).map_err(driver)?;
    let mut sessions = Vec::new();
    while let Some(row) = rows.next().map_err(driver)? {
        sessions.push(read(row)?);
    }
    Ok(sessions)
}

/// The sessions of a device that are not over at `now` and whose they are, the oldest first.
pub(super) fn of_device(connection: &Connection, device: DeviceId, now: Timestamp) -> Result<Vec<Caller>, StoreError> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM sessions WHERE device_id = ?1 AND ended_at IS NULL AND expires_at > ?2 ORDER BY id"
    );
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    let mut rows = statement.query(params![device.get(), now.millis()]).map_err(driver)?;
    let mut callers = Vec::new();
    while let Some(row) = rows.next().map_err(driver)? {
        let session = read(row)?;
        if let Some(account) = identity::account(connection, session.identity)? {
            callers.push(Caller { session, account });
        }
    }
    Ok(callers)
}

/// Somebody is signed in.
pub(super) fn open(connection: &Connection, session: &Session) -> Result<(), StoreError> {
    let sql = "INSERT INTO sessions (id, project, dialect, identity_id, method, issued_at, expires_at, ended_at, generation, \
               rotated_at, previous_rotated_at, device_id, memo) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement
        .execute(params![
            session.id.get(),
            session.project.as_str(),
            session.dialect,
            session.identity.get(),
            session.method,
            session.issued_at.millis(),
            session.expires_at.millis(),
            session.ended_at.map(Timestamp::millis),
            session.generation,
            session.rotated_at.millis(),
            session.previous_rotated_at.millis(),
            session.device.map(DeviceId::get),
            session.memo,
        ])
        .map_err(driver)?;
    Ok(())
}

/// A session has a new refresh token.
pub(super) fn rotate(connection: &Connection, session: &Session) -> Result<(), StoreError> {
    let sql = "UPDATE sessions SET generation = ?2, rotated_at = ?3, previous_rotated_at = ?4 WHERE id = ?1";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement
        .execute(params![
            session.id.get(),
            session.generation,
            session.rotated_at.millis(),
            session.previous_rotated_at.millis()
        ])
        .map_err(driver)?;
    Ok(())
}

/// A session ends.
pub(super) fn end(connection: &Connection, id: SessionId, at: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE sessions SET ended_at = ?2 WHERE id = ?1 AND ended_at IS NULL";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement.execute(params![id.get(), at.millis()]).map_err(driver)?;
    Ok(())
}

/// All live sessions of an identity end.
pub(super) fn end_all(connection: &Connection, identity: IdentityId, at: Timestamp) -> Result<(), StoreError> {
    let sql = "UPDATE sessions SET ended_at = ?2 WHERE identity_id = ?1 AND ended_at IS NULL";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement.execute(params![identity.get(), at.millis()]).map_err(driver)?;
    Ok(())
}

/// Nothing is noted about the sessions of an identity any more.
pub(super) fn forget(connection: &Connection, identity: IdentityId) -> Result<(), StoreError> {
    let mut statement =
        connection.prepare_cached("UPDATE sessions SET memo = NULL WHERE identity_id = ?1").map_err(driver)?;
    statement.execute(params![identity.get()]).map_err(driver)?;
    Ok(())
}

/// Removes sessions that ended before `before`, at most `limit`, and the devices whose last ones they were.
pub(super) fn sweep(connection: &Connection, before: Timestamp, limit: usize) -> Result<(usize, usize), StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    // The oldest first, as with flows: see there.
    let sql = "DELETE FROM sessions WHERE id IN (SELECT id FROM (SELECT id, expires_at, ended_at FROM sessions ORDER BY id \
               LIMIT 4 * ?2) WHERE min(expires_at, coalesce(ended_at, expires_at)) < ?1 LIMIT ?2) RETURNING device_id";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    let mut rows = statement.query(params![before.millis(), limit]).map_err(driver)?;
    let (mut swept, mut devices) = (0, Vec::new());
    while let Some(row) = rows.next().map_err(driver)? {
        swept += 1;
        devices.extend(row.get::<_, Option<i64>>(0).map_err(driver)?.map(DeviceId::new));
    }
    drop(rows);
    Ok((swept, device::drop_unused(connection, &devices)?))
}
