//! The contract on SQLite.

use testkit::world::Backend;

/// What its tests are on.
const BACKEND: Backend = Backend::Sqlite;

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
#[path = "mailed.rs"]
mod mailed;
#[path = "missed.rs"]
mod missed;
#[path = "opened.rs"]
mod opened;
#[path = "owed.rs"]
mod owed;
#[path = "races.rs"]
mod races;
#[path = "secrets.rs"]
mod secrets;
#[path = "tickets.rs"]
mod tickets;
#[path = "uniform.rs"]
mod uniform;
#[path = "whole.rs"]
mod whole;
