//! The store on PostgreSQL: a pool of connections, and each operation in two trips.
//!
//! An operation runs in a task of its own, so that a request that goes away cancels nothing. Its first trip begins a transaction and
//! loads what the operation must see, under lock; the engine decides; the second trip writes and commits. How that is retried, and
//! when not, is in [`run`]; what is sent is in [`operations`], with loaders and appliers in the files named after what they keep.
//!
//! **Locks** are always taken in this order: flows (by handle), tickets, budgets (by address), identities, addresses, devices, sessions,
//! outbox; rows of one table by their ids. The order never changes, because nodes of two versions run side by side.

mod borrowed;
mod budget;
mod connect;
mod device;
mod flow;
mod identity;
mod migrate;
mod node;
mod operations;
mod outbox;
mod port;
mod row;
mod run;
mod session;
mod ticket;
mod trip;
mod vault;
mod wire;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod upgrades;

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;

use engine::Observer;
use tokio::sync::Mutex;
use tokio::time::timeout;

pub use node::{NODE_LEASE, NodeNumber};

use crate::error::OpenError;
use connect::{ConnectError, Connector, Link, MAKING, Target};
use run::Shared;

/// All statements there are, by the module that declares them.
const STATEMENTS: &[&[&str]] = &[
    flow::STATEMENTS,
    budget::STATEMENTS,
    identity::STATEMENTS,
    session::STATEMENTS,
    outbox::STATEMENTS,
    vault::STATEMENTS,
    device::STATEMENTS,
    ticket::STATEMENTS,
];

/// A store in one PostgreSQL database, which others may share.
pub struct PostgresStore {
    shared: Arc<Shared>,
    /// Held by the one write that is tried to see whether others would go through: where it waits without end, no more may come to wait.
    trial: Arc<Mutex<()>>,
}

/// Opens the store in the PostgreSQL database at `url`, and brings its schema up to date. At most `connections` are made.
///
/// # Refusals
///
/// See [`OpenError`]; a database that is refused is left as it was.
pub(crate) async fn open(
    url: &str,
    connections: u16,
    observer: Arc<dyn Observer>,
) -> Result<Arc<PostgresStore>, OpenError> {
    let target = Target::parse(url)?;
    bring_up_to_date(&target).await?;
    // The first connection shows whether everything the schema should have is there.
    let link = in_time(&target, Link::make(&target)).await?;
    drop(link);
    let shared =
        Shared::new(Connector::new(target), connections, observer).map_err(|problem| OpenError::Url { problem })?;
    Ok(Arc::new(PostgresStore { shared: Arc::new(shared), trial: Arc::default() }))
}

/// Brings the schema of the database at `url` up to date, and says how many migrations that took.
///
/// # Refusals
///
/// As [`open`].
pub(crate) async fn migrate(url: &str) -> Result<usize, OpenError> {
    bring_up_to_date(&Target::parse(url)?).await
}

async fn bring_up_to_date(target: &Target) -> Result<usize, OpenError> {
    let mut client = in_time(target, target.connect()).await?;
    migrate::migrate(target, &mut client, migrate::MIGRATIONS).await
}

/// What comes of `making` a connection to `target`, which must not take longer than one of the pool's may.
async fn in_time<T, E: Into<ConnectError>>(
    target: &Target,
    making: impl Future<Output = Result<T, E>>,
) -> Result<T, OpenError> {
    let made = match timeout(MAKING, making).await {
        Ok(made) => made.map_err(E::into),
        Err(_) => Err(ConnectError::TooSlow),
    };
    made.map_err(|error| OpenError::Database { database: target.name().to_owned(), cause: error.to_string().into() })
}

impl PostgresStore {
    /// Takes no more operations, ends when those asked before are answered and the connections are closed. What is asked afterwards is
    /// `Unavailable`.
    pub async fn close(&self) {
        self.shared.close().await;
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

/// An error in one line. What the server says in detail is left out: it quotes values, and those are people's addresses.
fn told(error: &tokio_postgres::Error) -> String {
    if let Some(server) = error.as_db_error() {
        return format!("{} ({})", server.message(), server.code().code());
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
