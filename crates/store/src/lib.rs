//! Keeps everything, durably: the only crate with SQL.
//!
//! [`open`] gives the engine's store on an SQLite database. What it promises is the port's: every operation is atomic, and durable
//! when it answers; an operation once sent runs to its end, whether or not its caller still waits. The rules are the engine's:
//! in here are only machinery, loaders and appliers.

mod error;
mod migrate;
mod sqlite;

pub use error::OpenError;
pub use sqlite::{SqliteStore, open};
