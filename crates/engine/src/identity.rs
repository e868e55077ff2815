//! Identities and the addresses they own.

use crate::address::Address;
use crate::env::Timestamp;
use crate::id::{AddressId, IdentityId};
use crate::project::ProjectId;

/// Whether an identity may sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdentityState {
    /// It may.
    Active,
    /// An operator said it may not.
    Inactive,
}

impl IdentityState {
    /// The name, as stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
        }
    }

    /// The state called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Active, Self::Inactive].into_iter().find(|it| it.name() == name)
    }
}

/// One account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its id.
    pub id: IdentityId,
    /// Whose tenant's it is.
    pub project: ProjectId,
    /// Whether it may sign in.
    pub state: IdentityState,
    /// What is known about it: a JSON object, as text.
    pub traits: String,
    /// What surfaces keep about it, each under its own name: a JSON object, as text.
    pub metadata: String,
    /// Grows by one with each change.
    pub revision: i64,
    /// When it came to be.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// An address owned by an identity. At most one identity of a project owns an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiableAddress {
    /// Its id.
    pub id: AddressId,
    /// The owner.
    pub identity: IdentityId,
    /// The address.
    pub address: Address,
    /// When its owner first proved to read it, if ever.
    pub verified_at: Option<Timestamp>,
    /// When a code was last sent to have it proved; none again once it is.
    pub asked_at: Option<Timestamp>,
    /// When it was given to the identity.
    pub created_at: Timestamp,
}

/// An identity together with the address it was found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The identity.
    pub identity: Identity,
    /// The address.
    pub address: VerifiableAddress,
}

/// An identity with all its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The identity.
    pub identity: Identity,
    /// Its addresses, the oldest first.
    pub addresses: Vec<VerifiableAddress>,
}

impl Account {
    /// Whether the identity has proved any address.
    pub fn is_proven(&self) -> bool {
        self.addresses.iter().any(|address| address.verified_at.is_some())
    }

    /// The identity's own entry for `address`.
    pub fn find(&self, address: &Address) -> Option<&VerifiableAddress> {
        self.addresses.iter().find(|own| own.address == *address)
    }
}
