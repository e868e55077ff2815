//! Keeps everything, durably: the only crate with SQL.
//!
//! [`open`] gives the engine's store on an SQLite database or on PostgreSQL, as its location says. What it promises is the port's:
//! every operation is atomic, and durable when it answers; an operation once sent runs to its end, whether or not its caller still
//! waits. The rules are the engine's: in here are only machinery, loaders and appliers.

mod database;
mod error;
mod migrate;
mod postgres;
mod sqlite;

use std::time::Instant;

pub use database::{CONNECTIONS, Database, Location, migrate, open};
pub use error::OpenError;
pub use postgres::{NODE_LEASE, NodeNumber, PostgresStore};
pub use sqlite::{SqliteStore, open as open_sqlite};

/// The moment, for measuring how long something took or may take; never a time that is stored or decided upon.
#[expect(clippy::disallowed_methods, reason = "measures durations and bounds waits; no stored time comes from it")]
fn moment() -> Instant {
    Instant::now()
}
