//! The file and the connections to it: who may read it, who may have it open, and how each connection is set.
//!
//! Folder and file are made for their owner alone (0700 and 0600; SQLite gives its log and index files the database's mode). What
//! exists already keeps the mode its owner gave it. The figures of the pragmas were measured: a larger log with a larger cache is
//! worth a quarter more throughput, neither alone is; memory mapping and exclusive locking are worth nothing.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::OpenError;

/// How long the writer waits for a foreign process (a shell, a backup tool) that writes, before a group is `Unavailable`. Our own
/// processes are kept out by the lock.
const WRITER_PATIENCE: Duration = Duration::from_secs(1);

/// How long a reader or the checkpointer waits where SQLite needs the file for itself for a moment.
const PATIENCE: Duration = Duration::from_millis(250);

/// Statements kept prepared on each connection; there are fewer different ones.
const STATEMENTS: usize = 128;

/// Pages in the log at which the writer itself checkpoints: it then finds little left to do and starts the log anew, which the
/// checkpointer alone never does while writes go on.
const AUTOMATIC_CHECKPOINT_PAGES: i32 = 8_000;

/// Kibibytes (that is what a negative figure means) of pages the writer keeps in memory.
const WRITER_CACHE: i32 = -65_536;

/// Makes the database's folder and an empty file where there is none, and gives the file's one true path: two names of one file
/// must meet at one lock.
pub(super) fn create_file(location: &Path) -> Result<PathBuf, OpenError> {
    let create = |path: &Path| {
        let path = path.to_owned();
        move |cause| OpenError::Create { path, cause }
    };
    if let Some(folder) = location.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        create_folder(folder).map_err(create(folder))?;
    }
    open_private(location).map_err(create(location))?;
    fs::canonicalize(location).map_err(create(location))
}

/// Makes a folder and those above it. A new entry is durable only once the folder that holds it is synced; SQLite does that for
/// its files, not for the folders above.
fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(Path::new("."));
    create_folder(above)?;
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        // Somebody else made it at the same moment.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {}
        made => made?,
    }
    sync_folder(if above.as_os_str().is_empty() { Path::new(".") } else { above })
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Keeps every other process of ours away from a database, until dropped or until the process ends in whatever way. The file
/// stays: removing it would let two processes hold locks on two files of one name.
pub(super) struct Lock(File);

impl Lock {
    /// Takes the lock of the database at `database`, a file beside it.
    pub(super) fn take(database: &Path) -> Result<Self, OpenError> {
        let mut lock = database.as_os_str().to_owned();
        lock.push(".lock");
        let lock = PathBuf::from(lock);
        let taken = open_private(&lock).and_then(|file| match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        });
        match taken {
            Ok(Some(file)) => Ok(Self(file)),
            Ok(None) => Err(OpenError::Locked { database: database.to_owned(), lock }),
            Err(cause) => Err(OpenError::Create { path: lock, cause }),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A child process that another thread is just starting has a copy of the file until its program runs: closed here alone, the
        // lock would live on with that. An error leaves it to the end of the process.
        let _ = self.0.unlock();
    }
}

/// A connection that may write, set as little as needed to look whether the database is ours.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    // `NO_MUTEX`: each connection is one thread's. No `CREATE`: the file is there.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(WRITER_PATIENCE)?;
    Ok(connection)
}

/// Makes an opened connection the writer's.
pub(super) fn prepare_writer(connection: &Connection) -> rusqlite::Result<()> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        // SQLite keeps the old mode where the file system cannot share memory between connections.
        return Err(rusqlite::Error::ToSqlConversionFailure("the file system cannot hold a write-ahead log".into()));
    }
    connection.pragma_update(None, "cache_size", WRITER_CACHE)?;
    connection.pragma_update(None, "wal_autocheckpoint", AUTOMATIC_CHECKPOINT_PAGES)?;
    prepare(connection)
}

/// A connection that only looks. SQLite itself refuses it every change.
pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "query_only", true)?;
    prepare(&connection)?;
    Ok(connection)
}

/// The connection that checkpoints. It must be able to write: what it copies from the log goes into the database.
pub(super) fn checkpointer(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open(path)?;
    connection.busy_timeout(PATIENCE)?;
    prepare(&connection)?;
    Ok(connection)
}

/// What every connection has.
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // What SQLite sets aside while sorting must not land in a shared folder for temporary files.
    connection.pragma_update(None, "temp_store", "memory")?;
    // Plans do not depend on bound values. Else a cached statement whose plan had looked at one is compiled again each time its
    // bindings are cleared, which is each time it is used: a fifth of the writer's time.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}
