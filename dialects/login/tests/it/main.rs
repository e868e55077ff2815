//! The login surface, asked without a socket: what goes over the wire, to the byte.

#[cfg(test)]
mod config;
#[cfg(test)]
mod email_code;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod start;
#[cfg(test)]
mod support;
