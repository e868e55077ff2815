//! The contract in memory. What is left out:
//!
//! - `secrets`: it looks for secrets in the bytes that a database leaves on a disk, and this one leaves none.
//!
//! Where a test comes up again "after a restart" it finds the maps of before under a new engine.

use testkit::world::Backend;

/// What its tests are on.
const BACKEND: Backend = Backend::Memory;

#[path = "contract.rs"]
mod contract;
#[path = "devices.rs"]
mod devices;
#[path = "handed.rs"]
mod handed;
#[path = "identities.rs"]
mod identities;
#[path = "kept.rs"]
mod kept;
#[path = "limits.rs"]
mod limits;
#[path = "links.rs"]
mod links;
#[path = "machine.rs"]
mod machine;
#[path = "opened.rs"]
mod opened;
#[path = "owed.rs"]
mod owed;
#[path = "races.rs"]
mod races;
#[path = "tickets.rs"]
mod tickets;
#[path = "whole.rs"]
mod whole;
