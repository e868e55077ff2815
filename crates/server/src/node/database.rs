//! A node's database, and the number that it has among those that share it.

use std::sync::Arc;
use std::time::Duration;

use engine::{Clock as _, Engine, Entropy as _, Observer, SystemClock, SystemEntropy};
use store::{Database, NODE_LEASE, NodeNumber, PostgresStore};
use tokio::time::{MissedTickBehavior, interval};

use super::NodeError;
use crate::config::Config;

/// The database, and the node's number, where several may share it.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) number: Option<NodeNumber>,
}

impl Opened {
    /// Opens the database of `config`.
    pub(super) async fn open(config: &Config, observer: Arc<dyn Observer>) -> Result<Self, NodeError> {
        let opened = store::open(&config.database, observer).await;
        let database = opened.map_err(|error| NodeError::new("cannot open the database", error))?;
        let number = match &database {
            Database::Sqlite(_) => None,
            Database::Postgres(store) => {
                let mut holder = [0; 16];
                SystemEntropy.fill(&mut holder);
                let taken = store.take_number(SystemClock.now(), holder).await;
                Some(taken.map_err(|error| NodeError::new("cannot take a number among the nodes", error))?)
            }
        };
        Ok(Self { database, number })
    }

    /// The store and the number, where there is one.
    pub(super) fn numbered(&self) -> Option<(Arc<PostgresStore>, NodeNumber)> {
        match (&self.database, &self.number) {
            (Database::Postgres(store), Some(number)) => Some((Arc::clone(store), number.clone())),
            (Database::Postgres(_) | Database::Sqlite(_), _) => None,
        }
    }

    /// Gives the number back and closes the database.
    pub(super) async fn close(&self) {
        if let Some((store, number)) = self.numbered()
            && let Err(error) = store.return_number(&number).await
        {
            tracing::warn!(%error, "the node's number could not be given back; it is free again after a while");
        }
        self.database.close().await;
    }
}

/// How often a node says that its number is still its own.
const KEEP: Duration = Duration::from_mins(1);

/// Keeps the node's number, and the node's share of what all nodes together may send; ends when that has become another's, or may have: what is made under it then would not be unique.
pub(super) async fn keep_number(store: Arc<PostgresStore>, number: NodeNumber, engine: Arc<Engine>) {
    let mut tick = interval(KEEP);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut kept_at = engine.now();
    loop {
        tick.tick().await;
        match store.keep_number(&number, engine.now()).await {
            Ok(Some(nodes)) => {
                engine.share_caps(nodes);
                kept_at = engine.now();
            }
            Ok(None) => {
                tracing::error!(number = number.get(), "the node's number is another's: stopping");
                return;
            }
            Err(error) if engine.now().plus(2 * KEEP) < kept_at.plus(NODE_LEASE) => {
                tracing::warn!(%error, "the node's number could not be kept and will be tried again");
            }
            Err(error) => {
                tracing::error!(%error, "the node's number could not be kept for too long: stopping");
                return;
            }
        }
    }
}
