//! The rules, without a store that lasts: every `decide` against tables of cases, and invariants under random sequences.

// The name by which all other crates know it.
#[cfg(test)]
extern crate countersign_engine as engine;

#[cfg(test)]
mod budget;
#[cfg(test)]
mod device;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod mailbox;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod notice;
#[cfg(test)]
mod opening;
#[cfg(test)]
mod outbox;
#[cfg(test)]
mod proof;
#[cfg(test)]
mod sequence;
#[cfg(test)]
mod session;
#[cfg(test)]
mod start;
#[cfg(test)]
mod strangers;
#[cfg(test)]
mod support;
#[cfg(test)]
mod ticket;
#[cfg(test)]
mod uniform;
#[cfg(test)]
mod verify;
