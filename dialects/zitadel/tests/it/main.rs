//! The ZITADEL surface, asked without a socket: what goes over the wire.

#[cfg(test)]
mod codes;
#[cfg(test)]
mod email;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod known;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod seed;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod user;
