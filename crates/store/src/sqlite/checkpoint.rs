//! Copies the write-ahead log into the database, beside the writer and without ever making it wait.
//!
//! `PASSIVE` takes what it can get and waits for nobody; the writer's own automatic checkpoint then has little left to do and
//! starts the log anew. Either alone lets the log grow without bound or stalls the writer.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use super::queue::Queue;

const EVERY: Duration = Duration::from_millis(200);

/// The thread that checkpoints. Nothing is ever put into its queue: that one serves to end it.
pub(super) struct Checkpoints {
    queue: Queue<()>,
    due: Arc<AtomicBool>,
}

impl Checkpoints {
    pub(super) fn start(connection: Connection) -> io::Result<Self> {
        let due = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&due);
        let work = move |queue: &Mutex<Receiver<()>>| {
            let queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            let mut failing = false;
            while queue.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                if asked.swap(false, Ordering::Relaxed) {
                    failing = checkpoint(&connection, &asked, failing);
                }
            }
        };
        Ok(Self { queue: Queue::start("store-checkpoint", 1, vec![work])?, due })
    }

    /// Set by whoever has written: there is something to copy.
    pub(super) fn due(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.due)
    }

    pub(super) async fn close(&self) {
        self.queue.close().await;
    }
}

/// Checkpoints once; says whether that failed. A full disk fails every time: only the first is worth a line.
fn checkpoint(connection: &Connection, due: &AtomicBool, failing: bool) -> bool {
    let outcome = connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)").and_then(|mut statement| {
        statement.query_row([], |row| Ok((row.get::<_, i64>("log")?, row.get::<_, i64>("checkpointed")?)))
    });
    match outcome {
        Ok((log, checkpointed)) => {
            // A reader still needed the older pages: the rest is for the next time.
            if checkpointed < log {
                due.store(true, Ordering::Relaxed);
            }
            false
        }
        Err(error) => {
            due.store(true, Ordering::Relaxed);
            if !failing {
                tracing::warn!(%error, "could not copy the write-ahead log into the database");
            }
            true
        }
    }
}
