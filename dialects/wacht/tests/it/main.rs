//! The Wacht surface, asked without a socket: what goes over the wire.

#[cfg(test)]
mod attempt;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod page;
#[cfg(test)]
mod proofs;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod seed;
#[cfg(test)]
mod session;
#[cfg(test)]
mod strangers;
#[cfg(test)]
mod support;
