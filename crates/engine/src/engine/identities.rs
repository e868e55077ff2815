//! Identities and their addresses.

use super::{Context, Engine};
use crate::address::Address;
use crate::change::{ChangeIdentity, EraseIdentity, IdentityChange, WantedAddress};
use crate::env::Timestamp;
use crate::error::{Refusal, Result};
use crate::id::{AddressId, IdentityId};
use crate::identity::{Account, Identity, IdentityState, Owner, VerifiableAddress};
use crate::project::ProjectId;
use crate::register::{Register, Registered};

/// An identity that an operator asks for.
#[derive(Debug, Clone)]
pub struct NewIdentity {
    /// What is known about it: a JSON object, as text.
    pub traits: String,
    /// What surfaces keep about it: a JSON object, as text.
    pub metadata: String,
    /// Whether it may sign in.
    pub state: IdentityState,
    /// Its addresses; one that is named twice counts as it is named first.
    pub addresses: Vec<WantedAddress>,
}

impl Engine {
    /// Adds an identity with an address it has yet to prove. Where the address has an owner already, that one is the answer.
    pub async fn register(&self, project: &ProjectId, address: Address) -> Result<Registered> {
        let new = NewIdentity {
            traits: "{}".to_owned(),
            metadata: "{}".to_owned(),
            state: IdentityState::Active,
            addresses: vec![WantedAddress { address, verified: None }],
        };
        Ok(self.store.register(self.registration(project, self.now(), new)).await?)
    }

    /// Adds an identity and its addresses: one operation of the store.
    ///
    /// # Refusals
    /// `AddressTaken`.
    pub async fn create_identity(&self, context: &Context<'_>, new: NewIdentity) -> Result<Account> {
        match self.store.register(self.registration(&context.project.id, context.now, new)).await? {
            Registered::Added(account) => Ok(account),
            Registered::Taken(_) => Err(Refusal::AddressTaken.into()),
        }
    }

    fn registration(&self, project: &ProjectId, now: Timestamp, new: NewIdentity) -> Register {
        let identity = Identity {
            id: IdentityId::new(self.env.ids.next(now)),
            project: project.clone(),
            state: new.state,
            traits: new.traits,
            metadata: new.metadata,
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        let mut addresses: Vec<VerifiableAddress> = Vec::with_capacity(new.addresses.len());
        for wanted in new.addresses {
            if addresses.iter().any(|own| own.address == wanted.address) {
                continue;
            }
            addresses.push(VerifiableAddress {
                id: AddressId::new(self.env.ids.next(now)),
                identity: identity.id,
                address: wanted.address,
                verified_at: wanted.verified.unwrap_or(false).then_some(now),
                asked_at: None,
                created_at: now,
            });
        }
        Register { identity, addresses }
    }

    /// Changes an identity: one operation of the store. Who may no longer sign in is signed out. Whatever is pending at an address
    /// that is taken away does not give it back.
    ///
    /// # Refusals
    /// `IdentityNotFound`, `IdentityChanged`, `AddressTaken`.
    pub async fn change_identity(
        &self,
        context: &Context<'_>,
        id: IdentityId,
        change: IdentityChange,
    ) -> Result<Account> {
        let wanted = change.addresses.as_ref().map_or(0, Vec::len);
        let address_ids = (0..wanted).map(|_| AddressId::new(self.env.ids.next(context.now))).collect();
        let project = context.project.id.clone();
        let operation = ChangeIdentity { now: context.now, project, id, change, address_ids };
        Ok(self.store.change_identity(operation).await??)
    }

    /// Erases an identity, its addresses, flows and tickets, ends its sessions and forgets what was noted about them: one operation of
    /// the store.
    ///
    /// # Refusals
    /// `IdentityNotFound`.
    pub async fn erase_identity(&self, context: &Context<'_>, id: IdentityId) -> Result<()> {
        let operation = EraseIdentity { now: context.now, project: context.project.id.clone(), id };
        Ok(self.store.erase_identity(operation).await??)
    }

    /// An identity of the project, with its addresses.
    ///
    /// # Refusals
    /// `IdentityNotFound`.
    pub async fn identity(&self, context: &Context<'_>, id: IdentityId) -> Result<Account> {
        let account = self.store.identity(id).await?;
        let account = account.filter(|account| account.identity.project == context.project.id);
        account.ok_or_else(|| Refusal::IdentityNotFound.into())
    }

    /// The identities of the project behind `after`, in the order of their ids: at most `limit`.
    pub async fn identities(
        &self,
        context: &Context<'_>,
        after: Option<IdentityId>,
        limit: u32,
    ) -> Result<Vec<Account>> {
        let after = after.unwrap_or(IdentityId::new(0));
        Ok(self.store.identities(context.project.id.clone(), after, limit).await?)
    }

    /// Makes an address's budgets whole again: an operator says that what was guessed and sent was meant well.
    pub async fn forgive(&self, project: &ProjectId, address: &Address) -> Result<()> {
        Ok(self.store.forgive(project.clone(), address.clone()).await?)
    }

    /// Who owns an address.
    ///
    /// # Refusals
    /// `IdentityNotFound`.
    pub async fn owner(&self, project: &ProjectId, address: &Address) -> Result<Owner> {
        let owner = self.store.owner(project.clone(), address.clone()).await?;
        owner.ok_or_else(|| Refusal::IdentityNotFound.into())
    }
}
