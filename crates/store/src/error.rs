//! What opening a store can say, and how a driver's errors become the port's.

use std::io;
use std::path::PathBuf;

use engine::StoreError;
use rusqlite::ErrorCode;

/// Why a store could not be opened. Each prints as one sentence with its cause, for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database, its folder or its lock file could not be made or opened.
    #[error("cannot create {}: {cause}", path.display())]
    Create {
        /// Which file or folder.
        path: PathBuf,
        /// What the operating system said.
        cause: io::Error,
    },
    /// Another process has the database.
    #[error("{} is in use by another process, which holds {}", database.display(), lock.display())]
    Locked {
        /// The database.
        database: PathBuf,
        /// The file that keeps us out.
        lock: PathBuf,
    },
    /// The file is something else.
    #[error("{} is not an SQLite database", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// There are tables that are not ours.
    #[error("{database} is a database of another program")]
    Foreign {
        /// The database.
        database: String,
    },
    /// The text that shall say where the database is does not.
    #[error("the database's url {problem}")]
    Url {
        /// What is wrong about it.
        problem: String,
    },
    /// A later version of this program was here before.
    #[error("{database} has schema version {found}, newer than the {known} this program knows; use the newer program")]
    Newer {
        /// The database.
        database: String,
        /// The version of its schema.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// What was applied is not what we would have applied.
    #[error("migration {version} of {database} was applied with another text than this program has for it")]
    Altered {
        /// The database.
        database: String,
        /// The migration's version.
        version: i64,
    },
    /// A migration failed; the schema is as it was before it.
    #[error("cannot bring {database} to schema version {version}: {cause}")]
    Migration {
        /// The database.
        database: String,
        /// The version that was being reached for.
        version: i64,
        /// What the driver said.
        cause: engine::BoxError,
    },
    /// The database could not be opened or read.
    #[error("cannot open {database}: {cause}")]
    Database {
        /// The database.
        database: String,
        /// What the driver said.
        cause: engine::BoxError,
    },
    /// The operating system gave no thread.
    #[error("cannot start a thread of the store: {cause}")]
    Thread {
        /// What it said.
        cause: io::Error,
    },
}

/// The driver's error as the port says it: what may be better in a moment is `Unavailable`, the rest `Driver`.
pub(crate) fn driver(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DiskFull
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::SystemIoFailure
            | ErrorCode::OperationInterrupted
            | ErrorCode::OutOfMemory,
        ) => StoreError::Unavailable(Box::new(error)),
        _ => StoreError::Driver(Box::new(error)),
    }
}

/// Trying again later may help.
pub(crate) fn unavailable(reason: impl Into<engine::BoxError>) -> StoreError {
    StoreError::Unavailable(reason.into())
}

/// Whether an operation failed because the machine had no room, no memory or a broken disk for it. SQLite then undoes either the
/// statement or the whole transaction, depending on the statement.
pub(crate) fn is_want_of_resources(error: &StoreError) -> bool {
    let StoreError::Unavailable(cause) = error else {
        return false;
    };
    let code = cause.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
    matches!(code, Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory))
}

#[cfg(test)]
mod tests {
    use rusqlite::{Error, ffi};

    use super::*;

    fn failure(code: i32) -> StoreError {
        driver(Error::SqliteFailure(ffi::Error::new(code), None))
    }

    #[test]
    fn what_may_be_better_in_a_moment_is_unavailable() {
        for code in [
            ffi::SQLITE_FULL,
            ffi::SQLITE_BUSY,
            ffi::SQLITE_LOCKED,
            ffi::SQLITE_IOERR,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_INTERRUPT,
            ffi::SQLITE_NOMEM,
        ] {
            assert!(matches!(failure(code), StoreError::Unavailable(_)), "code {code}");
        }
    }

    #[test]
    fn everything_else_is_the_drivers() {
        for code in [ffi::SQLITE_CONSTRAINT_UNIQUE, ffi::SQLITE_CORRUPT, ffi::SQLITE_ERROR, ffi::SQLITE_READONLY] {
            assert!(matches!(failure(code), StoreError::Driver(_)), "code {code}");
        }
        assert!(matches!(driver(Error::QueryReturnedNoRows), StoreError::Driver(_)));
    }

    #[test]
    fn a_busy_database_is_no_want_of_resources() {
        assert!(is_want_of_resources(&failure(ffi::SQLITE_FULL)));
        assert!(is_want_of_resources(&failure(ffi::SQLITE_IOERR_WRITE)));
        assert!(!is_want_of_resources(&failure(ffi::SQLITE_BUSY)));
        assert!(!is_want_of_resources(&failure(ffi::SQLITE_INTERRUPT)));
        assert!(!is_want_of_resources(&unavailable("the queue is full")));
    }
}
