//! The authorization server as applications and browsers see it.

#[cfg(test)]
mod authorize;
#[cfg(test)]
mod client;
#[cfg(test)]
mod code;
#[cfg(test)]
mod config;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod refresh;
#[cfg(test)]
mod revoke;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod sign_out;
#[cfg(test)]
mod support;
#[cfg(test)]
mod userinfo;
