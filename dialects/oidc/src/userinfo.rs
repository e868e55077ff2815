//! Userinfo: what an access token lets its holder know.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use engine::{Refusal, SessionId};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use web::hand_over::access_claims;
use web::{Accepts, Client, Received, Text, respond};

use crate::claims::UserInfo;
use crate::error::OAuthError;
use crate::{Shared, scope};

/// A bearer in a form (RFC 6750, 2.2).
#[derive(Deserialize)]
struct Form<'a> {
    #[serde(borrow, default)]
    access_token: Option<Text<'a>>,
}

/// `GET /oidc/v1/userinfo`
pub(crate) async fn by_get(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
) -> Response {
    shared.user_info(&client, bearer(&headers)).await.unwrap_or_else(OAuthError::into_response)
}

/// `POST /oidc/v1/userinfo`
pub(crate) async fn by_post(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        let received =
            Received::read(Accepts::Form, &headers, body).await.map_err(|error| OAuthError::of_body(&error))?;
        let form: Form<'_> = received.decode().map_err(|error| OAuthError::of_body(&error))?;
        match (bearer(&headers), form.access_token.as_deref()) {
            (Some(_), Some(_)) => Err(OAuthError::invalid_request("the access token is given twice")),
            (header, form) => shared.user_info(&client, header.or(form)).await,
        }
    };
    answer.await.unwrap_or_else(OAuthError::into_response)
}

impl Shared {
    async fn user_info(&self, client: &Client, token: Option<&str>) -> Result<Response, OAuthError> {
        let token = token.ok_or(OAuthError::token_missing())?;
        self.ready().await?;
        let context = self.context(client);
        let claims = access_claims(&self.engine, &context, &self.origin, token).map_err(OAuthError::of_bearer)?;
        let caller = self.engine.caller(&context, SessionId::new(claims.sid)).await.map_err(OAuthError::of_bearer)?;
        if caller.account.identity.id.get() != claims.sub {
            return Err(OAuthError::of_bearer(Refusal::TokenInvalid.into()));
        }
        if !scope::contains(&claims.scope, scope::OPENID) {
            return Err(OAuthError::insufficient_scope());
        }
        Ok(respond::json(StatusCode::OK, &UserInfo::of(&caller.account, &claims.scope)))
    }
}

/// The token of `authorization: Bearer`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
