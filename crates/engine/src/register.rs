//! Adding an identity by an operator's hand.

use crate::identity::{Identity, Owner, VerifiableAddress};
use crate::store::{Decision, Operation, Write};

/// Adds an identity that owns an address it has yet to prove.
#[derive(Debug)]
pub struct Register {
    /// The identity.
    pub identity: Identity,
    /// Its address.
    pub address: VerifiableAddress,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registered {
    /// The identity is there now.
    Added(Owner),
    /// The address has an owner already, who stays it.
    Taken(Owner),
}

impl Operation for Register {
    /// The owner of the address.
    type Seen = Option<Owner>;
    type Outcome = Registered;

    fn decide(&self, seen: Self::Seen) -> Decision<Self::Outcome> {
        if let Some(owner) = seen {
            return Decision { outcome: Registered::Taken(owner), writes: Vec::new() };
        }
        let project = self.identity.project.clone();
        let writes = vec![
            Write::AddIdentity(self.identity.clone()),
            Write::AddAddress { project, address: self.address.clone() },
        ];
        let owner = Owner { identity: self.identity.clone(), address: self.address.clone() };
        Decision { outcome: Registered::Added(owner), writes }
    }
}
