//! Running an operation: a connection is lent, two trips are made, and what failed is tried again where that is safe.
//!
//! - What the server undid because others were in the way (a unique violation, a serialization failure, a deadlock) is loaded and
//!   decided again, and so is, once, what was undone because the connection or the server went away.
//! - Where the answer to a commit did not come, nobody knows whether it happened. It is never tried again and never reported as done.
//! - A connection goes back to the pool only when its transaction is over for certain; else it is closed.

use std::sync::Arc;
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{Object, Pool, PoolError, QueueMode};
use engine::{Event, Observer, Operation, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;

use super::connect::{Connector, Link};
use super::operations::{Breadth, Load, apply_all, seize};
use super::trip::{COMMIT, Failure, ROLLBACK, alone, command};
use super::wire::Error;
use crate::error::unavailable;
use crate::moment;

/// How many operations and reads may be under way or wait.
const WAITING: u32 = 4_096;

/// How long one waits for a connection: not so long as a request may take, and long enough for hundreds who ask about one flow at once
/// and are let at it one after the other.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long what is under way may take to end. Every statement does within ten seconds, but for a `COMMIT` that waits for a synchronous
/// replica: that knows no end.
const CLOSING: Duration = Duration::from_secs(15);

/// What all operations of a store have in common.
pub(super) struct Shared {
    pool: Pool<Connector>,
    observer: Arc<dyn Observer>,
    gate: Arc<Semaphore>,
}

impl Shared {
    pub(super) fn new(connector: Connector, connections: u16, observer: Arc<dyn Observer>) -> Result<Self, String> {
        let pool = Pool::builder(connector)
            .max_size(usize::from(connections))
            // The one that was used last knows most by heart, at both ends; those that are not needed stay out of the way.
            .queue_mode(QueueMode::Lifo)
            .wait_timeout(Some(PATIENCE))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| error.to_string())?;
        let gate = Arc::new(Semaphore::new(usize::try_from(WAITING).unwrap_or(usize::MAX)));
        Ok(Self { pool, observer, gate })
    }

    /// Lets in what is asked; it is under way until the permit is dropped.
    pub(super) fn enter(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        Arc::clone(&self.gate).try_acquire_owned().map_err(|refused| match refused {
            TryAcquireError::NoPermits => unavailable("too many operations wait for the database"),
            TryAcquireError::Closed => unavailable("the store is closed"),
        })
    }

    /// Lets nobody in any more and waits until nothing is under way, or only what waits for a replica that is gone.
    pub(super) async fn close(&self) {
        if timeout(CLOSING, self.gate.acquire_many(WAITING)).await.is_err() {
            tracing::warn!("operations were given up whose commits the database does not answer");
        }
        self.gate.close();
        self.pool.close();
    }

    /// Lends a connection.
    pub(super) async fn lend(&self) -> Result<Lent, StoreError> {
        match self.pool.get().await {
            Ok(object) => Ok(Lent { object: Some(object) }),
            Err(PoolError::Backend(error)) => Err(unavailable(format!("cannot connect to the database: {error}"))),
            Err(PoolError::Timeout(_)) => Err(unavailable("no connection to the database became free")),
            Err(error) => Err(unavailable(format!("no connection to the database: {error}"))),
        }
    }

    /// Closes the connections nobody uses: after one was lost the others are no better.
    fn forget_idle(&self) {
        drop(self.pool.retain(|_, _| false));
    }

    /// Runs an operation.
    pub(super) async fn operate<O: Load>(&self, name: &'static str, operation: &O) -> Result<O::Outcome, StoreError> {
        let asked = moment();
        let mut again = Again::default();
        let mut breadth = Breadth::Narrow;
        loop {
            let lent = self.lend().await?;
            match attempt(lent.link()?, operation, breadth).await {
                Attempt::Done(mut outcome) => {
                    O::committed(&mut outcome);
                    lent.give_back();
                    self.observer.observe(&Event::Stored { operation: name, took: moment() - asked });
                    return Ok(outcome);
                }
                Attempt::TooNarrow => {
                    lent.give_back();
                    breadth = Breadth::Wide;
                }
                Attempt::Undone(failure) => {
                    lent.give_back();
                    self.try_again(failure, &mut again)?;
                }
                Attempt::Lost(failure) => {
                    drop(lent);
                    self.try_again(failure, &mut again)?;
                }
                Attempt::Unknown(error) => {
                    drop(lent);
                    return Err(unavailable(format!("whether it was committed is not known: {error}")));
                }
            }
        }
    }

    /// Whether what failed and left nothing may be tried once more; else what to say.
    pub(super) fn try_again(&self, failure: Failure, again: &mut Again) -> Result<(), StoreError> {
        let error = match failure {
            Failure::Moved if again.moves < MOVES => {
                again.moves += 1;
                return Ok(());
            }
            Failure::Driver(error) => error,
            Failure::Moved | Failure::Stored(_) => return Err(failure.said()),
        };
        let obstacle = obstacle(&error);
        let (tries, most) = match obstacle {
            Obstacle::Others => (&mut again.races, RACES),
            Obstacle::Connection => {
                self.forget_idle();
                (&mut again.losses, LOSSES)
            }
            Obstacle::Circumstances | Obstacle::Statement => return Err(driver(&error)),
        };
        *tries += 1;
        if *tries <= most { Ok(()) } else { Err(driver(&error)) }
    }

    /// Whoever is told what is worth knowing.
    pub(super) fn observer(&self) -> &dyn Observer {
        self.observer.as_ref()
    }

    /// Tells the observer that a statement that was asked for at `asked` is durable.
    pub(super) fn stored(&self, operation: &'static str, asked: std::time::Instant) {
        self.observer.observe(&Event::Stored { operation, took: moment() - asked });
    }
}

/// How often an address may have come to somebody else while it was being looked for.
const MOVES: u32 = 3;

/// How often others may be in the way. Once suffices where two sign up at once; a flow may also be dropped and begun anew meanwhile, and
/// more than once: see `docs/decisions/0026`.
const RACES: u32 = 3;

/// How often the connection may go away.
const LOSSES: u32 = 1;

/// What was tried before.
#[derive(Default)]
pub(super) struct Again {
    moves: u32,
    races: u32,
    losses: u32,
}

/// A connection out of the pool. Unless it is given back it is closed, and whatever it had begun is undone by the server.
pub(super) struct Lent {
    object: Option<Object<Connector>>,
}

impl Lent {
    pub(super) fn link(&self) -> Result<&Link, StoreError> {
        self.object.as_deref().ok_or_else(|| unavailable("the connection is gone"))
    }

    /// Its transaction is over.
    pub(super) fn give_back(mut self) {
        drop(self.object.take());
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            drop(Object::take(object));
        }
    }
}

/// What came of one try.
enum Attempt<T> {
    /// It is durable, or changed nothing.
    Done(T),
    /// It would drop flows or tickets that somebody has, and that it has not locked in their turn. It has done nothing.
    TooNarrow,
    /// It failed and left nothing, and its transaction is over.
    Undone(Failure),
    /// The same, but the connection is not to be used any more.
    Lost(Failure),
    /// It may be durable.
    Unknown(Error),
}

/// Load, decide, apply.
async fn attempt<O: Load>(link: &Link, operation: &O, breadth: Breadth) -> Attempt<O::Outcome> {
    let loaded = match operation.load(link, breadth).await {
        Ok(loaded) => loaded,
        Err(failure) => return undone(link, failure).await,
    };
    let decision = Operation::decide(operation, loaded.seen);
    if decision.writes.is_empty() {
        return match alone(link, command(link, ROLLBACK)).await {
            Ok(_) => Attempt::Done(decision.outcome),
            Err(error) => Attempt::Lost(Failure::Driver(error)),
        };
    }
    let unlocked = loaded.present.unlocked(&decision.writes);
    let seized = unlocked.into_iter().flat_map(|identity| seize(link, identity)).count();
    apply_all(link, &decision.writes, &loaded.present);
    let commit = command(link, COMMIT);
    let Err(failed) = link.exchange().await else { return Attempt::Done(decision.outcome) };
    match failed.error {
        // Nothing was sent.
        Error::Unfit(_) => undone(link, Failure::Driver(failed.error)).await,
        // Somebody has what is removed. He may wait for what is locked here, so it is not waited for.
        Error::Said { code, .. }
            if failed.place < seized && code == SqlState::LOCK_NOT_AVAILABLE && failed.is_usable =>
        {
            match alone(link, command(link, ROLLBACK)).await {
                Ok(_) => Attempt::TooNarrow,
                Err(error) => Attempt::Lost(Failure::Driver(error)),
            }
        }
        // The server itself says that a statement failed; the commit behind it was not run.
        Error::Said { .. } if failed.place < commit.place() && failed.is_usable => {
            undone(link, Failure::Driver(failed.error)).await
        }
        Error::Said { .. } if failed.place < commit.place() => Attempt::Lost(Failure::Driver(failed.error)),
        Error::Said { .. } | Error::Lost(_) => Attempt::Unknown(failed.error),
    }
}

/// Ends the transaction of a load that failed.
async fn undone<T>(link: &Link, failure: Failure) -> Attempt<T> {
    match alone(link, command(link, ROLLBACK)).await {
        Ok(_) => Attempt::Undone(failure),
        Err(_) => Attempt::Lost(failure),
    }
}

/// What stood in the way of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Obstacle {
    /// Others, who have gone by now.
    Others,
    /// The connection or the server went away.
    Connection,
    /// Want of time, room or rights to write that may be better in a moment.
    Circumstances,
    /// The statement itself.
    Statement,
}

fn obstacle(error: &Error) -> Obstacle {
    let state = match error {
        Error::Said { code, .. } => code,
        Error::Lost(_) => return Obstacle::Connection,
        Error::Unfit(_) => return Obstacle::Statement,
    };
    let others = [SqlState::UNIQUE_VIOLATION, SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];
    let circumstances = [SqlState::LOCK_NOT_AVAILABLE, SqlState::QUERY_CANCELED, SqlState::READ_ONLY_SQL_TRANSACTION];
    let code = state.code();
    if others.contains(state) {
        Obstacle::Others
    } else if code.starts_with("57P") || code.starts_with("08") || code == "25P03" {
        Obstacle::Connection
    } else if circumstances.contains(state) || code.starts_with("53") || code.starts_with("58") {
        Obstacle::Circumstances
    } else {
        Obstacle::Statement
    }
}

/// The driver's error as the port says it: what may be better in a moment is `Unavailable`, the rest `Driver`.
pub(super) fn driver(error: &Error) -> StoreError {
    match obstacle(error) {
        Obstacle::Others | Obstacle::Connection | Obstacle::Circumstances => unavailable(error.to_string()),
        Obstacle::Statement => StoreError::Driver(error.to_string().into()),
    }
}
