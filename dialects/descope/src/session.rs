//! Sessions: refreshed, looked at and ended; and the keys their tokens verify against.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use engine::{Project, ProjectId, Rotation, Sessions};
use http::{HeaderMap, StatusCode};
use web::{Client, respond};

use crate::authorization::Authorization;
use crate::error::{Call, Status};
use crate::token::{RefreshToken, Signed};
use crate::user::{Attributes, User};
use crate::wire::{EmptyRequest, JwtResponse, LicenseResponse, ValidateResponse};
use crate::{ALGORITHM, Shared, receive};

/// How long verifiers may keep the keys.
const KEYS_KEPT: Duration = Duration::from_mins(5);

/// `POST /v1/auth/refresh`
pub(crate) async fn refresh(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        let authorization = shared.bodiless(&headers, body).await?;
        let token = authorization.refresh_token(&headers)?;
        shared.refreshed(authorization.project, &client, token).await
    };
    answer.await.unwrap_or_else(Status::into_response)
}

/// `POST /v1/auth/try-refresh`
pub(crate) async fn try_refresh(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        let authorization = shared.bodiless(&headers, body).await?;
        let Ok(token) = authorization.refresh_token(&headers) else { return Ok(nobody()) };
        match shared.refreshed(authorization.project, &client, token).await {
            // Nobody is signed in, and that is no error here.
            Err(status) if status.is_of_caller() => Ok(nobody()),
            answer => answer,
        }
    };
    answer.await.unwrap_or_else(Status::into_response)
}

/// `POST /v1/auth/validate`
pub(crate) async fn validate(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        let authorization = shared.bodiless(&headers, body).await?;
        let context = shared.context(authorization.project, &client);
        let (claims, session) = shared.read_session_token(&context, authorization.session_token()?)?;
        shared.engine.caller(&context, session).await.map_err(|error| Status::of(Call::Session, error))?;
        Ok(respond::json(StatusCode::OK, &ValidateResponse { parsed_jwt: &claims }))
    };
    answer.await.unwrap_or_else(Status::into_response)
}

/// `GET /v1/auth/me`
pub(crate) async fn me(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
) -> Response {
    let answer = async {
        let authorization = shared.bodiless(&headers, Body::empty()).await?;
        let context = shared.context(authorization.project, &client);
        let (claims, session) = shared.read_refresh_token(&context, authorization.refresh_token(&headers)?)?;
        let caller = shared.engine.caller(&context, session).await;
        let caller = caller.map_err(|error| Status::of(Call::Session, error))?;
        if !caller.session.accepts(claims.generation, context.now) {
            return Err(Status::token_invalid());
        }
        let attributes = Attributes::read(&caller.account.identity);
        let user = User::new(&shared.engine, &caller.account.identity, &caller.account.addresses, &attributes);
        Ok(respond::json(StatusCode::OK, &user))
    };
    answer.await.unwrap_or_else(Status::into_response)
}

/// `POST /v1/auth/logout`
pub(crate) async fn logout(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    shared.ended(&client, &headers, body, Sessions::This).await.unwrap_or_else(Status::into_response)
}

/// `POST /v1/auth/logoutall`
pub(crate) async fn logout_all(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    shared.ended(&client, &headers, body, Sessions::OfIdentity).await.unwrap_or_else(Status::into_response)
}

/// `GET /v2/keys/{project}`
pub(crate) async fn keys(State(shared): State<Arc<Shared>>, project: Result<Path<String>, PathRejection>) -> Response {
    let keys = shared.key_set(project).await;
    keys.map_or_else(Status::into_response, |keys| respond::public(respond::JSON, keys.to_vec(), KEYS_KEPT))
}

/// `GET /v1/keys/{project}`: the keys alone.
pub(crate) async fn legacy_keys(
    State(shared): State<Arc<Shared>>,
    project: Result<Path<String>, PathRejection>,
) -> Response {
    let answer = async {
        let keys = shared.key_set(project).await?;
        let array = keys.strip_prefix(br#"{"keys":"#).and_then(|rest| rest.strip_suffix(b"}"));
        let array = array.ok_or_else(Status::internal)?.to_vec();
        Ok(respond::public(respond::JSON, array, KEYS_KEPT))
    };
    answer.await.unwrap_or_else(Status::into_response)
}

/// `GET /v1/mgmt/license`: how fast the SDKs may be.
pub(crate) async fn license(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let authorization = Authorization::read(shared.engine.projects(), &headers);
    let license = LicenseResponse { rate_limit_tier: "tier4" };
    authorization.map_or_else(Status::into_response, |_| respond::json(StatusCode::OK, &license))
}

/// The answer to who is not signed in, or not any more.
fn nobody() -> Response {
    respond::json(StatusCode::OK, &JwtResponse::default())
}

impl Shared {
    /// Begins a call that is all token: its body says nothing, but must be one. The project can sign when it is done.
    async fn bodiless<'a>(&'a self, headers: &'a HeaderMap, body: Body) -> Result<Authorization<'a>, Status> {
        let authorization = Authorization::read(self.engine.projects(), headers)?;
        let received = receive(headers, body).await?;
        let EmptyRequest {} = received.decode().map_err(|error| Status::of_body(&error))?;
        self.ready(authorization.project).await?;
        Ok(authorization)
    }

    async fn refreshed(&self, project: &Project, client: &Client, token: &str) -> Result<Response, Status> {
        let context = self.context(project, client);
        let (claims, session) = self.read_refresh_token(&context, token)?;
        let refreshed = self.engine.refresh(&context, session, claims.generation, self.rotation).await;
        let caller = refreshed.map_err(|error| Status::of(Call::Session, error))?;
        let signed = Signed {
            identity: &caller.account.identity,
            addresses: &caller.account.addresses,
            session: &caller.session,
            nsec: claims.nsec,
            is_first_seen: false,
        };
        let refresh_token = match self.rotation {
            Rotation::On => RefreshToken::Given,
            Rotation::Off => RefreshToken::Kept,
        };
        self.session_response(&context, signed, refresh_token)
    }

    async fn ended(
        &self,
        client: &Client,
        headers: &HeaderMap,
        body: Body,
        which: Sessions,
    ) -> Result<Response, Status> {
        let authorization = self.bodiless(headers, body).await?;
        let context = self.context(authorization.project, client);
        let (_, session) = self.read_refresh_token(&context, authorization.refresh_token(headers)?)?;
        let ended = self.engine.end_sessions(&context, session, which).await;
        ended.map_err(|error| Status::of(Call::Session, error))?;
        Ok(nobody())
    }

    /// The keys of the project that a path names; none is named by what is not UTF-8.
    async fn key_set(&self, project: Result<Path<String>, PathRejection>) -> Result<Arc<[u8]>, Status> {
        let Path(project) = project.map_err(|_| Status::no_such_keys())?;
        let project = self.engine.projects().get(&ProjectId::new(&project)).ok_or_else(Status::no_such_keys)?;
        self.ready(project).await?;
        Ok(self.engine.jwks(&project.id, ALGORITHM))
    }
}
