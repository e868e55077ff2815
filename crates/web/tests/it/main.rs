//! The toolkit, from outside: what surfaces see of it.

// Other crates know it by this name, too.
extern crate countersign_web as web;

#[cfg(test)]
mod body;
#[cfg(test)]
mod client;
#[cfg(test)]
mod dialect;
#[cfg(test)]
mod multipart;
#[cfg(test)]
mod respond;
