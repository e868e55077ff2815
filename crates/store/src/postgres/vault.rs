//! Signing keys, what the installation knows about itself, and the nodes that run: loaders and appliers.

use engine::{Algorithm, ProjectId, SealedKey, StoreError, Timestamp};

use super::connect::Link;
use super::row::Cells;
use super::trip::{Step, ask, statements};
use super::wire::Row;

statements! {
    SIGNING_KEYS = "SELECT kid, algorithm, slot, created_at, sealed FROM signing_keys WHERE project = $1 ORDER BY slot, algorithm";
    ADD_SIGNING_KEY = "INSERT INTO signing_keys (project, algorithm, slot, kid, created_at, sealed) \
                       VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
    META = "SELECT value FROM project_meta WHERE name = $1";
    CLAIM_META = "INSERT INTO project_meta (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    PUT_META = "INSERT INTO project_meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    HIGHEST_ID = "SELECT greatest((SELECT max(id) FROM flows), (SELECT max(id) FROM identities), (SELECT max(id) FROM addresses), \
                  (SELECT max(id) FROM sessions), (SELECT max(id) FROM outbox), (SELECT max(id) FROM devices), \
                  (SELECT max(device_id) FROM flows), 0)";
    // Goes to the log with its transaction, and through it to replicas, and touches no row.
    MARK = "SELECT pg_logical_emit_message(true, 'countersign', '')";
    // One at a time takes a number: the lock ends with the transaction.
    LOCK_NODES = "SELECT pg_advisory_xact_lock(7221437950413127)";
    NODES = "SELECT number, renewed_at FROM nodes ORDER BY number";
    TAKE_NODE = "INSERT INTO nodes (number, holder, renewed_at) VALUES ($1, $2, $3) \
                 ON CONFLICT (number) DO UPDATE SET holder = excluded.holder, renewed_at = excluded.renewed_at";
    RENEW_NODE = "UPDATE nodes SET renewed_at = $3 WHERE number = $1 AND holder = $2 RETURNING 1";
    RETURN_NODE = "DELETE FROM nodes WHERE number = $1 AND holder = $2";
    CLOCK = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
}

/// The signing keys of a project, oldest first.
pub(super) fn signing_keys(link: &Link, project: &ProjectId) -> Step {
    ask(link, SIGNING_KEYS, &[&project.as_str()])
}

/// Reads the signing keys of a project.
pub(super) fn read_signing_keys(rows: &[Row], project: &ProjectId) -> Result<Vec<SealedKey>, StoreError> {
    rows.iter()
        .map(|row| {
            let cells = Cells::new(row, "signing_keys", 2)?;
            Ok(SealedKey {
                kid: cells.get(0, "kid")?,
                project: project.clone(),
                algorithm: cells.word(1, "algorithm", Algorithm::from_name)?,
                slot: cells.number(2, "slot")?,
                created_at: cells.time(3, "created_at")?,
                sealed: cells.get(4, "sealed")?,
            })
        })
        .collect()
}

/// Adds a signing key unless its slot is taken.
pub(super) fn add_signing_key(link: &Link, key: &SealedKey) -> Step {
    let (project, algorithm, slot) = (key.project.as_str(), key.algorithm.name(), i64::from(key.slot));
    ask(link, ADD_SIGNING_KEY, &[&project, &algorithm, &slot, &key.kid, &key.created_at.millis(), &key.sealed])
}

/// The value kept under `name`.
pub(super) fn meta(link: &Link, name: &str) -> Step {
    ask(link, META, &[&name])
}

/// Reads a value that there may be.
pub(super) fn read_meta(rows: &[Row]) -> Result<Option<Vec<u8>>, StoreError> {
    rows.first().map(|row| Cells::nameless(row, "project_meta").get(0, "value")).transpose()
}

/// Keeps `value` under `name` if nothing was there.
pub(super) fn claim_meta(link: &Link, name: &str, value: &[u8]) -> Step {
    ask(link, CLAIM_META, &[&name, &value])
}

/// Keeps `value` under `name`, whatever was there.
pub(super) fn put_meta(link: &Link, name: &str, value: &[u8]) -> Step {
    ask(link, PUT_META, &[&name, &value])
}

/// The highest id of any row.
pub(super) fn highest_id(link: &Link) -> Step {
    ask(link, HIGHEST_ID, &[])
}

/// Writes what nobody reads, but like any write is durable only once the log is, and a synchronous replica's.
pub(super) fn leave_a_mark(link: &Link) -> Step {
    ask(link, MARK, &[])
}

/// Reads one value of a table.
pub(super) fn read_one<T>(rows: &[Row], table: &'static str, column: &'static str) -> Result<T, StoreError>
where
    T: for<'a> tokio_postgres::types::FromSql<'a>,
{
    let row = rows.first().ok_or(StoreError::Corrupt { table, column, id: 0 })?;
    Cells::nameless(row, table).get(0, column)
}

/// Keeps all other nodes from taking a number until the transaction ends.
pub(super) fn lock_nodes(link: &Link) -> Step {
    ask(link, LOCK_NODES, &[])
}

/// The nodes: their numbers, and when each was last heard of.
pub(super) fn nodes(link: &Link) -> Step {
    ask(link, NODES, &[])
}

/// Reads the nodes.
pub(super) fn read_nodes(rows: &[Row]) -> Result<Vec<(i64, Timestamp)>, StoreError> {
    rows.iter()
        .map(|row| {
            let cells = Cells::new(row, "nodes", 0)?;
            Ok((cells.id(), cells.time(1, "renewed_at")?))
        })
        .collect()
}

/// A node has a number.
pub(super) fn take_node(link: &Link, number: i64, holder: &[u8], now: Timestamp) -> Step {
    ask(link, TAKE_NODE, &[&number, &holder, &now.millis()])
}

/// It has it still.
pub(super) fn renew_node(link: &Link, number: i64, holder: &[u8], now: Timestamp) -> Step {
    ask(link, RENEW_NODE, &[&number, &holder, &now.millis()])
}

/// It does not need it any more.
pub(super) fn return_node(link: &Link, number: i64, holder: &[u8]) -> Step {
    ask(link, RETURN_NODE, &[&number, &holder])
}

/// What time the database has: only to tell an operator whose clock is wrong.
pub(super) fn clock(link: &Link) -> Step {
    ask(link, CLOCK, &[])
}
