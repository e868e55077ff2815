//! The store under the engine it is for: the port's contract, on a real database.

// The name by which all other crates know it.
#[cfg(test)]
extern crate countersign_store as store;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod devices;
#[cfg(test)]
mod identities;
#[cfg(test)]
mod kept;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod links;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod opened;
#[cfg(test)]
mod owed;
#[cfg(test)]
mod races;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tickets;
