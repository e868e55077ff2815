//! Budgets: loaders and appliers.

use engine::{Address, Budget, ProjectId, Spent, StoreError, Timestamp};
use rusqlite::{Connection, params};

use crate::error::driver;

/// What has been spent of an address.
pub(super) fn of(connection: &Connection, project: &ProjectId, address: &Address) -> Result<Budget, StoreError> {
    let sql = "SELECT stranger, known FROM budgets WHERE address = ?1 AND project = ?2 AND channel = ?3";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    let mut rows =
        statement.query(params![address.as_str(), project.as_str(), address.channel().name()]).map_err(driver)?;
    let Some(row) = rows.next().map_err(driver)? else { return Ok(Budget::default()) };
    let spent = |index: usize, column: &'static str| {
        let bytes = row.get_ref(index).ok().and_then(|value| value.as_blob().ok());
        bytes.and_then(Spent::from_bytes).ok_or(StoreError::Corrupt { table: "budgets", column, id: 0 })
    };
    Ok(Budget { stranger: spent(0, "stranger")?, known: spent(1, "known")? })
}

/// Keeps what has been spent of an address.
pub(super) fn put(
    connection: &Connection,
    project: &ProjectId,
    address: &Address,
    budget: &Budget,
) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO budgets (address, project, channel, stranger, known, forgotten_at) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement
        .execute(params![
            address.as_str(),
            project.as_str(),
            address.channel().name(),
            budget.stranger.to_bytes(),
            budget.known.to_bytes(),
            budget.forgotten_at().millis()
        ])
        .map_err(driver)?;
    Ok(())
}

/// An address's budget is whole again.
pub(super) fn forgive(connection: &Connection, project: &ProjectId, address: &Address) -> Result<(), StoreError> {
    let sql = "DELETE FROM budgets WHERE address = ?1 AND project = ?2 AND channel = ?3";
    let mut statement = connection.prepare_cached(sql).map_err(driver)?;
    statement.execute(params![address.as_str(), project.as_str(), address.channel().name()]).map_err(driver)?;
    Ok(())
}

/// Removes budgets that say nothing any more at `now`: at most `limit`.
pub(super) fn sweep(connection: &Connection, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let sql = "DELETE FROM budgets WHERE (address, project, channel) IN \
               (SELECT address, project, channel FROM budgets WHERE forgotten_at < ?1 LIMIT ?2)";
    connection.prepare_cached(sql).map_err(driver)?.execute(params![now.millis(), limit]).map_err(driver)
}
