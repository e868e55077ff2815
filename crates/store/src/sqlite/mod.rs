//! The store on SQLite: one writer that commits in groups, a few readers, one checkpointer, one process.
//!
//! Everything that changes goes through [`writer`], everything that only looks through [`readers`]; both run plain functions on a
//! connection, on threads of their own, and answer over a channel. [`connect`] opens the file and keeps other processes out,
//! [`checkpoint`] keeps the write-ahead log short. What those functions are is in [`operations`], with loaders and appliers in the
//! files named after what they keep.

mod budget;
mod checkpoint;
mod connect;
mod device;
mod flow;
mod identity;
mod operations;
mod outbox;
mod queue;
mod readers;
mod row;
mod session;
mod ticket;
mod vault;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use engine::Observer;

use crate::error::OpenError;
use crate::migrate::{self, MIGRATIONS};

use checkpoint::Checkpoints;
use connect::Lock;
use readers::Readers;
use writer::{Ending, Writer};

/// A store in one SQLite database. Dropping it, or [`SqliteStore::close`], finishes everything that was asked.
pub struct SqliteStore {
    // Dropped in this order: the checkpointer's is the last connection to close, and being able to write it empties the log and
    // removes it; the lock goes when nothing of ours has the file open any more.
    pub(crate) writer: Writer,
    pub(crate) readers: Readers,
    checkpoints: Checkpoints,
    lock: Mutex<Option<Lock>>,
}

/// Opens the store in the SQLite database at `location`; makes it, and its folder, where there is none. Blocks, so it is for
/// the start of a program.
///
/// The process ends (`abort`) where going on could acknowledge what is not there: after a commit that failed for anything but
/// want of room, and after a panic in the writer's thread.
///
/// # Refusals
///
/// See [`OpenError`]; a database that is refused is left as it was.
pub fn open(location: &Path, observer: Arc<dyn Observer>) -> Result<Arc<SqliteStore>, OpenError> {
    open_with(location, MIGRATIONS, observer, Box::new(|| std::process::abort()))
}

fn open_with(
    location: &Path,
    migrations: &[&str],
    observer: Arc<dyn Observer>,
    ending: Ending,
) -> Result<Arc<SqliteStore>, OpenError> {
    let path = connect::create_file(location)?;
    let lock = Lock::take(&path)?;
    let database =
        |error: rusqlite::Error| OpenError::Database { database: path.display().to_string(), cause: error.into() };
    let thread = |cause| OpenError::Thread { cause };

    let mut connection = connect::open(&path).map_err(database)?;
    let recognised = migrate::recognise(&connection, &path, migrations)?;
    connect::prepare_writer(&connection).map_err(database)?;
    migrate::apply(&mut connection, &path, migrations, recognised)?;

    let checkpointing = connect::checkpointer(&path).map_err(database)?;
    let reading = readers(&path).map_err(database)?;
    let checkpoints = Checkpoints::start(checkpointing).map_err(thread)?;
    let readers = Readers::start(reading).map_err(thread)?;
    let writer = Writer::start(connection, observer, checkpoints.due(), ending).map_err(thread)?;
    Ok(Arc::new(SqliteStore { writer, readers, checkpoints, lock: Mutex::new(Some(lock)) }))
}

/// Brings the schema of the database at `location` up to date, and says how many migrations that took.
///
/// # Refusals
///
/// As [`open`].
pub(crate) fn migrate(location: &Path) -> Result<usize, OpenError> {
    let path = connect::create_file(location)?;
    let _lock = Lock::take(&path)?;
    let database =
        |error: rusqlite::Error| OpenError::Database { database: path.display().to_string(), cause: error.into() };
    let mut connection = connect::open(&path).map_err(database)?;
    let recognised = migrate::recognise(&connection, &path, MIGRATIONS)?;
    migrate::apply(&mut connection, &path, MIGRATIONS, recognised)?;
    Ok(MIGRATIONS.len() - recognised)
}

fn readers(path: &Path) -> rusqlite::Result<Vec<rusqlite::Connection>> {
    (0..readers::THREADS).map(|_| connect::reader(path)).collect()
}

impl SqliteStore {
    /// Takes no more operations, ends when those asked before are durable and answered and the file is closed and free for
    /// another process. What is asked afterwards is `Unavailable`.
    pub async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
        self.checkpoints.close().await;
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}
