//! The store under the engine it is for: the port's contract, on real databases and in memory. Each of the files that tell it is
//! compiled once for each.

#![cfg_attr(test, expect(clippy::duplicate_mod, reason = "the same tests on several databases"))]

// The name by which all other crates know it.
#[cfg(test)]
extern crate countersign_store as store;

#[cfg(test)]
mod failover;
#[cfg(test)]
mod image;
#[cfg(test)]
mod nodes;
#[cfg(test)]
mod on_memory;
#[cfg(test)]
mod on_postgres;
#[cfg(test)]
mod on_sqlite;
#[cfg(test)]
mod side_by_side;
#[cfg(test)]
mod support;
#[cfg(test)]
mod trips;
