//! The end of a session, at the application's wish (OpenID Connect RP-Initiated Logout 1.0).
//!
//! An ID token shows for whom the application speaks: its session ends here and now. Whether the person is signed out of this server,
//! too, is asked by the pages, unless it is the same person.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use engine::{Error, SessionId, Sessions, Times};
use http::{HeaderMap, Uri};
use serde::Deserialize;
use web::hand_over::{SignOut, with_query};
use web::{Accepts, Client, Received, Text, respond};

use crate::error::OAuthError;
use crate::page::Mishap;
use crate::token::IdClaims;
use crate::{ALGORITHM, Shared, uri};

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow, default)]
    id_token_hint: Option<Text<'a>>,
    #[serde(borrow, default)]
    client_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    post_logout_redirect_uri: Option<Text<'a>>,
    #[serde(borrow, default)]
    state: Option<Text<'a>>,
    #[serde(borrow, default)]
    ui_locales: Option<Text<'a>>,
}

/// `GET /oidc/v1/end_session`
pub(crate) async fn by_get(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let answer = match web::body::query(&uri) {
        Ok(request) => shared.end_session(&client, &request).await,
        Err(_) => Err(Mishap::BadRequest),
    };
    answer.unwrap_or_else(|mishap| shared.pages.show(&headers, mishap))
}

/// `POST /oidc/v1/end_session`
pub(crate) async fn by_post(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        let received = Received::read(Accepts::Form, &headers, body).await.map_err(|_| Mishap::BadRequest)?;
        let request = received.decode().map_err(|_| Mishap::BadRequest)?;
        shared.end_session(&client, &request).await
    };
    answer.await.unwrap_or_else(|mishap| shared.pages.show(&headers, mishap))
}

impl Shared {
    async fn end_session(&self, client: &Client, request: &Request<'_>) -> Result<Response, Mishap> {
        let ours = |error| Mishap::Unavailable(OAuthError::of(error).status());
        self.ready().await.map_err(|error| Mishap::Unavailable(error.status()))?;
        let context = self.context(client);
        let hint: Option<IdClaims> = match request.id_token_hint.as_deref() {
            None => None,
            Some(hint) => {
                // It may be over: who signs out has often been signed in for long.
                let claims = self.engine.authenticate(&context, ALGORITHM, hint, Times::DoNotCount).ok();
                Some(claims.filter(|claims: &IdClaims| claims.iss == self.origin).ok_or(Mishap::BadSignOut)?)
            }
        };
        let client_id = match (request.client_id.as_deref(), &hint) {
            (Some(id), Some(hint)) if id != hint.azp => return Err(Mishap::BadSignOut),
            (id, hint) => id.or(hint.as_ref().map(|hint| hint.azp.as_str())),
        };
        let return_to = match request.post_logout_redirect_uri.as_deref() {
            None => None,
            Some(uri) => {
                let application = client_id.and_then(|id| self.applications.get(id)).ok_or(Mishap::BadSignOut)?;
                Some(uri).filter(|uri| application.is_left_to(uri)).ok_or(Mishap::BadSignOut)?.into()
            }
        };
        if let Some(hint) = &hint {
            match self.engine.end_sessions(&context, SessionId::new(hint.sid), Sessions::This).await {
                // It may be over already.
                Ok(()) | Err(Error::Refused { .. }) => {}
                Err(fault @ Error::Failed(_)) => return Err(ours(fault)),
            }
        }
        let state: Vec<_> = request.state.as_deref().map(|state| ("state", state)).into_iter().collect();
        let sign_out = SignOut {
            begun_at: context.now,
            identity: hint.map(|hint| hint.sub),
            leads_to: return_to.map(uri::leads_to),
            return_to: return_to.map(|uri: &str| with_query(uri, &state)),
            locales: request.ui_locales.as_deref().map(str::to_owned),
        };
        let url = sign_out.url(&self.engine, &context, &self.origin).map_err(ours)?;
        respond::see_other(&url).map_err(|_| Mishap::BadRequest)
    }
}
