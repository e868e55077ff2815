//! What tests are made of: a clock that stands still, randomness that repeats, an engine on a real database that goes away, a store in
//! memory, a real PostgreSQL, a real SMTP server. For `dev-dependencies` only.

pub mod attack;
pub mod cluster;
pub mod counted;
pub mod env;
pub mod folder;
pub mod mailbox;
pub mod memory;
pub mod scripted;
pub mod server;
pub mod wire;
pub mod world;
