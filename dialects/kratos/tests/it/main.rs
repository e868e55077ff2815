//! The Kratos surface, asked without a socket: what goes over the wire.

#[cfg(test)]
mod admin;
#[cfg(test)]
mod bodies;
#[cfg(test)]
mod codes;
#[cfg(test)]
mod crossing;
#[cfg(test)]
mod entering;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod forgery;
#[cfg(test)]
mod ground;
#[cfg(test)]
mod links;
#[cfg(test)]
mod login;
#[cfg(test)]
mod logout;
#[cfg(test)]
mod proofs;
#[cfg(test)]
mod registration;
#[cfg(test)]
mod replacement;
#[cfg(test)]
mod return_to;
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
#[cfg(test)]
mod verifying;
