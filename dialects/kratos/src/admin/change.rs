//! What an operator wants an identity to be, and what has to change for that.

use engine::{Account, Address, Context, Error, IdentityChange, IdentityState, Refusal, WantedAddress};
use http::StatusCode;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::wire::VerifiableAddressInput;
use super::wrong;
use crate::Shared;
use crate::error::Status;
use crate::identity::{self, Kept};
use crate::schema::Schema;
use crate::traits;

/// All that an operator says of an identity.
pub(super) struct Wanted<'a> {
    pub(super) schema: &'a Schema,
    pub(super) traits: Map<String, Value>,
    /// As it is, where this is none.
    pub(super) state: Option<IdentityState>,
    pub(super) metadata_public: Option<Value>,
    pub(super) metadata_admin: Option<Value>,
    pub(super) external_id: Option<String>,
    pub(super) organization_id: Option<Uuid>,
    /// What is said of addresses; of others, that they are as they are.
    pub(super) verified: Vec<VerifiableAddressInput>,
}

/// Has the identity of `account` be as it is wanted: one operation of the engine. Refused if it has changed meanwhile.
pub(super) async fn change(
    shared: &Shared,
    context: &Context<'_>,
    account: &Account,
    wanted: Wanted<'_>,
) -> Result<Account, Status> {
    let identity = &account.identity;
    let before = Kept::of(identity);
    let addresses = wanted_addresses(shared, account, &before, &wanted)?;
    let is_other_state = wanted.state.is_some_and(|state| state != identity.state);
    let kept = Kept {
        schema_id: Some(wanted.schema.id.clone()),
        metadata_public: wanted.metadata_public,
        metadata_admin: wanted.metadata_admin,
        external_id: wanted.external_id.filter(|id| !id.is_empty()),
        organization_id: wanted.organization_id,
        state_changed_at: if is_other_state { Some(context.now) } else { before.state_changed_at },
    };
    let change = IdentityChange {
        revision: Some(identity.revision),
        traits: Some(Value::Object(wanted.traits).to_string()),
        metadata: Some(kept.written_into(&identity.metadata)?),
        state: wanted.state,
        addresses: Some(addresses),
    };
    let changed = shared.engine.change_identity(context, identity.id, change).await;
    changed.map_err(|error| match error {
        Error::Refused { refusal: Refusal::AddressTaken, flow: _ } => Status::bare(StatusCode::CONFLICT),
        error => Status::of(error),
    })
}

/// The addresses that the identity shall have.
///
/// Where the traits name others than before, it has those and no more. Where they name the same, it keeps what it has: also an address
/// that another surface brought, and that no trait ever held.
fn wanted_addresses(
    shared: &Shared,
    account: &Account,
    before: &Kept,
    wanted: &Wanted<'_>,
) -> Result<Vec<WantedAddress>, Status> {
    let named = traits::check(wanted.schema, &wanted.traits).map_err(|problems| wrong(&problems))?;
    let named: Vec<Address> = named.into_iter().map(|(address, _)| address).collect();
    let traits = identity::object(&account.identity.traits);
    let were_named = identity::addresses(before.schema(&shared.config), &traits).unwrap_or_default();
    let is_same = were_named.len() == named.len() && were_named.iter().all(|(address, _)| named.contains(address));
    let all = if is_same { account.addresses.iter().map(|own| own.address.clone()).collect() } else { named };
    let judged = |address: Address| {
        let said = wanted.verified.iter().find(|said| said.names(&address));
        WantedAddress { verified: said.map(|said| said.verified), address }
    };
    Ok(all.into_iter().map(judged).collect())
}
