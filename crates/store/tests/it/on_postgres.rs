//! The contract on PostgreSQL.

use testkit::world::Backend;

/// What its tests are on.
const BACKEND: Backend = Backend::Postgres;

#[path = "contract.rs"]
mod contract;
#[path = "kept.rs"]
mod kept;
#[path = "machine.rs"]
mod machine;
#[path = "owed.rs"]
mod owed;
#[path = "races.rs"]
mod races;
#[path = "secrets.rs"]
mod secrets;
