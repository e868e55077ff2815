//! The session itself: read, changed, and turned into a JWT; and who is signed in.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use engine::{DeviceChange, SessionId, Sessions};
use http::{HeaderMap, Uri};
use serde::Serialize;
use web::body::query;

use crate::error::{Call, Status};
use crate::visit::{Data, Visit};
use crate::wire::{Decimal, Id, SignInChoice, Time, TokenQuery, given};
use crate::{ALGORITHM, Shared, receive};

/// `GET /session`
pub(crate) async fn session(visit: Visit) -> Response {
    visit.respond(Ok(Data::Session))
}

/// `GET /session/token`
pub(crate) async fn token(State(shared): State<Arc<Shared>>, visit: Visit, uri: Uri) -> Response {
    let outcome = shared.jwt(&visit, &uri).map(Data::Token);
    visit.respond(outcome)
}

/// `POST /session/switch-sign-in`
pub(crate) async fn switch_sign_in(
    State(shared): State<Arc<Shared>>,
    mut visit: Visit,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let outcome = shared.switch_sign_in(&mut visit, &uri, &headers, body).await;
    visit.respond(outcome)
}

/// `POST /session/sign-out`
pub(crate) async fn sign_out(
    State(shared): State<Arc<Shared>>,
    mut visit: Visit,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let outcome = shared.sign_out(&mut visit, &uri, &headers, body).await;
    visit.respond(outcome)
}

/// `GET /me`
pub(crate) async fn me(visit: Visit) -> Response {
    let outcome = visit.active().map(|_| Data::Me);
    visit.respond(outcome)
}

/// `GET /me/organization-memberships` and `GET /me/workspace-memberships`: there are neither, and the kit asks for both.
pub(crate) async fn memberships(visit: Visit) -> Response {
    let outcome = visit.active().map(|_| Data::Memberships);
    visit.respond(outcome)
}

/// A JWT, as `GET /session/token` hands it out.
#[derive(Serialize)]
pub(crate) struct SessionToken {
    token: String,
    /// Milliseconds: the kit keeps the token until then.
    expires: i64,
    expires_at: Time,
}

/// What the JWT says.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: Decimal,
    sid: Decimal,
    iat: i64,
    exp: i64,
    permissions: Permissions,
}

/// In organisations and workspaces, of which there are none.
#[derive(Serialize)]
struct Permissions {
    organization: [&'static str; 0],
    workspace: [&'static str; 0],
}

/// What a request that changes the session asks for: in the query, as the kit does, or in the body, as documented.
struct Chosen {
    sign_in: Option<SessionId>,
    everywhere: bool,
}

impl Chosen {
    async fn read(uri: &Uri, headers: &HeaderMap, body: Body) -> Result<Self, Status> {
        let received = receive(headers, body).await?;
        let body: SignInChoice = received.decode().map_err(|error| Status::of_body(&error))?;
        let query: SignInChoice = query(uri).map_err(|error| Status::of_body(&error))?;
        let sign_in = Id::given(body.sign_in_id).or(Id::given(query.sign_in_id)).map(SessionId::new);
        Ok(Self { sign_in, everywhere: body.all_sessions.or(query.all_sessions) == Some(true) })
    }
}

impl Shared {
    /// A JWT for who is signed in. No longer than his sign-in lasts.
    fn jwt(&self, visit: &Visit, uri: &Uri) -> Result<SessionToken, Status> {
        let query: TokenQuery<'_> = query(uri).map_err(|error| Status::of_body(&error))?;
        if given(query.template.as_ref()).is_some_and(|template| template != "default") {
            return Err(Status::no_such_template());
        }
        let caller = visit.active()?;
        let context = visit.context();
        let ends_at = context.now.plus(self.token_life).min(caller.session.expires_at);
        let claims = Claims {
            iss: &self.origin,
            sub: Decimal(caller.session.identity.get()),
            sid: Decimal(visit.device().get()),
            iat: context.now.seconds(),
            exp: ends_at.seconds(),
            permissions: Permissions { organization: [], workspace: [] },
        };
        let token = self.engine.sign(&context, ALGORITHM, &claims);
        let token = token.map_err(|error| Status::of(Call::Session, visit.now, error))?;
        Ok(SessionToken { token, expires: ends_at.seconds() * 1000, expires_at: Time(ends_at) })
    }

    async fn switch_sign_in(
        &self,
        visit: &mut Visit,
        uri: &Uri,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Data, Status> {
        let chosen = Chosen::read(uri, headers, body).await?;
        if visit.view().callers.is_empty() {
            return Err(Status::unauthenticated());
        }
        let sign_in = chosen.sign_in.ok_or_else(Status::no_such_sign_in)?;
        self.change(visit, DeviceChange::Activate(sign_in)).await
    }

    async fn sign_out(&self, visit: &mut Visit, uri: &Uri, headers: &HeaderMap, body: Body) -> Result<Data, Status> {
        visit.must_be_present()?;
        let chosen = Chosen::read(uri, headers, body).await?;
        let held = |id: &SessionId| visit.view().callers.iter().any(|caller| caller.session.id == *id);
        if chosen.sign_in.is_some_and(|id| !held(&id)) {
            return Err(Status::no_such_sign_in());
        }
        if visit.view().callers.is_empty() {
            return Ok(Data::Session);
        }
        if chosen.everywhere
            && let Some(which) = chosen.sign_in.or(visit.view().device.active)
        {
            let ended = self.engine.end_sessions(&visit.context(), which, Sessions::OfIdentity).await;
            ended.map_err(|error| Status::of(Call::Session, visit.now, error))?;
            visit.look_again().await?;
            if chosen.sign_in.is_some() || visit.view().callers.is_empty() {
                return Ok(Data::Session);
            }
        }
        self.change(visit, DeviceChange::SignOut(chosen.sign_in)).await
    }

    /// Changes the session. It is rotated then.
    async fn change(&self, visit: &mut Visit, change: DeviceChange) -> Result<Data, Status> {
        let changed = self.engine.change_device(&visit.context(), visit.device(), change).await;
        changed.map_err(|error| Status::of(Call::Session, visit.now, error))?;
        visit.look_again().await?;
        Ok(Data::Session)
    }
}
