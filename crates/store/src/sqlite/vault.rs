//! Signing keys and what the installation knows about itself: loaders and appliers.

use engine::{Algorithm, ProjectId, SealedKey, StoreError, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::driver;

/// The signing keys of a project, oldest first.
pub(super) fn signing_keys(connection: &Connection, project: &ProjectId) -> Result<Vec<SealedKey>, StoreError> {
    let sql =
        "SELECT kid, algorithm, slot, created_at, sealed FROM signing_keys WHERE project = ?1 ORDER BY slot, algorithm";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    let mut rows = statement.query(params![project.as_str()]).map_err(driver)?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next().map_err(driver)? {
        let slot: u32 = row.get(2).map_err(driver)?;
        let corrupt = || StoreError::Corrupt { table: "signing_keys", column: "algorithm", id: i64::from(slot) };
        let algorithm: String = row.get(1).map_err(driver)?;
        keys.push(SealedKey {
            kid: row.get(0).map_err(driver)?,
            project: project.clone(),
            algorithm: Algorithm::from_name(&algorithm).ok_or_else(corrupt)?,
            slot,
            created_at: Timestamp::from_millis(row.get(3).map_err(driver)?),
            sealed: row.get(4).map_err(driver)?,
        });
    }
    Ok(keys)
}

/// Adds a signing key unless its slot is taken.
pub(super) fn add_signing_key(connection: &Connection, key: &SealedKey) -> Result<(), StoreError> {
    let sql = "INSERT INTO signing_keys (project, algorithm, slot, kid, created_at, sealed) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
               ON CONFLICT DO NOTHING";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement
        .execute(params![
            key.project.as_str(),
            key.algorithm.name(),
            key.slot,
            key.kid,
            key.created_at.millis(),
            key.sealed
        ])
        .map_err(driver)?;
    Ok(())
}

/// The value kept under `name`.
pub(super) fn meta(connection: &Connection, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT value FROM project_meta WHERE name = ?1").map_err(driver)?;
    statement.query_row(params![name], |row| row.get(0)).optional().map_err(driver)
}

/// Keeps `value` under `name`, whatever was there.
pub(super) fn put_meta(connection: &Connection, name: &str, value: &[u8]) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO project_meta (name, value) VALUES (?1, ?2)";
    connection.prepare_cached(sql).map_err(driver)?.execute(params![name, value]).map_err(driver)?;
    Ok(())
}

/// The highest id of any row.
pub(super) fn highest_id(connection: &Connection) -> Result<i64, StoreError> {
    let sql = "SELECT max(coalesce((SELECT max(id) FROM flows), 0), coalesce((SELECT max(id) FROM identities), 0), \
               coalesce((SELECT max(id) FROM addresses), 0), coalesce((SELECT max(id) FROM sessions), 0), \
               coalesce((SELECT max(id) FROM outbox), 0), coalesce((SELECT max(id) FROM devices), 0), \
               coalesce((SELECT max(device_id) FROM flows), 0))";
    connection.query_row(sql, [], |row| row.get(0)).map_err(driver)
}
