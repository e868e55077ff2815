//! Whether whoever reads an address may sign in with it, or have an account with it.
//!
//! An address that somebody has only to be reached at, or that he said was his beside one that he proved, signs nobody in: who mistyped
//! it would let a stranger in, and who meant it would lie in wait for its owner. Whoever asks there gets a question that nobody can
//! answer, and cannot tell it from any other.

use engine::{Address, Context, Error, IdentityId, Purpose, Refusal};

use crate::Shared;
use crate::error::Status;
use crate::identity::{Kept, object, roles};

/// Nobody's id.
const NOBODY: IdentityId = IdentityId::new(0);

/// What is asked of an address, and of whom, where something else was to be asked that must not be.
pub(crate) const UNANSWERABLE: (Purpose, Option<IdentityId>) = (Purpose::VerifyAddress, Some(NOBODY));

/// Whether somebody has `address` who does not sign in with it.
pub(crate) async fn is_withheld(shared: &Shared, context: &Context<'_>, address: &Address) -> Result<bool, Status> {
    let owner = match shared.engine.owner(&shared.project.id, address).await {
        Ok(owner) => Some(owner),
        Err(Error::Refused { refusal: Refusal::IdentityNotFound, flow: _ }) => None,
        Err(error) => return Err(Status::of(error)),
    };
    // For an address that nobody has the same is looked up: how long it takes tells nothing.
    let id = owner.as_ref().map_or(NOBODY, |owner| owner.identity.id);
    let account = match shared.engine.identity(context, id).await {
        Ok(account) => account,
        Err(Error::Refused { refusal: Refusal::IdentityNotFound, flow: _ }) => return Ok(false),
        Err(error) => return Err(Status::of(error)),
    };
    let kept = Kept::of(&account.identity);
    let is_identifier = roles(kept.schema(&shared.config), &object(&account.identity.traits), address).is_identifier;
    let is_proved = account.find(address).is_some_and(|own| own.verified_at.is_some());
    Ok(!is_identifier || (!is_proved && account.is_proven()))
}
