//! Through the login surface: whole sign-ins, what strangers may try, what mail servers do, and what a crash leaves.

mod bad_input;
#[cfg(feature = "descope")]
mod budget;
mod crash;
#[cfg(feature = "descope")]
mod crossing;
mod journey;
mod logs;
mod mail;
mod races;
mod secrets;
mod serve;
mod sign_in;
mod speed;
mod sql;
mod timing;
