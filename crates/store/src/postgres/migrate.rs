//! The schema's history on PostgreSQL: as on SQLite (see `crate::migrate`), under a lock that lets one node at a time migrate.

use tokio_postgres::Client;

use super::connect::Target;
use super::told;
use crate::error::OpenError;
use crate::migrate::{judge, version};

/// Every migration there is; the first is version 1. A released one never changes again.
pub(super) const MIGRATIONS: &[&str] = &[include_str!("../../migrations/postgres/0001_initial.sql")];

const HISTORY: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (version BIGINT PRIMARY KEY, text TEXT NOT NULL)";

/// Ends with the transaction that took it.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7221437950413126)";

/// Everything in the schema that new tables would go to, but for what an extension brought.
const TABLES: &str = "SELECT count(*), count(*) FILTER (WHERE relname = 'schema_migrations') FROM pg_class \
                      WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f') \
                      AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')";

/// Says which version the schema has, 0 for an empty one. Writes nothing.
async fn recognise(client: &Client, database: &str, migrations: &[&str]) -> Result<usize, OpenError> {
    let unreadable = |error: tokio_postgres::Error| OpenError::Database {
        database: database.to_owned(),
        cause: told(&error).into(),
    };
    let row = client.query_one(TABLES, &[]).await.map_err(unreadable)?;
    let (tables, histories): (i64, i64) = (row.get(0), row.get(1));
    if tables == 0 {
        return Ok(0);
    }
    if histories == 0 {
        return Err(OpenError::Foreign { database: database.to_owned() });
    }
    let rows =
        client.query("SELECT version, text FROM schema_migrations ORDER BY version", &[]).await.map_err(unreadable)?;
    let applied: Vec<(i64, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    judge(&applied, migrations, database)
}

/// Brings the schema up to date. Where it is, nothing is locked or written, so that a node may run without the right to change it.
///
/// # Refusals
///
/// `Foreign`, `Newer`, `Altered`, `Migration`, `Database`.
pub(super) async fn migrate(target: &Target, client: &mut Client, migrations: &[&str]) -> Result<usize, OpenError> {
    let database = target.name();
    if recognise(client, database, migrations).await? == migrations.len() {
        return Ok(0);
    }
    let mut count = 0;
    while apply_next(client, database, migrations).await? {
        count += 1;
    }
    Ok(count)
}

/// Applies the first migration that has not been, in a transaction of its own; says whether there was one.
async fn apply_next(client: &mut Client, database: &str, migrations: &[&str]) -> Result<bool, OpenError> {
    let failed = |version, error: &tokio_postgres::Error| OpenError::Migration {
        database: database.to_owned(),
        version,
        cause: told(error).into(),
    };
    let transaction = client.transaction().await.map_err(|error| failed(1, &error))?;
    transaction.batch_execute(LOCK).await.map_err(|error| failed(1, &error))?;
    // Another node may have been here while this one waited for the lock.
    let recognised = recognise(transaction.client(), database, migrations).await?;
    let Some(text) = migrations.get(recognised) else { return Ok(false) };
    let version = version(recognised + 1);
    let applied = async {
        transaction.batch_execute(HISTORY).await?;
        transaction.batch_execute(text).await?;
        transaction.execute("INSERT INTO schema_migrations (version, text) VALUES ($1, $2)", &[&version, text]).await?;
        transaction.commit().await
    };
    applied.await.map_err(|error| failed(version, &error))?;
    Ok(true)
}
