//! Changing and erasing an identity by an operator's hand.

use crate::address::Address;
use crate::env::Timestamp;
use crate::error::Refusal;
use crate::id::{AddressId, IdentityId};
use crate::identity::{Account, IdentityState, Owner, VerifiableAddress};
use crate::project::ProjectId;
use crate::store::{Decision, Operation, Write};

/// An address an identity shall have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedAddress {
    /// The address.
    pub address: Address,
    /// Whether it counts as proved; none leaves it as it is, and unproved where it is new.
    pub verified: Option<bool>,
}

/// What changes about an identity. What is none stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdentityChange {
    /// The revision that the change was made from: if that is not the present one, nothing changes.
    pub revision: Option<i64>,
    /// What is known about it: a JSON object, as text.
    pub traits: Option<String>,
    /// What surfaces keep about it: a JSON object, as text.
    pub metadata: Option<String>,
    /// Whether it may sign in.
    pub state: Option<IdentityState>,
    /// All addresses it shall have; one that is named twice counts as it is named first.
    pub addresses: Option<Vec<WantedAddress>>,
}

/// Changes an identity.
#[derive(Debug)]
pub struct ChangeIdentity {
    /// When.
    pub now: Timestamp,
    /// Whose tenant's it must be.
    pub project: ProjectId,
    /// Which.
    pub id: IdentityId,
    /// What changes.
    pub change: IdentityChange,
    /// Ids for addresses that are new to it: one for each that it shall have.
    pub address_ids: Vec<AddressId>,
}

/// What a [`ChangeIdentity`] must see.
#[derive(Debug)]
pub struct ChangeSeen {
    /// The identity.
    pub account: Option<Account>,
    /// The owners of the addresses it shall have.
    pub owners: Vec<Owner>,
}

impl Operation for ChangeIdentity {
    type Seen = ChangeSeen;
    type Outcome = Result<Account, Refusal>;

    fn decide(&self, seen: ChangeSeen) -> Decision<Self::Outcome> {
        let refused = |refusal| Decision { outcome: Err(refusal), writes: Vec::new() };
        let Some(mut account) = seen.account.filter(|account| account.identity.project == self.project) else {
            return refused(Refusal::IdentityNotFound);
        };
        let identity = &mut account.identity;
        if self.change.revision.is_some_and(|revision| revision != identity.revision) {
            return refused(Refusal::IdentityChanged);
        }
        if seen.owners.iter().any(|owner| owner.identity.id != self.id) {
            return refused(Refusal::AddressTaken);
        }
        let mut writes = Vec::new();
        if let Some(traits) = &self.change.traits {
            identity.traits.clone_from(traits);
            writes.push(Write::PutTraits { id: self.id, traits: traits.clone() });
        }
        if let Some(metadata) = &self.change.metadata {
            identity.metadata.clone_from(metadata);
            writes.push(Write::PutMetadata { id: self.id, metadata: metadata.clone() });
        }
        if let Some(state) = self.change.state.filter(|state| *state != identity.state) {
            identity.state = state;
            writes.push(Write::PutState { id: self.id, state });
            if state == IdentityState::Inactive {
                writes.push(Write::EndSessions { identity: self.id, at: self.now });
                writes.push(Write::DropTickets(self.id));
            }
        }
        identity.revision += 1;
        identity.updated_at = self.now;
        writes.push(Write::BumpIdentity { id: self.id, revision: identity.revision, at: self.now });
        if let Some(wanted) = &self.change.addresses {
            account.addresses = self.readdress(account.addresses, wanted, &mut writes);
        }
        Decision { outcome: Ok(account), writes }
    }
}

impl ChangeIdentity {
    /// The addresses `wanted`: those that are there stay the rows they are.
    fn readdress(
        &self,
        present: Vec<VerifiableAddress>,
        wanted: &[WantedAddress],
        writes: &mut Vec<Write>,
    ) -> Vec<VerifiableAddress> {
        let mut kept = Vec::with_capacity(wanted.len());
        for own in present {
            if let Some(wanted) = wanted.iter().find(|wanted| wanted.address == own.address) {
                kept.push(self.judge(own, wanted.verified, writes));
            } else {
                writes.push(Write::DropAddress(own.id));
                // What was asked for before does not bring back what an operator took away.
                writes.push(Write::DropChanges { identity: self.id, address: own.address });
            }
        }
        for (wanted, id) in wanted.iter().zip(&self.address_ids) {
            if kept.iter().any(|own| own.address == wanted.address) {
                continue;
            }
            let address = VerifiableAddress {
                id: *id,
                identity: self.id,
                address: wanted.address.clone(),
                verified_at: wanted.verified.unwrap_or(false).then_some(self.now),
                asked_at: None,
                created_at: self.now,
            };
            writes.push(Write::AddAddress { project: self.project.clone(), address: address.clone() });
            kept.push(address);
        }
        kept.sort_by_key(|own| own.id);
        kept
    }

    /// `own` as the operator says it is.
    fn judge(&self, mut own: VerifiableAddress, verified: Option<bool>, writes: &mut Vec<Write>) -> VerifiableAddress {
        match verified {
            Some(true) if own.verified_at.is_none() => {
                own.verified_at = Some(self.now);
                own.asked_at = None;
                writes.push(Write::ProveAddress { id: own.id, at: self.now });
            }
            Some(false) if own.verified_at.is_some() => {
                own.verified_at = None;
                writes.push(Write::DoubtAddress(own.id));
            }
            Some(_) | None => {}
        }
        own
    }
}

/// Erases an identity: its addresses, flows and tickets go with it. Of its sessions stays, until the sweep, that they were there.
#[derive(Debug)]
pub struct EraseIdentity {
    /// When.
    pub now: Timestamp,
    /// Whose tenant's it must be.
    pub project: ProjectId,
    /// Which.
    pub id: IdentityId,
}

impl Operation for EraseIdentity {
    type Seen = Option<Account>;
    type Outcome = Result<(), Refusal>;

    fn decide(&self, seen: Option<Account>) -> Decision<Self::Outcome> {
        let Some(account) = seen.filter(|account| account.identity.project == self.project) else {
            return Decision { outcome: Err(Refusal::IdentityNotFound), writes: Vec::new() };
        };
        let mut writes = vec![
            Write::DropFlows { identity: self.id, except: None },
            Write::EndSessions { identity: self.id, at: self.now },
            Write::ForgetSessions(self.id),
            Write::DropTickets(self.id),
        ];
        writes.extend(account.addresses.iter().map(|address| Write::DropAddress(address.id)));
        writes.push(Write::DropIdentity(self.id));
        Decision { outcome: Ok(()), writes }
    }
}
