//! The numbers of nodes: each node that runs on a database has one of its own, which is part of the ids that it makes.
//!
//! A number is lent. Its holder says again and again that it is still there; one that has been silent for [`NODE_LEASE`] has lost its
//! number to whoever asks next, and must stop. The lease is long: clocks may differ by minutes without harm.

use std::time::Duration;

use engine::{Event, Observer, StoreError, Timestamp};

use super::PostgresStore;
use super::run::{Lent, driver};
use super::trip::{COMMIT, Trip, alone, command};
use super::vault;
use crate::error::unavailable;

/// After so much silence a node's number may be another's.
pub const NODE_LEASE: Duration = Duration::from_mins(10);

/// How many numbers there are: ids have ten bits for them.
const NUMBERS: i64 = 1_024;

/// A difference of clocks that an operator is told about.
const SKEW: Duration = Duration::from_secs(1);

/// A node's number and what proves that it is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeNumber {
    number: i64,
    holder: [u8; 16],
}

impl NodeNumber {
    /// The number.
    pub fn get(&self) -> u16 {
        u16::try_from(self.number).unwrap_or_default()
    }
}

impl PostgresStore {
    /// Takes the lowest number that no living node has. `holder` is random and this node's alone.
    ///
    /// # Refusals
    /// `Unavailable`, also where all 1,024 numbers are taken.
    pub async fn take_number(&self, now: Timestamp, holder: [u8; 16]) -> Result<NodeNumber, StoreError> {
        let lent = self.shared.lend().await?;
        let taken = take(&lent, now, holder, self.shared.observer()).await;
        match &taken {
            Ok(_) => lent.give_back(),
            // Undone with its connection.
            Err(_) => drop(lent),
        }
        taken
    }

    /// Says that the node is still there, and learns how many nodes there are; `None` where its number has become another's
    /// meanwhile, so that it must make no more ids.
    ///
    /// # Refusals
    /// `Unavailable`: the number is still the node's, unless that lasts for [`NODE_LEASE`].
    pub async fn keep_number(&self, number: &NodeNumber, now: Timestamp) -> Result<Option<u32>, StoreError> {
        let lent = self.shared.lend().await?;
        let link = lent.link()?;
        let kept = alone(link, vault::renew_node(link, number.number, &number.holder, now))
            .await
            .map_err(|error| driver(&error))?;
        let nodes = alone(link, vault::nodes(link)).await.map_err(|error| driver(&error))?;
        let clock = alone(link, vault::clock(link)).await.map_err(|error| driver(&error))?;
        lent.give_back();
        compare(now, vault::read_one(&clock, "pg_catalog", "clock")?, self.shared.observer());
        let living = living(&vault::read_nodes(&nodes)?, now).count();
        Ok((!kept.is_empty()).then(|| u32::try_from(living).unwrap_or(u32::MAX)))
    }

    /// Gives the number back: the node makes no more ids.
    ///
    /// # Refusals
    /// `Unavailable`: it is free after [`NODE_LEASE`].
    pub async fn return_number(&self, number: &NodeNumber) -> Result<(), StoreError> {
        let lent = self.shared.lend().await?;
        let link = lent.link()?;
        let returned = alone(link, vault::return_node(link, number.number, &number.holder)).await;
        returned.map_err(|error| driver(&error))?;
        lent.give_back();
        Ok(())
    }
}

async fn take(
    lent: &Lent,
    now: Timestamp,
    holder: [u8; 16],
    observer: &dyn Observer,
) -> Result<NodeNumber, StoreError> {
    let link = lent.link()?;
    let mut trip = Trip::begin(link);
    trip.add(vault::lock_nodes(link));
    let nodes = trip.add(vault::nodes(link));
    let clock = trip.add(vault::clock(link));
    let mut answers = trip.run().await.map_err(|error| driver(&error))?;
    let living: Vec<i64> = living(&vault::read_nodes(&answers.take(nodes))?, now).collect();
    let number = (0..NUMBERS).find(|number| !living.contains(number));
    let number =
        number.ok_or_else(|| unavailable("1,024 nodes run on this database, and there are no more numbers"))?;
    alone(link, vault::take_node(link, number, &holder, now)).await.map_err(|error| driver(&error))?;
    alone(link, command(link, COMMIT)).await.map_err(|error| driver(&error))?;
    compare(now, vault::read_one(&answers.take(clock), "pg_catalog", "clock")?, observer);
    Ok(NodeNumber { number, holder })
}

/// The numbers of the nodes that were heard of not long ago.
fn living(nodes: &[(i64, Timestamp)], now: Timestamp) -> impl Iterator<Item = i64> {
    nodes.iter().filter(move |(_, renewed_at)| now < renewed_at.plus(NODE_LEASE)).map(|(number, _)| *number)
}

/// Tells the operator how far clocks are apart, given the database's in milliseconds. Nothing is decided by that.
fn compare(ours: Timestamp, theirs: i64, observer: &dyn Observer) {
    let ahead_ms = ours.millis().saturating_sub(theirs);
    observer.observe(&Event::ClocksCompared { ahead_ms });
    if u128::from(ahead_ms.unsigned_abs()) > SKEW.as_millis() {
        tracing::warn!(ahead_ms, "the clocks of this node and of the database differ");
    }
}
