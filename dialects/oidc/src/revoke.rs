//! Revocation (RFC 7009): an application gives back what it was granted.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use engine::{Context, Error, SessionId, Sessions};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use web::hand_over::access_claims;
use web::{Accepts, Client, Received, Text, respond};

use crate::Shared;
use crate::client::authenticate;
use crate::error::OAuthError;
use crate::grant::RefreshToken;

/// A revocation request. `token_type_hint` is not needed: the two kinds of token cannot be mistaken for each other.
#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow, default)]
    token: Option<Text<'a>>,
    #[serde(borrow, default)]
    client_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    client_secret: Option<Text<'a>>,
}

/// `POST /oauth/v2/revoke`
pub(crate) async fn revoke(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    shared.revoke(&client, &headers, body).await.unwrap_or_else(OAuthError::into_response)
}

impl Shared {
    async fn revoke(&self, client: &Client, headers: &HeaderMap, body: Body) -> Result<Response, OAuthError> {
        let received =
            Received::read(Accepts::Form, headers, body).await.map_err(|error| OAuthError::of_body(&error))?;
        let request: Request<'_> = received.decode().map_err(|error| OAuthError::of_body(&error))?;
        let (id, secret) = (request.client_id.as_deref(), request.client_secret.as_deref());
        let application = authenticate(&self.applications, headers, id, secret)?;
        let token = request.token.as_deref().ok_or(OAuthError::invalid_request("token is missing"))?;
        self.ready().await?;
        let context = self.context(client);
        // A token that is worth nothing is as good as revoked (RFC 7009, 2.2).
        let Some((session, client_id)) = self.session_of(&context, token) else {
            return Ok(respond::empty(StatusCode::OK));
        };
        if client_id != application.id {
            return Err(OAuthError::invalid_grant("the token was made for another client"));
        }
        match self.engine.end_sessions(&context, session, Sessions::This).await {
            Ok(()) | Err(Error::Refused { .. }) => Ok(respond::empty(StatusCode::OK)),
            Err(fault @ Error::Failed(_)) => Err(OAuthError::of(fault)),
        }
    }

    /// The session of a token of either kind, and the application that it was made for.
    fn session_of(&self, context: &Context<'_>, token: &str) -> Option<(SessionId, String)> {
        if let Some(token) = RefreshToken::read(self, context, token) {
            return Some((SessionId::new(token.session), token.client_id));
        }
        let claims = access_claims(&self.engine, context, &self.origin, token).ok()?;
        Some((SessionId::new(claims.sid), claims.client_id))
    }
}
