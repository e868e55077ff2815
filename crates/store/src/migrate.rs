//! The schema's history: embedded migrations, in order, each applied once and in a transaction of its own.
//!
//! The table `schema_migrations` keeps the full text of what was applied, so a changed migration is told from the one that ran
//! without a checksum to trust. [`recognise`] refuses, before anything is written, a file that is no database, one that belongs to
//! something else, one with an altered history, and one that is ahead of us. There is no way back: restoring a backup is.
//!
//! What is here is SQLite's, but for [`judge`]: a history is judged alike wherever it is kept.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};

use crate::error::OpenError;

/// Every migration there is; the first is version 1. A released one never changes again.
pub(crate) const MIGRATIONS: &[&str] = &[include_str!("../migrations/sqlite/0001_initial.sql")];

const HISTORY: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    version INTEGER PRIMARY KEY,
    text TEXT NOT NULL
) STRICT";

/// Says which version the schema of the database at `path` has, 0 for an empty one. Writes nothing.
///
/// # Refusals
///
/// `NotADatabase`, `Foreign`, `Newer`, `Altered`, and `Database` where it cannot be read.
pub(crate) fn recognise(connection: &Connection, path: &Path, migrations: &[&str]) -> Result<usize, OpenError> {
    let unreadable = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotADatabase { path: path.into() },
        _ => OpenError::Database { database: path.display().to_string(), cause: error.into() },
    };
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'", [], |row| {
            row.get(0)
        })
        .map_err(unreadable)?;
    if tables == 0 {
        return Ok(0);
    }
    let history = connection
        .query_row("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migrations'", [], |_| Ok(()))
        .optional()
        .map_err(unreadable)?;
    if history.is_none() {
        return Err(OpenError::Foreign { database: path.display().to_string() });
    }
    judge(&applied(connection).map_err(unreadable)?, migrations, &path.display().to_string())
}

/// Says how many of `migrations` the history `applied` of `database` has.
///
/// # Refusals
///
/// `Newer`, `Altered`.
pub(crate) fn judge(applied: &[(i64, String)], migrations: &[&str], database: &str) -> Result<usize, OpenError> {
    let known = version(migrations.len());
    // A newer program is told first: it may have its own reasons for a text we do not have.
    if let Some((found, _)) = applied.last()
        && *found > known
    {
        return Err(OpenError::Newer { database: database.to_owned(), found: *found, known });
    }
    for (index, (found, text)) in applied.iter().enumerate() {
        if *found != version(index + 1) || migrations.get(index).is_none_or(|migration| migration != text) {
            return Err(OpenError::Altered { database: database.to_owned(), version: *found });
        }
    }
    Ok(applied.len())
}

/// Applies what comes after the version `recognised` said, each migration in a transaction of its own.
///
/// # Refusals
///
/// `Migration`: the schema is then as the last migration that went through left it.
pub(crate) fn apply(
    connection: &mut Connection,
    path: &Path,
    migrations: &[&str],
    recognised: usize,
) -> Result<(), OpenError> {
    for (index, text) in migrations.iter().enumerate().skip(recognised) {
        let version = version(index + 1);
        apply_one(connection, version, text).map_err(|error| OpenError::Migration {
            database: path.display().to_string(),
            version,
            cause: error.into(),
        })?;
    }
    Ok(())
}

fn apply_one(connection: &mut Connection, version: i64, text: &str) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(HISTORY)?;
    transaction.execute_batch(text)?;
    transaction.execute("INSERT INTO schema_migrations (version, text) VALUES (?1, ?2)", params![version, text])?;
    transaction.commit()
}

/// What was applied, oldest first.
fn applied(connection: &Connection) -> rusqlite::Result<Vec<(i64, String)>> {
    let mut statement = connection.prepare("SELECT version, text FROM schema_migrations ORDER BY version")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

/// The count of migrations as a version. There are never so many that it would not fit.
pub(crate) fn version(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "CREATE TABLE one (id INTEGER PRIMARY KEY) STRICT;";
    const SECOND: &str = "ALTER TABLE one ADD COLUMN name TEXT; CREATE TABLE two (id INTEGER PRIMARY KEY) STRICT;";

    fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), OpenError> {
        let path = Path::new("some.db");
        let recognised = recognise(connection, path, migrations)?;
        apply(connection, path, migrations, recognised)
    }

    #[test]
    fn migrations_are_applied_in_order_and_once() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &[FIRST]).unwrap();
        migrate(&mut connection, &[FIRST, SECOND]).unwrap();
        migrate(&mut connection, &[FIRST, SECOND]).unwrap();
        let history = applied(&connection).unwrap();
        assert_eq!(history, [(1, FIRST.to_owned()), (2, SECOND.to_owned())]);
        connection.execute("INSERT INTO one (name) VALUES ('a')", []).unwrap();
    }

    #[test]
    fn an_altered_migration_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &[FIRST]).unwrap();
        let altered =
            migrate(&mut connection, &["CREATE TABLE one (id INTEGER PRIMARY KEY, more TEXT) STRICT;", SECOND]);
        let error = altered.unwrap_err();
        assert!(matches!(error, OpenError::Altered { version: 1, .. }));
        assert_eq!(
            error.to_string(),
            "migration 1 of some.db was applied with another text than this program has for it"
        );
        assert_eq!(applied(&connection).unwrap().len(), 1, "nothing was applied after it");
    }

    #[test]
    fn a_history_with_a_hole_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &[FIRST, SECOND]).unwrap();
        connection.execute("DELETE FROM schema_migrations WHERE version = 1", []).unwrap();
        assert!(matches!(migrate(&mut connection, &[FIRST, SECOND]), Err(OpenError::Altered { version: 2, .. })));
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &[FIRST, SECOND]).unwrap();
        let error = migrate(&mut connection, &[FIRST]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "some.db has schema version 2, newer than the 1 this program knows; use the newer program"
        );
    }

    #[test]
    fn a_database_of_another_program_is_refused_and_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE theirs (id INTEGER PRIMARY KEY)").unwrap();
        assert!(matches!(migrate(&mut connection, &[FIRST]), Err(OpenError::Foreign { .. })));
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!(tables, 1);
    }

    #[test]
    fn a_migration_that_fails_leaves_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        let broken = "CREATE TABLE two (id INTEGER PRIMARY KEY) STRICT; CREATE TABLE one (id INTEGER);";
        let error = migrate(&mut connection, &[FIRST, broken]).unwrap_err();
        assert!(matches!(error, OpenError::Migration { version: 2, .. }));
        assert_eq!(applied(&connection).unwrap().len(), 1);
        migrate(&mut connection, &[FIRST, SECOND]).unwrap();
    }

    #[test]
    fn the_migrations_of_this_program_apply_to_an_empty_database() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, MIGRATIONS).unwrap();
        migrate(&mut connection, MIGRATIONS).unwrap();
        assert_eq!(applied(&connection).unwrap().len(), MIGRATIONS.len());
    }
}
