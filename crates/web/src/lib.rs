//! What surfaces share of HTTP: how one is mounted ([`dialect`]), how what strangers send is read ([`body`]), how answers
//! are written ([`respond`]), who is asking ([`client`]), and what browsers keep ([`cookie`], [`csrf`]).
//!
//! It knows no surface. It decides nothing about codes, accounts or limits: that is the engine's. Sockets, layers and
//! the order they run in are the server's.

pub mod body;
pub mod client;
pub mod cookie;
pub mod csrf;
pub mod dialect;
pub mod hand_over;
pub mod page;
pub mod respond;

pub use body::{Accepts, BodyError, Position, Received, Text};
pub use client::{Client, Peer, RequestOrigin, TrustedProxies};
pub use dialect::{Administration, App, ConfigError, ConfigFile, Dialect, Failure, Surface};
