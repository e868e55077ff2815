//! Attempts to sign in or up: opened, asked in, answered.
//!
//! An attempt is a flow of the engine that is named by its session and its own id together: whoever knows the id alone has nothing.
//! Opening one sends nothing; preparing it does.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use engine::{
    Address, CodeFormat, DeviceId, Disclosure, Error, Handle, Naming, NewChallenge, NewFlow, Purpose, Refusal,
    ResendMode, SessionTerms, Strangers,
};
use http::{HeaderMap, Uri};
use web::body::query;

use crate::envelope::{Attempt, Note, Origin};
use crate::error::{Call, Status};
use crate::user::Names;
use crate::visit::{Data, Visit};
use crate::wire::{AttemptQuery, AttemptRequest, Id, SignInRequest, SignUpRequest, given};
use crate::{NAME, Shared, receive};

/// How long an attempt lives.
const ATTEMPT_LIFE: Duration = Duration::from_mins(10);
/// How long a code lives.
const CODE_LIFE: Duration = Duration::from_mins(5);
/// How long somebody stays signed in.
pub(crate) const SIGN_IN_LIFE: Duration = Duration::from_hours(30 * 24);

/// How many attempts may be open at a session: each answer shows them all.
const MOST_ATTEMPTS: usize = 20;
/// How many may be signed in at a session.
pub(crate) const MOST_SIGN_INS: usize = 10;

/// `POST /auth/signin`
pub(crate) async fn sign_in(
    State(shared): State<Arc<Shared>>,
    mut visit: Visit,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let outcome = shared.sign_in(&mut visit, &headers, body).await;
    visit.respond(outcome)
}

/// `POST /auth/signup`
pub(crate) async fn sign_up(
    State(shared): State<Arc<Shared>>,
    mut visit: Visit,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let outcome = shared.sign_up(&mut visit, &headers, body).await;
    visit.respond(outcome)
}

/// `POST /auth/prepare-verification`
pub(crate) async fn prepare(
    State(shared): State<Arc<Shared>>,
    mut visit: Visit,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let outcome = shared.prepare(&mut visit, &uri, &headers, body).await;
    visit.respond(outcome)
}

/// `POST /auth/attempt-verification`
pub(crate) async fn verify(
    State(shared): State<Arc<Shared>>,
    mut visit: Visit,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let outcome = shared.verify(&mut visit, &uri, &headers, body).await;
    visit.respond(outcome)
}

/// How a request names an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Named {
    purpose: Purpose,
    attempt: i64,
}

impl Named {
    /// As documented, in the body; else as the kit does, in the query.
    fn read(request: &AttemptRequest<'_>, query: &AttemptQuery<'_>) -> Result<Self, Status> {
        let (purpose, attempt) = match (Id::given(request.signin_attempt_id), Id::given(request.signup_attempt_id)) {
            (Some(_), Some(_)) => return Err(Status::no_such_attempt()),
            (Some(attempt), None) => (Purpose::SignIn, attempt),
            (None, Some(attempt)) => (Purpose::SignUp, attempt),
            (None, None) => {
                let attempt = Id::given(query.attempt_identifier).ok_or_else(Status::no_such_attempt)?;
                match given(query.identifier_type.as_ref()) {
                    Some("signin") => (Purpose::SignIn, attempt),
                    Some("signup") => (Purpose::SignUp, attempt),
                    Some(_) | None => return Err(Status::no_such_attempt()),
                }
            }
        };
        Ok(Self { purpose, attempt })
    }

    /// The attempt of this name at the session of `visit`.
    fn find<'a>(&self, visit: &'a Visit) -> Option<Attempt<'a>> {
        Attempt::of(visit.view(), self.purpose).find(|attempt| attempt.note.attempt == self.attempt)
    }
}

impl Shared {
    async fn sign_in(&self, visit: &mut Visit, headers: &HeaderMap, body: Body) -> Result<Data, Status> {
        let received = receive(headers, body).await?;
        let request: SignInRequest<'_> = received.decode().map_err(|error| Status::of_body(&error))?;
        match given(request.strategy.as_ref()) {
            Some("email_otp") => {}
            Some("phone_otp") => return Err(Status::invalid("Text messages are not sent here yet. Use email_otp")),
            Some(_) => return Err(Status::invalid("This strategy is not enabled. Use email_otp")),
            None => return Err(Status::invalid("strategy is required")),
        }
        let email = given(request.email.as_ref()).ok_or_else(|| Status::invalid("email is required"))?;
        let address = address(email)?;
        self.open(visit, Purpose::SignIn, &address, None).await
    }

    async fn sign_up(&self, visit: &mut Visit, headers: &HeaderMap, body: Body) -> Result<Data, Status> {
        let received = receive(headers, body).await?;
        let request: SignUpRequest<'_> = received.decode().map_err(|error| Status::of_body(&error))?;
        if !self.project.policy.sign_up {
            return Err(Status::sign_up_restricted());
        }
        // Whoever gives one of these counts on it.
        let unserved =
            [("username", &request.username), ("phone_number", &request.phone_number), ("password", &request.password)];
        if let Some((field, _)) = unserved.into_iter().find(|(_, value)| given(value.as_ref()).is_some()) {
            return Err(Status::invalid(format!("{field} is not enabled")));
        }
        let email = given(request.email.as_ref()).ok_or_else(|| Status::field_required("email"))?;
        let address = address(email)?;
        let names = Names::of(given(request.first_name.as_ref()), given(request.last_name.as_ref()))?;
        if self.is_known(visit, &address).await? {
            return Err(Status::email_exists());
        }
        self.open(visit, Purpose::SignUp, &address, names.to_json()?).await
    }

    /// Opens an attempt about `address`.
    async fn open(
        &self,
        visit: &mut Visit,
        purpose: Purpose,
        address: &Address,
        attributes: Option<String>,
    ) -> Result<Data, Status> {
        visit.must_be_present()?;
        must_not_be_signed_in(visit, address)?;
        if visit.view().callers.len() >= MOST_SIGN_INS {
            return Err(Status::state("This session has as many sign-ins as it may have"));
        }
        let (count, first_ends) = visit.open_attempts().fold((0, None), |(count, first), flow| {
            (count + 1, Some(first.map_or(flow.expires_at, |first| flow.expires_at.min(first))))
        });
        if let Some(first_ends) = first_ends.filter(|_| count >= MOST_ATTEMPTS) {
            return Err(Status::too_many_attempts(first_ends.since(visit.now)));
        }
        // Drawn, and not counted: nobody is told how many others there are.
        let attempt = (i64::from_be_bytes(self.engine.random()) & i64::MAX).max(1);
        let note = Note { attempt, email: address.as_str().to_owned() };
        let new = NewFlow {
            handle: self.handle(visit.device(), Named { purpose, attempt }),
            purpose,
            device: Some(visit.device()),
            attributes,
            memo: Some(serde_json::to_string(&note).map_err(|_| Status::internal())?),
            flow_life: ATTEMPT_LIFE,
        };
        let flow = self.engine.open_flow(&visit.context(), new).await;
        let flow = flow.map_err(|error| Status::of(Call::Prepare, visit.now, error))?;
        visit.touch(flow);
        Ok(Data::Session)
    }

    async fn prepare(&self, visit: &mut Visit, uri: &Uri, headers: &HeaderMap, body: Body) -> Result<Data, Status> {
        let received = receive(headers, body).await?;
        let request: AttemptRequest<'_> = received.decode().map_err(|error| Status::of_body(&error))?;
        let query: AttemptQuery<'_> = query(uri).map_err(|error| Status::of_body(&error))?;
        let named = Named::read(&request, &query)?;
        let Attempt { flow, note } = named.find(visit).ok_or_else(Status::no_such_attempt)?;
        // What is sent follows from the attempt. What is asked for must only not be something else.
        match given(query.strategy.as_ref()).or(given(request.method.as_ref())) {
            Some("email_otp" | "email" | "verify_email" | "verify_email_otp") => {}
            Some("phone_otp" | "sms" | "verify_phone" | "verify_phone_otp") => {
                return Err(Status::state(
                    "Text messages are not sent here yet, and this attempt is about an email address",
                ));
            }
            Some(_) => return Err(Status::state("This attempt is verified by a code that is sent by email")),
            None => return Err(Status::strategy_required()),
        }
        let challenge = NewChallenge {
            handle: self.handle(visit.device(), named),
            naming: Naming::Secret,
            purpose: named.purpose,
            address: address(&note.email)?,
            identity: None,
            change: None,
            attributes: flow.attributes.clone(),
            memo: flow.memo.clone(),
            disclosure: Disclosure::Uniform,
            format: CodeFormat::SIX_DIGITS,
            mode: ResendMode::SameCode,
            flow_life: ATTEMPT_LIFE,
            code_life: Some(CODE_LIFE),
            max_attempts: None,
            strangers: Strangers::Silent,
            link: None,
            device: Some(visit.device()),
        };
        let started = self.engine.start_challenge(&visit.context(), challenge).await;
        let started = started.map_err(|error| Status::of(Call::Prepare, visit.now, error))?;
        visit.touch(started.flow);
        Ok(Data::Prepared)
    }

    async fn verify(&self, visit: &mut Visit, uri: &Uri, headers: &HeaderMap, body: Body) -> Result<Data, Status> {
        let received = receive(headers, body).await?;
        let request: AttemptRequest<'_> = received.decode().map_err(|error| Status::of_body(&error))?;
        let query: AttemptQuery<'_> = query(uri).map_err(|error| Status::of_body(&error))?;
        let named = Named::read(&request, &query)?;
        let code = given(request.code.as_ref()).ok_or_else(Status::code_required)?;
        if let Some(attempt) = named.find(visit).filter(|attempt| !attempt.is_completed()) {
            must_not_be_signed_in(visit, &address(&attempt.note.email)?)?;
        }
        let handles = [self.handle(visit.device(), named)];
        let session = Some(SessionTerms { life: SIGN_IN_LIFE, memo: origin(visit) });
        let attempt = engine::Attempt { handles: &handles, code, session };
        let verified = self.engine.verify(&visit.context(), attempt).await;
        let verified = verified.map_err(|error| Status::of(Call::Verify, visit.now, error))?;
        visit.touch(verified.flow);
        visit.look_again().await?;
        Ok(Data::Session)
    }

    /// The flow of an attempt at a session. Both are in its name, so that the id of another session's attempt names nothing.
    fn handle(&self, device: DeviceId, named: Named) -> Handle {
        let slot = if named.purpose == Purpose::SignUp { "signup" } else { "signin" };
        let mut key = [0; 16];
        let (session, attempt) = key.split_at_mut(8);
        session.copy_from_slice(&device.get().to_be_bytes());
        attempt.copy_from_slice(&named.attempt.to_be_bytes());
        Handle::new(NAME, &self.project.id, slot, &key)
    }

    /// Whether somebody has proved `address`, where that may be told: only in development.
    pub(crate) async fn is_known(&self, visit: &Visit, address: &Address) -> Result<bool, Status> {
        if !self.project.policy.reveals_accounts {
            return Ok(false);
        }
        match self.engine.owner(&self.project.id, address).await {
            Ok(owner) => Ok(owner.address.verified_at.is_some()),
            Err(Error::Refused { refusal: Refusal::IdentityNotFound, flow: _ }) => Ok(false),
            Err(error) => Err(Status::of(Call::Prepare, visit.now, error)),
        }
    }
}

/// Refuses to sign somebody in whom this session has already.
fn must_not_be_signed_in(visit: &Visit, address: &Address) -> Result<(), Status> {
    let has = |caller: &engine::Caller| caller.account.find(address).is_some();
    if visit.view().callers.iter().any(has) { Err(Status::signed_in_already()) } else { Ok(()) }
}

/// From where a sign-in comes.
fn origin(visit: &Visit) -> Option<String> {
    let client = &visit.client;
    let origin = Origin {
        address: client.address.map(|address| address.to_string()).unwrap_or_default(),
        user_agent: client.user_agent.as_deref().unwrap_or_default().to_owned(),
    };
    serde_json::to_string(&origin).ok()
}

fn address(email: &str) -> Result<Address, Status> {
    Address::email(email).map_err(|_| Status::invalid("The email address is not valid"))
}
