//! The two tokens of a session: made, and judged.

use std::time::Duration;

use engine::{Context, DeviceProof, Project, Refusal, Session, SessionId, SessionTerms, Times, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use web::Client;

use crate::error::{Call, Status};
use crate::user::{Attributes, User, user_id};
use crate::wire::{CustomClaims, JwtResponse};
use crate::{ALGORITHM, Shared};

/// How long a refresh token lives, and its session with it.
pub(crate) const TERMS: SessionTerms = SessionTerms::of(Duration::from_hours(28 * 24));
/// How long a session token lives: it is judged without us, and an ended session only shows when it is refreshed.
const SESSION_TOKEN_LIFE: Duration = Duration::from_mins(10);
/// Keeps the public ids of sessions apart from all others.
const SESSION_KIND: &str = "descope.session";

/// The `drn` of a session token, and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum SessionName {
    #[serde(rename = "DS")]
    Session,
}

/// The `drn` of a refresh token, and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum RefreshName {
    #[serde(rename = "DSR")]
    Refresh,
}

/// What a session token says. It reads from no other kind of token: `drn` and `rexp` see to that.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SessionClaims {
    amr: Vec<String>,
    drn: SessionName,
    exp: i64,
    iat: i64,
    iss: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nsec: Option<CustomClaims>,
    rexp: String,
    sid: Uuid,
    sub: String,
}

/// What a refresh token says. It reads from no other kind of token: `drn` and `gen` see to that.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RefreshClaims {
    amr: Vec<String>,
    drn: RefreshName,
    exp: i64,
    #[serde(rename = "gen")]
    pub(crate) generation: u32,
    iat: i64,
    iss: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nsec: Option<CustomClaims>,
    sid: Uuid,
    sub: String,
}

/// A session that a token was signed for, and whose it is.
pub(crate) struct Signed<'a> {
    pub(crate) identity: &'a engine::Identity,
    pub(crate) addresses: &'a [engine::VerifiableAddress],
    pub(crate) session: &'a Session,
    pub(crate) nsec: Option<CustomClaims>,
    pub(crate) is_first_seen: bool,
}

/// Whether an answer carries a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefreshToken {
    /// It does.
    Given,
    /// The caller keeps the one he has.
    Kept,
}

impl Shared {
    /// The answer that carries a session's tokens: one signature for each.
    pub(crate) fn session_response(
        &self,
        context: &Context<'_>,
        signed: Signed<'_>,
        refresh_token: RefreshToken,
    ) -> Result<axum::response::Response, Status> {
        let Signed { identity, addresses, session, nsec, is_first_seen } = signed;
        let ends_at = session.expires_at;
        let token_ends_at = context.now.plus(SESSION_TOKEN_LIFE).min(ends_at);
        let sid = self.engine.public_id(SESSION_KIND, session.id.get());
        let sub = user_id(&self.engine, identity);
        let iss = context.project.id.as_str().to_owned();
        let session_claims = SessionClaims {
            amr: vec![session.method.clone()],
            drn: SessionName::Session,
            exp: token_ends_at.seconds(),
            iat: context.now.seconds(),
            iss,
            nsec,
            rexp: whole_second(ends_at),
            sid,
            sub,
        };
        let session_jwt = self.sign(context, &session_claims)?;
        let SessionClaims { amr, iss, nsec, sub, .. } = session_claims;
        let refresh_jwt = match refresh_token {
            RefreshToken::Kept => String::new(),
            RefreshToken::Given => {
                let claims = RefreshClaims {
                    amr,
                    drn: RefreshName::Refresh,
                    exp: ends_at.seconds(),
                    generation: session.generation,
                    // The moment its generation came to be, and not this one: who asks again gets the same token.
                    iat: session.rotated_at.seconds(),
                    iss,
                    nsec,
                    sid,
                    sub,
                };
                self.sign(context, &claims)?
            }
        };
        let attributes = Attributes::read(identity);
        let body = JwtResponse {
            session_jwt: &session_jwt,
            refresh_jwt: &refresh_jwt,
            cookie_path: "/",
            cookie_max_age: ends_at.seconds() - context.now.seconds(),
            cookie_expiration: ends_at.seconds(),
            user: Some(User::new(&self.engine, identity, addresses, &attributes)),
            first_seen: is_first_seen,
            session_expiration: token_ends_at.seconds(),
            ..JwtResponse::default()
        };
        Ok(web::respond::json(http::StatusCode::OK, &body))
    }

    fn sign<C: Serialize>(&self, context: &Context<'_>, claims: &C) -> Result<String, Status> {
        self.engine.sign(context, ALGORITHM, claims).map_err(|error| Status::of(Call::Session, error))
    }

    /// The claims of a session token of this project, and its session.
    pub(crate) fn read_session_token(
        &self,
        context: &Context<'_>,
        token: &str,
    ) -> Result<(SessionClaims, SessionId), Status> {
        let claims = self.engine.authenticate(context, ALGORITHM, token, Times::Count);
        let claims: SessionClaims = claims.map_err(|error| Status::of(Call::Session, error))?;
        let session = self.session_of(context, &claims.iss, claims.sid)?;
        Ok((claims, session))
    }

    /// The claims of a refresh token of this project, and its session.
    pub(crate) fn read_refresh_token(
        &self,
        context: &Context<'_>,
        token: &str,
    ) -> Result<(RefreshClaims, SessionId), Status> {
        let claims = self.engine.authenticate(context, ALGORITHM, token, Times::Count);
        let claims: RefreshClaims = claims.map_err(|error| Status::of(Call::Session, error))?;
        let session = self.session_of(context, &claims.iss, claims.sid)?;
        Ok((claims, session))
    }

    /// The context of a request that may come from a device that an address knows: one on which `token`, a refresh token of this
    /// project, was left. That it is over does not matter.
    pub(crate) fn known_context<'a>(
        &self,
        project: &'a Project,
        client: &'a Client,
        token: Option<&str>,
    ) -> Context<'a> {
        let context = self.context(project, client);
        let claims =
            token.and_then(|token| self.engine.authenticate(&context, ALGORITHM, token, Times::DoNotCount).ok());
        let session = claims.and_then(|claims: RefreshClaims| self.session_of(&context, &claims.iss, claims.sid).ok());
        Context { proof: session.map(DeviceProof::Session), ..context }
    }

    fn session_of(&self, context: &Context<'_>, iss: &str, sid: Uuid) -> Result<SessionId, Status> {
        let session = self.engine.read_public_id(SESSION_KIND, sid).filter(|_| iss == context.project.id.as_str());
        session.map(SessionId::new).ok_or_else(|| Status::of(Call::Session, Refusal::TokenInvalid.into()))
    }
}

/// RFC 3339 in UTC with whole seconds, as in `2026-01-02T03:04:05Z`.
fn whole_second(at: Timestamp) -> String {
    let text = at.rfc3339();
    text.split_once('.').map_or_else(|| text.clone(), |(seconds, _)| format!("{seconds}Z"))
}
