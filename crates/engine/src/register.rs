//! Adding an identity by an operator's hand.

use crate::identity::{Account, Identity, Owner, VerifiableAddress};
use crate::store::{Decision, Operation, Write};

/// Adds an identity and the addresses it owns.
#[derive(Debug)]
pub struct Register {
    /// The identity.
    pub identity: Identity,
    /// Its addresses, each once, proved as far as the operator says so.
    pub addresses: Vec<VerifiableAddress>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registered {
    /// The identity is there now.
    Added(Account),
    /// One of the addresses has an owner already, who stays it.
    Taken(Owner),
}

impl Operation for Register {
    /// The owners of the addresses.
    type Seen = Vec<Owner>;
    type Outcome = Registered;

    fn decide(&self, seen: Self::Seen) -> Decision<Self::Outcome> {
        if let Some(owner) = seen.into_iter().next() {
            return Decision { outcome: Registered::Taken(owner), writes: Vec::new() };
        }
        let mut writes = vec![Write::AddIdentity(self.identity.clone())];
        for address in &self.addresses {
            writes.push(Write::AddAddress { project: self.identity.project.clone(), address: address.clone() });
        }
        let account = Account { identity: self.identity.clone(), addresses: self.addresses.clone() };
        Decision { outcome: Registered::Added(account), writes }
    }
}
