//! The handlers: decode, one call of the engine, encode.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use engine::{
    Address, Algorithm, Attempt, CodeFormat, Context, DeviceProof, Disclosure, Handle, IdentityId, Naming,
    NewChallenge, Purpose, ResendMode, SessionTerms, Strangers, Times, Timestamp, Verified,
};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Deserialize;
use uuid::Uuid;
use web::{Accepts, Client, Received, respond};

use crate::error::{Answer, Status};
use crate::wire::{Claims, EmailCodeRequest, LoginRequest, Next, NextAuthFlowResponse};
use crate::{NAME, Shared};

/// How long verifiers may keep the keys.
const KEYS_KEPT: Duration = Duration::from_mins(5);

/// What is read of an earlier token.
#[derive(Deserialize)]
struct Earlier {
    iss: String,
    sub: Uuid,
    iat: i64,
}

/// `POST /v1/login`
pub(crate) async fn start(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        let received = receive(&headers, body).await?;
        let request: LoginRequest<'_> = received.decode().map_err(|error| Status::of_body(&error))?;
        let email = required("email", request.email.as_deref())?;
        let address = Address::email(email).map_err(|_| Status::field("email", "email must be an e-mail address"))?;
        let token = shared.engine.random_uuid();
        let policy = &shared.project.policy;
        let challenge = NewChallenge {
            handle: shared.handle(token),
            naming: Naming::Secret,
            purpose: if policy.sign_up { Purpose::SignInOrUp } else { Purpose::SignIn },
            address,
            identity: None,
            change: None,
            attributes: None,
            memo: None,
            disclosure: Disclosure::Uniform,
            format: CodeFormat::SIX_DIGITS,
            mode: ResendMode::SameCode,
            flow_life: policy.code_life,
            code_life: None,
            max_attempts: None,
            link: None,
            strangers: Strangers::Silent,
            device: None,
        };
        match shared.engine.start_challenge(&shared.context(&client, &headers), challenge).await.map_err(Answer::of) {
            Ok(_) => Ok(shared.next(token, Next::EmailCode)),
            Err(Answer::Status(status)) => Err(status),
            // Refusals of a flow that is there already, and a new token's is not.
            Err(Answer::InvalidCode) => Err(Status::internal()),
        }
    };
    answer.await.unwrap_or_else(Status::into_response)
}

/// `POST /v1/login/email-code`
pub(crate) async fn email_code(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        let received = receive(&headers, body).await?;
        let request: EmailCodeRequest<'_> = received.decode().map_err(|error| Status::of_body(&error))?;
        let token = required("auth_flow_token", request.auth_flow_token.as_deref())?;
        let token =
            Uuid::try_parse(token).map_err(|_| Status::field("auth_flow_token", "auth_flow_token must be a UUID"))?;
        let code = required("code", request.code.as_deref())?;
        let session = Some(SessionTerms::of(shared.token_life));
        let context = shared.context(&client, &headers);
        let attempt = Attempt { handles: &[shared.handle(token)], code, session };
        match shared.engine.verify(&context, attempt).await.map_err(Answer::of) {
            Ok(verified) => Ok(shared.next(token, Next::Success { token: &shared.token(&context, &verified)? })),
            Err(Answer::InvalidCode) => Ok(shared.next(token, Next::InvalidCode)),
            Err(Answer::Status(status)) => Err(status),
        }
    };
    answer.await.unwrap_or_else(Status::into_response)
}

/// `GET /.well-known/jwks.json`
pub(crate) async fn keys(State(shared): State<Arc<Shared>>) -> Response {
    let keys = shared.engine.jwks(&shared.project.id, Algorithm::Es256);
    respond::public(respond::JSON, keys.to_vec(), KEYS_KEPT)
}

impl Shared {
    fn context<'a>(&'a self, client: &'a Client, headers: &HeaderMap) -> Context<'a> {
        let context = self.engine.context(&self.project, NAME, client.for_engine());
        Context { proof: self.proof(&context, headers), ..context }
    }

    /// Who brings a token that this surface issued earlier, over or not, is on a device that the address knows.
    fn proof(&self, context: &Context<'_>, headers: &HeaderMap) -> Option<DeviceProof> {
        let token = headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
        let claims = self.engine.authenticate(context, Algorithm::Es256, token, Times::DoNotCount).ok();
        let Earlier { iss, sub, iat } = claims?;
        let identity = self.engine.read_public_id("identity", sub).filter(|_| iss == self.origin)?;
        let proved_at = Timestamp::from_millis(iat.checked_mul(1000)?);
        Some(DeviceProof::Identity { identity: IdentityId::new(identity), proved_at })
    }

    fn handle(&self, token: Uuid) -> Handle {
        Handle::new(NAME, &self.project.id, "flow", token.as_bytes())
    }

    fn next(&self, auth_flow_token: Uuid, next: Next<'_>) -> Response {
        let body = NextAuthFlowResponse { names: self.names, auth_flow_token, next };
        let mut response = respond::json(StatusCode::OK, &body);
        response.headers_mut().insert("grpc-status", HeaderValue::from_static("0"));
        response
    }

    /// The JWT of a session that a passed code opened.
    fn token(&self, context: &Context<'_>, verified: &Verified) -> Result<String, Status> {
        let session = verified.session.as_ref().ok_or_else(Status::internal)?;
        let issued_at = session.issued_at.seconds();
        let claims = Claims {
            iss: &self.origin,
            sub: self.engine.public_id("identity", verified.identity.id.get()),
            aud: ["api"],
            iat: issued_at,
            nbf: issued_at,
            exp: session.expires_at.seconds(),
            jti: self.engine.public_id("session", session.id.get()),
            auth_time: issued_at,
            amr: ["otp"],
            email: verified.address.address.as_str(),
            email_verified: true,
        };
        self.engine.sign(context, Algorithm::Es256, &claims).map_err(|error| match Answer::of(error) {
            Answer::Status(status) => status,
            Answer::InvalidCode => Status::internal(),
        })
    }
}

/// Reads a JSON body.
async fn receive(headers: &HeaderMap, body: Body) -> Result<Received, Status> {
    if headers.contains_key("grpc-encoding") {
        return Err(Status::unsupported("grpc-encoding does not go with JSON"));
    }
    Received::read(Accepts::Json, headers, body).await.map_err(|error| Status::of_body(&error))
}

/// A field that must be there and not be empty.
fn required<'a>(field: &'static str, value: Option<&'a str>) -> Result<&'a str, Status> {
    value.filter(|value| !value.trim().is_empty()).ok_or_else(|| Status::field(field, &format!("{field} is required")))
}
