//! One-time codes by e-mail: sign in, sign up, either, change the address; and one verify for all of them.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use engine::{
    Address, Attempt, Change, CodeFormat, Disclosure, Handle, Keeping, MOST_ATTEMPTS, Naming, NewChallenge, Project,
    Purpose, ResendMode, Started, Strangers,
};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use web::{Client, Text, respond};

use crate::authorization::Authorization;
use crate::error::{Call, Status};
use crate::token::{RefreshToken, Signed, TERMS};
use crate::user::Attributes;
use crate::wire::{
    CustomClaims, LoginOptions, SendResponse, SignInRequest, SignUpRequest, UpdateEmailRequest, VerifyRequest,
};
use crate::{NAME, Shared, receive};

/// The slot of sign-ins and sign-ups.
const OTP: &str = "otp";
/// The slot of those that are asked for from a device that the address knows: see [`Naming::Divided`].
const OTP_KNOWN: &str = "otp-known";
/// The slot of changes of address.
const UPDATE: &str = "update";

/// The bounds of custom claims, as published; and of all together, which is ours: tokens travel in headers.
const MOST_CLAIMS: usize = 100;
const LONGEST_CLAIM_NAME: usize = 60;
const LONGEST_CLAIM: usize = 500;
const MOST_CLAIM_BYTES: usize = 4096;

/// What of a start is remembered for its end.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Memo {
    custom_claims: CustomClaims,
}

/// `POST /v1/auth/otp/signin/email`
pub(crate) async fn sign_in(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    shared.sign_in(&client, &headers, body, Purpose::SignIn).await.unwrap_or_else(Status::into_response)
}

/// `POST /v1/auth/otp/signup-in/email`
pub(crate) async fn sign_up_or_in(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    shared.sign_in(&client, &headers, body, Purpose::SignInOrUp).await.unwrap_or_else(Status::into_response)
}

/// `POST /v1/auth/otp/signup/email`
pub(crate) async fn sign_up(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        let authorization = Authorization::read(shared.engine.projects(), &headers)?;
        let received = receive(&headers, body).await?;
        let request: SignUpRequest<'_> = received.decode().map_err(|error| Status::of_body(&error))?;
        let address = login_id(request.login_id.as_ref())?;
        let user = request.user.unwrap_or_default();
        // What is proved is the login id. Another address would be taken on somebody's word.
        for said in [&request.email, &user.email] {
            let said = said.as_deref().filter(|said| !said.trim().is_empty());
            if said.is_some_and(|said| Address::email(said).as_ref() != Ok(&address)) {
                return Err(Status::field("email", "must be a valid email address and the same as the loginId"));
            }
        }
        let attributes = Attributes::of(&user)?.to_json()?;
        let memo = memo(request.login_options)?;
        let challenge = sign_in_challenge(authorization.project, Purpose::SignUp, address, attributes, memo);
        let device_token = authorization.device_token(&headers);
        let context = shared.known_context(authorization.project, &client, device_token);
        let started = shared.engine.start_challenge(&context, challenge).await;
        started.map(|started| sent(&started)).map_err(|error| Status::of(Call::Start, error))
    };
    answer.await.unwrap_or_else(Status::into_response)
}

/// `POST /v1/auth/otp/update/email`
pub(crate) async fn update(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        let authorization = Authorization::read(shared.engine.projects(), &headers)?;
        let project = authorization.project;
        let token = authorization.refresh_token(&headers)?;
        shared.ready(project).await?;
        let context = shared.context(project, &client);
        let (claims, session) = shared.read_refresh_token(&context, token)?;
        let received = receive(&headers, body).await?;
        let request: UpdateEmailRequest<'_> = received.decode().map_err(|error| Status::of_body(&error))?;
        let current = login_id(request.login_id.as_ref())?;
        let address = address("email", request.email.as_ref())?;
        if request.mfa == Some(true) {
            return Err(Status::unsupported("The mfa option is not supported"));
        }
        let keeping = if request.add_to_login_ids == Some(true) { Keeping::Both } else { Keeping::Replace };
        let challenge = NewChallenge {
            handle: handle(project, UPDATE, &current),
            naming: Naming::Public,
            purpose: Purpose::ChangeAddress,
            address,
            identity: None,
            change: Some(Change { session, generation: Some(claims.generation), current, keeping }),
            attributes: None,
            memo: None,
            disclosure: Disclosure::Telling,
            format: CodeFormat::SIX_DIGITS,
            mode: ResendMode::SameCode,
            flow_life: project.policy.code_life,
            code_life: None,
            max_attempts: None,
            link: None,
            strangers: Strangers::Silent,
            device: None,
        };
        let call = Call::Update { is_merge: request.on_merge_use_existing == Some(true) };
        let started = shared.engine.start_challenge(&context, challenge).await;
        started.map(|started| sent(&started)).map_err(|error| Status::of(call, error))
    };
    answer.await.unwrap_or_else(Status::into_response)
}

/// `POST /v1/auth/otp/verify/email`
pub(crate) async fn verify(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        let authorization = Authorization::read(shared.engine.projects(), &headers)?;
        let project = authorization.project;
        let received = receive(&headers, body).await?;
        let request: VerifyRequest<'_> = received.decode().map_err(|error| Status::of_body(&error))?;
        let address = login_id(request.login_id.as_ref())?;
        let code = required("code", request.code.as_ref())?;
        shared.ready(project).await?;
        let handles = [OTP, OTP_KNOWN, UPDATE].map(|slot| handle(project, slot, &address));
        let context = shared.known_context(project, &client, authorization.device_token(&headers));
        let attempt = Attempt { handles: &handles, code, session: Some(TERMS) };
        let verified = shared.engine.verify(&context, attempt).await;
        let verified = verified.map_err(|error| Status::of(Call::Verify, error))?;
        let memo = verified.flow.memo.as_deref().map(serde_json::from_str::<Memo>).transpose();
        let signed = Signed {
            identity: &verified.identity,
            addresses: &verified.addresses,
            session: verified.session.as_ref().ok_or_else(Status::internal)?,
            nsec: memo.map_err(|_| Status::internal())?.map(|memo| memo.custom_claims),
            is_first_seen: verified.is_first_proof,
        };
        shared.session_response(&context, signed, RefreshToken::Given)
    };
    answer.await.unwrap_or_else(Status::into_response)
}

impl Shared {
    /// Starts a sign-in, or a sign-in or sign-up.
    async fn sign_in(
        &self,
        client: &Client,
        headers: &HeaderMap,
        body: Body,
        purpose: Purpose,
    ) -> Result<Response, Status> {
        let authorization = Authorization::read(self.engine.projects(), headers)?;
        let received = receive(headers, body).await?;
        let request: SignInRequest<'_> = received.decode().map_err(|error| Status::of_body(&error))?;
        let address = login_id(request.login_id.as_ref())?;
        let options = request.login_options.unwrap_or_default();
        if options.stepup == Some(true) || options.mfa == Some(true) {
            authorization.refresh_token(headers)?;
        }
        let memo = memo(Some(options))?;
        let challenge = sign_in_challenge(authorization.project, purpose, address, None, memo);
        let context = self.known_context(authorization.project, client, authorization.device_token(headers));
        let started = self.engine.start_challenge(&context, challenge).await;
        started.map(|started| sent(&started)).map_err(|error| Status::of(Call::Start, error))
    }
}

/// A sign-in or sign-up, as the project allows it.
fn sign_in_challenge(
    project: &Project,
    purpose: Purpose,
    address: Address,
    attributes: Option<String>,
    memo: Option<String>,
) -> NewChallenge {
    let policy = &project.policy;
    NewChallenge {
        handle: handle(project, OTP, &address),
        naming: Naming::Divided { known: handle(project, OTP_KNOWN, &address) },
        // Without sign-up, who was added by an operator comes in through either door, and nobody else does.
        purpose: if policy.sign_up { purpose } else { Purpose::SignIn },
        address,
        identity: None,
        change: None,
        attributes,
        memo,
        disclosure: Disclosure::Telling,
        format: CodeFormat::SIX_DIGITS,
        mode: ResendMode::SameCode,
        flow_life: policy.code_life,
        code_life: None,
        max_attempts: None,
        link: None,
        strangers: Strangers::Silent,
        device: None,
    }
}

/// The flow of a login id in a slot.
fn handle(project: &Project, slot: &str, login_id: &Address) -> Handle {
    let key = format!("{}:{}", login_id.channel().name(), login_id.as_str());
    Handle::new(NAME, &project.id, slot, key.as_bytes())
}

/// A code is on its way; or would be.
fn sent(started: &Started) -> Response {
    let attempts = started.flow.challenge.as_ref().map_or(0, |challenge| challenge.max_attempts.min(MOST_ATTEMPTS));
    let body = SendResponse { masked_email: &started.masked, verification_attempts: attempts };
    respond::json(StatusCode::OK, &body)
}

/// A field that must be there and not be empty.
fn required<'a>(field: &'static str, value: Option<&'a Text<'_>>) -> Result<&'a str, Status> {
    let text: Option<&str> = value.map(|text| &**text);
    text.filter(|text| !text.trim().is_empty()).ok_or_else(|| Status::required(field))
}

/// A field that must be an e-mail address.
fn address(field: &'static str, value: Option<&Text<'_>>) -> Result<Address, Status> {
    let value = required(field, value)?;
    Address::email(value).map_err(|_| Status::field(field, "must be a valid email address"))
}

/// The login id, which is an e-mail address.
fn login_id(value: Option<&Text<'_>>) -> Result<Address, Status> {
    address("loginId", value)
}

/// What of the options is remembered. Those that would promise something we do not do are refused.
fn memo(options: Option<LoginOptions<'_>>) -> Result<Option<String>, Status> {
    let options = options.unwrap_or_default();
    let promises = [
        ("stepup", options.stepup == Some(true)),
        ("mfa", options.mfa == Some(true)),
        ("tenantId", options.tenant_id.is_some_and(|tenant| !tenant.is_empty())),
        ("revokeOtherSessions", options.revoke_other_sessions == Some(true)),
    ];
    if let Some((option, _)) = promises.into_iter().find(|(_, is_asked)| *is_asked) {
        return Err(Status::unsupported(format!("The {option} option is not supported")));
    }
    let mut custom_claims = options.custom_claims.unwrap_or_default();
    custom_claims.retain(|_, value| !value.is_null());
    if custom_claims.is_empty() {
        return Ok(None);
    }
    let is_short = |(name, value): (&String, &serde_json::Value)| {
        let length = value.as_str().map_or_else(|| value.to_string().chars().count(), |text| text.chars().count());
        name.chars().count() <= LONGEST_CLAIM_NAME && length <= LONGEST_CLAIM
    };
    let is_bounded = custom_claims.len() <= MOST_CLAIMS && custom_claims.iter().all(is_short);
    let memo = serde_json::to_string(&Memo { custom_claims }).map_err(|_| Status::internal())?;
    if !is_bounded || memo.len() > MOST_CLAIM_BYTES {
        return Err(Status::field("customClaims", "is too large"));
    }
    Ok(Some(memo))
}
