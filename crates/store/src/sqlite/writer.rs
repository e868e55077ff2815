//! The one writer: a thread that owns the write connection and commits in groups.
//!
//! Operations arrive on a bounded queue. The writer takes all that wait, up to [`GROUP`], runs each in a savepoint of its own inside one
//! transaction, commits once and only then answers: one sync of the disk pays for everybody, and a lone caller waits for nobody.
//!
//! What it promises:
//!
//! - An answer without an error means durable. An operation that fails leaves nothing, and its neighbours commit.
//! - Want of room, of memory or of a working disk undoes the whole group: SQLite may have rolled back all of the transaction, those
//!   operations included that had run already, so nobody of the group is told it went through. The writer goes on.
//! - A commit that fails for anything but a full disk leaves open whether it happened. Nobody is answered then and the process ends;
//!   at the next start the log says what is true. So does a panic in here end it.
//! - A caller that goes away changes nothing. An operation once sent runs to its end; closing finishes what was sent.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use engine::{Event, Observer, StoreError};
use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use super::queue::Queue;
use crate::error::{driver, is_want_of_resources, unavailable};
use crate::moment;

/// How many operations may wait.
pub(super) const QUEUE: usize = 4_096;

/// How many operations a group has at most.
const GROUP: usize = 256;

/// Ends the process. Handed in, so that tests can see it; where it returns, the writer's thread ends and all that wait are
/// `Unavailable`.
pub(super) type Ending = Box<dyn FnOnce() + Send>;

/// Where operations are sent to.
pub(crate) struct Writer {
    queue: Queue<Box<dyn Job>>,
}

impl Writer {
    /// Starts the thread. `written` is set after every commit.
    pub(super) fn start(
        connection: Connection,
        observer: Arc<dyn Observer>,
        written: Arc<AtomicBool>,
        ending: Ending,
    ) -> io::Result<Self> {
        let transactions = Transactions::new(connection, written).map_err(io::Error::other)?;
        let groups = Groups { transactions, observer, group: VecDeque::with_capacity(GROUP) };
        let work = move |queue: &Mutex<Receiver<Box<dyn Job>>>| groups.work(queue, ending);
        Ok(Self { queue: Queue::start("store-writer", QUEUE, vec![work])? })
    }

    /// Runs `job` as one operation and answers when it is durable. `operation` is its name for measurements.
    ///
    /// The job runs inside a transaction and a savepoint that are not its own: it begins, commits and rolls back nothing, and it
    /// hands on every error of the driver.
    ///
    /// # Refusals
    ///
    /// What `job` refuses: nothing of it is left then. `Unavailable` where too many operations wait, where the group it was in could not
    /// be committed, and once the store is closed.
    pub(crate) async fn run<T, F>(&self, operation: &'static str, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.run_then(operation, job, |_| {}).await
    }

    /// The same; `committed` is told first what came of it, also where nobody waits for the answer any more.
    pub(crate) async fn run_then<T, F>(
        &self,
        operation: &'static str,
        job: F,
        committed: fn(&mut T),
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.queue.send(Box::new(Asked {
            operation,
            at: moment(),
            job: Some(job),
            outcome: None,
            committed,
            reply,
        }))?;
        answer.await.unwrap_or_else(|_| Err(unavailable("the store has stopped")))
    }

    pub(super) async fn close(&self) {
        self.queue.close().await;
    }
}

/// An operation on its way through the writer, whatever it answers.
trait Job: Send {
    /// Does it, and keeps what came of it.
    fn run(&mut self, connection: &Connection);
    /// It failed, whatever came of it before.
    fn fail(&mut self, error: StoreError);
    /// Why it failed, if it did.
    fn failure(&self) -> Option<&StoreError>;
    /// What it is called and when it was asked.
    fn asked(&self) -> (&'static str, Instant);
    /// Tells its caller what came of it.
    fn answer(self: Box<Self>);
}

struct Asked<T, F> {
    operation: &'static str,
    at: Instant,
    job: Option<F>,
    outcome: Option<Result<T, StoreError>>,
    committed: fn(&mut T),
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Asked<T, F>
where
    T: Send,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, connection: &Connection) {
        if let Some(job) = self.job.take() {
            self.outcome = Some(job(connection));
        }
    }

    fn fail(&mut self, error: StoreError) {
        self.outcome = Some(Err(error));
    }

    fn failure(&self) -> Option<&StoreError> {
        self.outcome.as_ref().and_then(|outcome| outcome.as_ref().err())
    }

    fn asked(&self) -> (&'static str, Instant) {
        (self.operation, self.at)
    }

    fn answer(self: Box<Self>) {
        if let Some(mut outcome) = self.outcome {
            if let Ok(outcome) = &mut outcome {
                (self.committed)(outcome);
            }
            // The caller may be gone by now; there is nothing to tell then.
            let _ = self.reply.send(outcome);
        }
    }
}

/// Why a group was not committed.
enum Failure {
    /// Nothing of it is in the database, and the next group may fare better.
    Undone(String),
    /// The commit may have happened or not, or the transaction cannot be got rid of.
    Fatal(String),
}

/// The thread's side: takes groups from the queue and commits them.
struct Groups {
    transactions: Transactions,
    observer: Arc<dyn Observer>,
    group: VecDeque<Box<dyn Job>>,
}

impl Groups {
    /// Works until the queue is closed and empty, or until going on would be wrong.
    fn work(mut self, queue: &Mutex<Receiver<Box<dyn Job>>>, ending: Ending) {
        let queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        // Not unwind safe, and need not be: after a panic nothing of this is used again. The group stays where it is, so that nobody
        // hears of a channel closed before the process ends.
        match catch_unwind(AssertUnwindSafe(|| self.until_closed(&queue))) {
            Ok(Ok(())) => return,
            Ok(Err(reason)) => tracing::error!(%reason, "the writer cannot go on: ending the process"),
            Err(_) => tracing::error!("the writer panicked: ending the process"),
        }
        ending();
    }

    fn until_closed(&mut self, queue: &Receiver<Box<dyn Job>>) -> Result<(), String> {
        while let Ok(first) = queue.recv() {
            self.group.push_back(first);
            self.group.extend(queue.try_iter().take(GROUP - 1));
            match self.commit_group() {
                Ok(()) => self.acknowledge(),
                Err(Failure::Undone(reason)) => self.refuse(&reason),
                Err(Failure::Fatal(reason)) => return Err(reason),
            }
        }
        Ok(())
    }

    /// Runs the group in one transaction and commits it. Answers nobody.
    fn commit_group(&mut self) -> Result<(), Failure> {
        self.transactions.begin()?;
        match self.group.iter_mut().try_for_each(|job| self.transactions.run_apart(job.as_mut())) {
            Ok(()) => self.transactions.commit(),
            Err(reason) => Err(self.transactions.abandon(reason)),
        }
    }

    /// The group is durable: says so.
    fn acknowledge(&mut self) {
        let durable = moment();
        self.observer.observe(&Event::Committed { operations: self.group.len() });
        while let Some(job) = self.group.pop_front() {
            if job.failure().is_none() {
                let (operation, at) = job.asked();
                self.observer.observe(&Event::Stored { operation, took: durable.saturating_duration_since(at) });
            }
            job.answer();
        }
    }

    /// Nothing of the group is in the database: says so to each of it, also to those that had gone through.
    fn refuse(&mut self, reason: &str) {
        while let Some(mut job) = self.group.pop_front() {
            job.fail(unavailable(format!("a group of operations was undone: {reason}")));
            job.answer();
        }
    }
}

/// The write connection.
struct Transactions {
    connection: Connection,
    written: Arc<AtomicBool>,
    /// Whether a commit that SQLite is about to do is ours.
    committing: Arc<AtomicBool>,
}

impl Transactions {
    fn new(mut connection: Connection, written: Arc<AtomicBool>) -> rusqlite::Result<Self> {
        let committing = Arc::new(AtomicBool::new(false));
        let ours = Arc::clone(&committing);
        // A transaction that SQLite has rolled back leaves the connection in autocommit: an operation that overlooked the error would
        // commit its further statements one by one. This turns each such commit into a rollback.
        connection.commit_hook(Some(move || !ours.load(Ordering::Relaxed)))?;
        Ok(Self { connection, written, committing })
    }

    fn begin(&self) -> Result<(), Failure> {
        self.execute("BEGIN IMMEDIATE").map_err(|error| Failure::Undone(error.to_string()))
    }

    /// Runs one operation in a savepoint of its own. An error says why the group cannot go on.
    fn run_apart(&self, job: &mut dyn Job) -> Result<(), String> {
        self.execute("SAVEPOINT operation").map_err(|error| error.to_string())?;
        job.run(&self.connection);
        if self.connection.is_autocommit() {
            return Err(job.failure().map_or_else(|| "the transaction is gone".to_owned(), ToString::to_string));
        }
        if job.failure().is_none() {
            match self.execute("RELEASE operation") {
                Ok(()) => return Ok(()),
                Err(error) => job.fail(driver(error)),
            }
        }
        if let Some(error) = job.failure().filter(|error| is_want_of_resources(error)) {
            return Err(error.to_string());
        }
        // Rolling back to a savepoint leaves it open.
        self.execute("ROLLBACK TO operation")
            .and_then(|()| self.execute("RELEASE operation"))
            .map_err(|error| error.to_string())
    }

    fn commit(&self) -> Result<(), Failure> {
        self.committing.store(true, Ordering::Relaxed);
        let committed = self.execute("COMMIT");
        self.committing.store(false, Ordering::Relaxed);
        let Err(error) = committed else {
            self.written.store(true, Ordering::Relaxed);
            return Ok(());
        };
        let reason = match error.sqlite_extended_error_code() {
            Some(code) => format!("committing: {error} (code {code})"),
            None => format!("committing: {error}"),
        };
        let failure = self.abandon(reason.clone());
        // Where there was no room for the group's pages, its last one, which makes it a commit, was not written either. After any
        // other error (a sync that failed, say) it may have been.
        Err(if error.sqlite_error_code() == Some(ErrorCode::DiskFull) { failure } else { Failure::Fatal(reason) })
    }

    /// Rolls back what is left of the transaction.
    fn abandon(&self, reason: String) -> Failure {
        if self.connection.is_autocommit() {
            return Failure::Undone(reason);
        }
        match self.execute("ROLLBACK") {
            Err(error) if !self.connection.is_autocommit() => {
                Failure::Fatal(format!("{reason}; and rolling back: {error}"))
            }
            _ => Failure::Undone(reason),
        }
    }

    fn execute(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}
