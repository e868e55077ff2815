//! The Descope surface, asked without a socket: what goes over the wire.

#[cfg(test)]
mod codes;
#[cfg(test)]
mod devices;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod proof;
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
mod start;
#[cfg(test)]
mod strangers;
#[cfg(test)]
mod support;
#[cfg(test)]
mod update;
