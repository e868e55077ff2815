//! Somebody's own other sessions.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use engine::{Caller, Context, Error, Refusal, Session, Sessions};
use http::StatusCode;
use serde_json::json;
use uuid::Uuid;
use web::respond;

use super::{SessionBody, read_public_id};
use crate::Shared;
use crate::error::Status;
use crate::identity::Audience;
use crate::page::{Names, Numbered};
use crate::request::Asked;

/// `GET /sessions`: all others, the newest first.
pub(super) async fn mine(State(shared): State<Arc<Shared>>, asked: Asked) -> Response {
    let context = shared.context(&asked.client);
    let (caller, others) = match shared.others(&context, &asked).await {
        Ok(found) => found,
        Err(status) => return status.into_response(),
    };
    let page = Numbered::of(&asked.query);
    let shown = others.iter().rev().skip(page.skipped()).take(page.size);
    let bodies: Vec<_> =
        shown.map(|session| SessionBody::new(&shared, session, &caller.account, Audience::InList)).collect();
    let mut response = respond::json(StatusCode::OK, &bodies);
    page.put_links("/sessions", others.len(), Names::Both, response.headers_mut());
    response
}

/// `DELETE /sessions`
pub(super) async fn end_others(State(shared): State<Arc<Shared>>, asked: Asked) -> Response {
    let context = shared.context(&asked.client);
    let others = match shared.others(&context, &asked).await {
        Ok((_, others)) => others,
        Err(status) => return status.into_response(),
    };
    for session in &others {
        if let Err(status) = shared.end(&context, session).await {
            return status.into_response();
        }
    }
    respond::json(StatusCode::OK, &json!({"count": others.len()}))
}

/// `DELETE /sessions/{id}`: whatever is not one of his, or not any more, is ended as far as he is concerned.
pub(super) async fn end_one(State(shared): State<Arc<Shared>>, Path(id): Path<String>, asked: Asked) -> Response {
    let context = shared.context(&asked.client);
    let (caller, others) = match shared.others(&context, &asked).await {
        Ok(found) => found,
        Err(status) => return status.into_response(),
    };
    let session = read_public_id(&shared.engine, &id);
    if Uuid::try_parse(&id).is_err() || session == Some(caller.session.id) {
        // Who wants to leave himself logs out.
        return Status::bare(StatusCode::BAD_REQUEST).into_response();
    }
    if let Some(session) = others.iter().find(|other| Some(other.id) == session)
        && let Err(status) = shared.end(&context, session).await
    {
        return status.into_response();
    }
    let mut response = respond::empty(StatusCode::NO_CONTENT);
    response.headers_mut().insert(http::header::CONTENT_TYPE, respond::JSON);
    response
}

impl Shared {
    /// Who is signed in, and the other live sessions of whoever that is, the oldest first.
    async fn others(&self, context: &Context<'_>, asked: &Asked) -> Result<(Caller, Vec<Session>), Status> {
        let caller = self.signed_in(context, asked).await?;
        let mut sessions = self.engine.sessions(context, caller.account.identity.id).await.map_err(Status::of)?;
        sessions.retain(|session| session.id != caller.session.id);
        Ok((caller, sessions))
    }

    /// Ends a session, if that has not been done meanwhile.
    pub(crate) async fn end(&self, context: &Context<'_>, session: &Session) -> Result<(), Status> {
        match self.engine.end_sessions(context, session.id, Sessions::This).await {
            Ok(()) | Err(Error::Refused { refusal: Refusal::SessionEnded, flow: _ }) => Ok(()),
            Err(error) => Err(Status::of(error)),
        }
    }
}
