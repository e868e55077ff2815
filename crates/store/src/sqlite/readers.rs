//! A few connections that only look, each on a thread of its own.
//!
//! A read sees one state of the database, whatever is committed meanwhile, and ends after [`TIME`]: an old state that is still
//! being read keeps the write-ahead log from being started anew. A read whose caller went away while it waited is not begun.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use engine::StoreError;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::queue::Queue;
use crate::error::driver;
use crate::moment;

/// How many read at the same time.
pub(super) const THREADS: usize = 2;

/// How many reads may wait.
const QUEUE: usize = 1_024;

/// How long a read may take, counted from when it begins.
const TIME: Duration = Duration::from_millis(250);

/// Steps of SQLite's virtual machine between two looks at the clock: some ten microseconds.
const STEPS: i32 = 1_000;

type Read = Box<dyn FnOnce(&Reader) + Send>;

/// The connections that only look.
pub(crate) struct Readers {
    queue: Queue<Read>,
}

impl Readers {
    pub(super) fn start(connections: Vec<Connection>) -> io::Result<Self> {
        let mut workers = Vec::with_capacity(connections.len());
        for connection in connections {
            let reader = Reader::new(connection).map_err(io::Error::other)?;
            workers.push(move |queue: &Mutex<Receiver<Read>>| reader.work(queue));
        }
        Ok(Self { queue: Queue::start("store-reader", QUEUE, workers)? })
    }

    /// Runs `job` on a connection that only looks, in a transaction: all its statements see one state.
    ///
    /// # Refusals
    ///
    /// What `job` refuses; `Unavailable` after 250 ms, where too many wait already, and once the store is closed.
    pub(crate) async fn read<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.queue.send(Box::new(move |reader| {
            if !reply.is_closed() {
                // The caller may be gone by now; there is nothing to tell then.
                let _ = reply.send(reader.read(job));
            }
        }))?;
        answer.await.unwrap_or_else(|_| Err(StoreError::Driver("the read panicked".into())))
    }

    pub(super) async fn close(&self) {
        self.queue.close().await;
    }
}

struct Reader {
    connection: Connection,
    /// When the read that runs has to end; none while none runs.
    deadline: Arc<Mutex<Option<Instant>>>,
}

impl Reader {
    fn new(mut connection: Connection) -> rusqlite::Result<Self> {
        let deadline = Arc::new(Mutex::new(None));
        let ends = Arc::clone(&deadline);
        connection.progress_handler(
            STEPS,
            Some(move || {
                let ends: Option<Instant> = *ends.lock().unwrap_or_else(PoisonError::into_inner);
                ends.is_some_and(|ends| moment() >= ends)
            }),
        )?;
        Ok(Self { connection, deadline })
    }

    fn work(&self, queue: &Mutex<Receiver<Read>>) {
        loop {
            // The lock is held while waiting and let go before reading, so the next thread can wait.
            let received = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(read) = received else {
                return;
            };
            // A read has nothing to leave half done. Its caller hears of the panic by the dropped channel.
            if catch_unwind(AssertUnwindSafe(|| read(self))).is_err() {
                tracing::error!("a read panicked");
                self.end();
            }
        }
    }

    fn read<T>(&self, job: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.execute("BEGIN").map_err(driver)?;
        self.set_deadline(Some(moment() + TIME));
        let outcome = job(&self.connection);
        self.end();
        outcome
    }

    /// Ends the transaction, if there is one, without a deadline.
    fn end(&self) {
        self.set_deadline(None);
        if !self.connection.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            tracing::error!(%error, "could not end a read");
        }
    }

    fn set_deadline(&self, ends: Option<Instant>) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = ends;
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}
