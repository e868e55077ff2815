//! The machinery under the store, on real files, with a table of its own.

mod counted;
mod crash;
mod disk;
mod opening;
mod readers;
mod writer;

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use engine::{Event, Observer, StoreError};
use rusqlite::{Connection, params};

use super::{SqliteStore, open_with};
use crate::error::{OpenError, driver};

/// What the database of these tests is made of. The index is there because a bulk insert then needs a statement journal, and so a
/// full disk undoes only the statement.
const NOTES: &[&str] = &["CREATE TABLE notes (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, body BLOB) STRICT;"];

/// A folder of its own, gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("countersign-store-{}-{number}", std::process::id()));
        // Left by a process of the same number that was killed.
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    fn database(&self) -> PathBuf {
        self.0.join("test.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Counts what the writer reports.
#[derive(Default)]
struct Counts {
    commits: AtomicUsize,
    operations: AtomicUsize,
    stored: Mutex<Vec<&'static str>>,
}

impl Observer for Counts {
    fn observe(&self, event: &Event) {
        match event {
            Event::Committed { operations } => {
                self.commits.fetch_add(1, Ordering::Relaxed);
                self.operations.fetch_add(*operations, Ordering::Relaxed);
            }
            Event::Stored { operation, .. } => self.stored.lock().unwrap().push(operation),
            _ => {}
        }
    }
}

impl Counts {
    fn commits(&self) -> usize {
        self.commits.load(Ordering::Relaxed)
    }

    fn stored(&self, name: &str) -> usize {
        self.stored.lock().unwrap().iter().filter(|stored| **stored == name).count()
    }
}

/// Opens a store whose process must not end.
fn open_trial(database: &Path) -> Arc<SqliteStore> {
    open_counted(database).0
}

fn open_counted(database: &Path) -> (Arc<SqliteStore>, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let store = try_open(database, Arc::clone(&counts)).unwrap();
    (store, counts)
}

fn try_open(database: &Path, counts: Arc<Counts>) -> Result<Arc<SqliteStore>, OpenError> {
    open_with(database, NOTES, counts, Box::new(|| panic!("the writer ended the process")))
}

fn insert(connection: &Connection, name: &str, bytes: u32) -> Result<(), StoreError> {
    let mut statement =
        connection.prepare_cached("INSERT INTO notes (name, body) VALUES (?1, zeroblob(?2))").map_err(driver)?;
    statement.execute(params![name, bytes]).map_err(driver)?;
    Ok(())
}

/// A job that writes one note.
fn note(name: impl Into<String>, bytes: u32) -> impl FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static {
    let name = name.into();
    move |connection| insert(connection, &name, bytes)
}

/// All names, oldest first.
async fn names(store: &SqliteStore) -> Vec<String> {
    store
        .readers
        .read(|connection| {
            let mut statement = connection.prepare("SELECT name FROM notes ORDER BY id").map_err(driver)?;
            let rows = statement.query_map([], |row| row.get(0)).map_err(driver)?;
            rows.collect::<Result<Vec<String>, _>>().map_err(driver)
        })
        .await
        .unwrap()
}

/// Nothing is broken in the file.
async fn assert_sound(store: &SqliteStore) {
    let verdict: String = store
        .readers
        .read(|connection| connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).map_err(driver))
        .await
        .unwrap();
    assert_eq!(verdict, "ok");
}

type Sent<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Sends an operation and does not wait for its answer.
fn send<'a, T: Send + 'static>(
    store: &'a SqliteStore,
    operation: &'static str,
    job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
) -> Sent<'a, T> {
    let mut sent: Sent<'a, T> = Box::pin(store.writer.run(operation, job));
    assert!(sent.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    sent
}

/// Keeps the writer busy until the handle it gives is dropped: what is sent meanwhile makes one group.
fn hold(store: &SqliteStore) -> Sender<()> {
    let (begun, begins) = channel();
    let (handle, held) = channel::<()>();
    let sent = send(store, "hold", move |_| {
        begun.send(()).unwrap();
        // Ends when the handle is dropped.
        let _ = held.recv();
        Ok(())
    });
    begins.recv().unwrap();
    drop(sent);
    handle
}

fn is_unavailable<T>(answer: &Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Unavailable(_)))
}
