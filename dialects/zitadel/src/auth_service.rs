//! `zitadel.auth.v1.AuthService`: the methods, on messages, whatever they travelled in. The subject is always who asks.

use std::time::Duration;

use engine::{
    Address, Alphabet, Attempt, Change, CodeFormat, Disclosure, Error, Flow, FlowState, Handle, Keeping, Naming,
    NewChallenge, Purpose, Refusal, ResendMode, Started, Strangers,
};

use crate::bearer::Call;
use crate::error::{Method, Status};
use crate::mailbox::is_mailbox;
use crate::message::{
    GetMyEmailResponse, GetMyUserResponse, ResendMyEmailVerificationRequest, ResendMyEmailVerificationResponse,
    SetMyEmailRequest, SetMyEmailResponse, VerifyMyEmailRequest, VerifyMyEmailResponse,
};
use crate::user::{Shown, email_address};
use crate::{NAME, Shared};

/// The slot of the one question there may be about a user's address.
const EMAIL: &str = "email";
/// Only the user names his flow, but always by the same name: one that is over must make room for the next.
const NAMING: Naming = Naming::Public;
/// How codes look.
pub(crate) const FORMAT: CodeFormat = CodeFormat { alphabet: Alphabet::UpperAlphanumeric, length: 6 };
/// How long an address that nobody proves is shown as the user's, and can be sent another code.
const PENDING_LIFE: Duration = Duration::from_hours(24);
/// The longest code that is compared, in Unicode scalar values.
const LONGEST_CODE: usize = 200;

impl Shared {
    /// `GetMyUser`
    pub(crate) async fn get_my_user(&self, call: &Call<'_>) -> Result<GetMyUserResponse, Status> {
        let pending = self.pending(call).await?;
        let shown = Shown::new(&call.caller.account, pending.as_ref());
        Ok(GetMyUserResponse { user: shown.user(call.caller.account.identity.id.get().to_string()) })
    }

    /// `GetMyEmail`
    pub(crate) async fn get_my_email(&self, call: &Call<'_>) -> Result<GetMyEmailResponse, Status> {
        let pending = self.pending(call).await?;
        let shown = Shown::new(&call.caller.account, pending.as_ref());
        Ok(GetMyEmailResponse { details: shown.details(), email: shown.email() })
    }

    /// `SetMyEmail`: sends a code to another address. The one that was proved stays the user's until that one is.
    pub(crate) async fn set_my_email(
        &self,
        call: &Call<'_>,
        request: &SetMyEmailRequest<'_>,
    ) -> Result<SetMyEmailResponse, Status> {
        let address = plain_address(request.email.as_deref().unwrap_or_default())?;
        let pending = self.pending(call).await?;
        let account = &call.caller.account;
        if Shown::new(account, pending.as_ref()).address() == Some(&address) {
            return Err(Status::email_not_changed());
        }
        let flow = self.change(call, Method::Set, address).await?;
        Ok(SetMyEmailResponse { details: Shown::new(account, Some(&flow)).details() })
    }

    /// `ResendMyEmailVerification`: a new code to the address that is shown, and the old code dies.
    pub(crate) async fn resend_my_email_verification(
        &self,
        call: &Call<'_>,
        _request: &ResendMyEmailVerificationRequest,
    ) -> Result<ResendMyEmailVerificationResponse, Status> {
        let pending = self.pending(call).await?;
        let account = &call.caller.account;
        let shown = Shown::new(account, pending.as_ref());
        let address = shown.address().ok_or_else(|| Status::no_email(Method::Resend))?.clone();
        if shown.is_verified() {
            return Err(Status::already_verified());
        }
        let flow = match &pending {
            // In the flow itself, and not as a new start: another address that is set meanwhile must not be put back.
            Some(flow) if flow.is_live(call.context.now) => {
                let sent = self.engine.resend(&call.context, handle(call), NAMING, ResendMode::NewCode).await;
                sent.map_err(|error| Status::of(Method::Resend, error))?.flow
            }
            // Its code is over, or its guesses are: it is asked again, in its place.
            Some(flow) if flow.purpose == Purpose::ChangeAddress => self.change(call, Method::Resend, address).await?,
            Some(_) | None => self.ask(call, Method::Resend, Purpose::VerifyAddress, address, None).await?,
        };
        Ok(ResendMyEmailVerificationResponse { details: Shown::new(account, Some(&flow)).details() })
    }

    /// `VerifyMyEmail`
    pub(crate) async fn verify_my_email(
        &self,
        call: &Call<'_>,
        request: &VerifyMyEmailRequest<'_>,
    ) -> Result<VerifyMyEmailResponse, Status> {
        let code = request.code.as_deref().unwrap_or_default();
        if code.is_empty() || code.chars().count() > LONGEST_CODE {
            let reason = "value length must be between 1 and 200 runes, inclusive";
            return Err(Status::invalid_field("VerifyMyEmailRequest.Code", reason));
        }
        let attempt = Attempt { handles: &[handle(call)], code, session: None };
        let verified = self.engine.verify(&call.context, attempt).await;
        let verified = verified.map_err(|error| Status::of(Method::Verify, error))?;
        let shown = Shown { identity: &verified.identity, addresses: &verified.addresses, pending: None };
        Ok(VerifyMyEmailResponse { details: shown.details() })
    }

    /// The question that stands about the caller's address: asked, not answered, and not forgotten yet. It may have had its guesses,
    /// and its code may be over.
    async fn pending(&self, call: &Call<'_>) -> Result<Option<Flow>, Status> {
        match self.engine.flow(handle(call)).await {
            Ok(flow) if flow.state == FlowState::Sent && call.context.now < flow.expires_at => Ok(Some(flow)),
            Ok(_) | Err(Error::Refused { refusal: Refusal::FlowNotFound, flow: _ }) => Ok(None),
            Err(error) => Err(Status::of(Method::Read, error)),
        }
    }

    /// Asks for the proof of an address that takes the place of the one the caller has.
    async fn change(&self, call: &Call<'_>, method: Method, address: Address) -> Result<Flow, Status> {
        let current = email_address(&call.caller.account.addresses).ok_or_else(|| Status::no_email(method))?;
        let change = Change {
            session: call.caller.session.id,
            generation: None,
            current: current.address.clone(),
            keeping: Keeping::Replace,
        };
        self.ask(call, method, Purpose::ChangeAddress, address, Some(change)).await
    }

    /// Sends a code to `address`, in the place of whatever was asked before.
    async fn ask(
        &self,
        call: &Call<'_>,
        method: Method,
        purpose: Purpose,
        address: Address,
        change: Option<Change>,
    ) -> Result<Flow, Status> {
        let challenge = NewChallenge {
            handle: handle(call),
            naming: NAMING,
            purpose,
            address,
            identity: change.is_none().then_some(call.caller.account.identity.id),
            change,
            attributes: None,
            memo: None,
            // The original knows no uniqueness, and so tells nobody whose an address is.
            disclosure: Disclosure::Uniform,
            strangers: Strangers::Silent,
            format: FORMAT,
            mode: ResendMode::NewCode,
            flow_life: PENDING_LIFE,
            link: None,
            code_life: None,
            max_attempts: None,
            device: None,
        };
        let started = self.engine.start_challenge(&call.context, challenge).await;
        let Started { flow, masked: _ } = started.map_err(|error| Status::of(method, error))?;
        Ok(flow)
    }
}

/// The flow of the caller's address.
fn handle(call: &Call<'_>) -> Handle {
    let identity = &call.caller.account.identity;
    Handle::new(NAME, &identity.project, EMAIL, &identity.id.get().to_be_bytes())
}

/// The address that `email` is, to the letter: nothing is trimmed.
fn plain_address(email: &str) -> Result<Address, Status> {
    let address = Address::email(email).ok().filter(|_| email.trim() == email);
    address.ok_or_else(|| {
        if is_mailbox(email) {
            return Status::email_invalid();
        }
        let reason = "value must be a valid email address | caused by: it is not one mailbox";
        Status::invalid_field("SetMyEmailRequest.Email", reason)
    })
}
