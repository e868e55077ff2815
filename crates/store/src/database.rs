//! Either database: where one is, opened by what its location says.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{Observer, Store};

use crate::error::OpenError;
use crate::postgres::{self, PostgresStore};
use crate::sqlite::{self, SqliteStore};

/// How many connections a node has to a PostgreSQL database at most, unless told otherwise: more take each other's time where the
/// database is near and has few cores, as `docs/scaling.md` shows.
pub const CONNECTIONS: u16 = 8;

/// Where a database is.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// An SQLite file.
    File(PathBuf),
    /// A PostgreSQL database.
    Url {
        /// Its URL, which may hold a password.
        url: String,
        /// How many connections a node may have to it.
        connections: u16,
    },
}

impl Location {
    /// Reads a `postgres://` URL, to which there may be [`CONNECTIONS`], or else the path of a file.
    pub fn parse(text: &str) -> Self {
        let is_url = text.starts_with("postgres://") || text.starts_with("postgresql://");
        if is_url { Self::Url { url: text.to_owned(), connections: CONNECTIONS } } else { Self::File(text.into()) }
    }

    /// What the database there is called in metrics.
    pub const fn backend(&self) -> &'static str {
        match self {
            Self::File(_) => "sqlite",
            Self::Url { .. } => "postgres",
        }
    }

    /// The file, where it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Url { .. } => None,
        }
    }
}

impl std::fmt::Debug for Location {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.fmt(formatter),
            Self::Url { .. } => formatter.write_str("postgres://…"),
        }
    }
}

/// An opened database.
#[derive(Debug, Clone)]
pub enum Database {
    /// On SQLite.
    Sqlite(Arc<SqliteStore>),
    /// On PostgreSQL.
    Postgres(Arc<PostgresStore>),
}

/// Opens the database at `location`; makes it where there is none, and brings its schema up to date.
///
/// # Refusals
///
/// See [`OpenError`].
pub async fn open(location: &Location, observer: Arc<dyn Observer>) -> Result<Database, OpenError> {
    match location {
        Location::File(path) => {
            let path = path.clone();
            let opening = tokio::task::spawn_blocking(move || sqlite::open(&path, observer));
            let opened = opening.await.map_err(|error| OpenError::Thread { cause: std::io::Error::other(error) })?;
            Ok(Database::Sqlite(opened?))
        }
        // Boxed: what a driver needs to connect is large, and would be so in whoever waits for this.
        Location::Url { url, connections } => {
            Ok(Database::Postgres(Box::pin(postgres::open(url, *connections, observer)).await?))
        }
    }
}

/// Brings the schema of the database at `location` up to date, and says how many migrations that took. A file is made where there is
/// none.
///
/// # Refusals
///
/// See [`OpenError`].
pub async fn migrate(location: &Location) -> Result<usize, OpenError> {
    match location {
        Location::File(path) => {
            let path = path.clone();
            let migrating = tokio::task::spawn_blocking(move || sqlite::migrate(&path));
            migrating.await.map_err(|error| OpenError::Thread { cause: std::io::Error::other(error) })?
        }
        Location::Url { url, .. } => Box::pin(postgres::migrate(url)).await,
    }
}

impl Database {
    /// What the engine needs of it.
    pub fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite(store) => Arc::clone(store) as Arc<dyn Store>,
            Self::Postgres(store) => Arc::clone(store) as Arc<dyn Store>,
        }
    }

    /// Takes no more operations and ends when those asked before are durable and answered.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }
}
