//! The token endpoint: a code or a refresh token for an access token.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::{Context, Rotation, SessionId, SessionTerms, Taking};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use web::hand_over::{open, seal, sha256};
use web::{Accepts, Client, Received, Text};

use crate::callback::{CODE, Grant, code_binding};
use crate::client::{Application, authenticate};
use crate::error::OAuthError;
use crate::token::TokenTerms;
use crate::{Shared, scope};

/// A token request. What is not in here is ignored.
#[derive(Deserialize)]
struct Request<'a> {
    #[serde(borrow, default)]
    grant_type: Option<Text<'a>>,
    #[serde(borrow, default)]
    client_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    client_secret: Option<Text<'a>>,
    #[serde(borrow, default)]
    code: Option<Text<'a>>,
    #[serde(borrow, default)]
    redirect_uri: Option<Text<'a>>,
    #[serde(borrow, default)]
    code_verifier: Option<Text<'a>>,
    #[serde(borrow, default)]
    refresh_token: Option<Text<'a>>,
    #[serde(borrow, default)]
    scope: Option<Text<'a>>,
}

/// The surface's note of a session.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SessionNote {
    pub(crate) client_id: String,
}

/// What a refresh token says. It is sealed, so that nobody else can make or read one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RefreshToken {
    pub(crate) session: i64,
    pub(crate) generation: u32,
    pub(crate) client_id: String,
    pub(crate) scope: String,
    pub(crate) auth_time: i64,
}

impl RefreshToken {
    const PLACE: &str = "oidc.refresh_token";

    fn place(context: &Context<'_>) -> String {
        format!("{}/{}", Self::PLACE, context.project.id)
    }

    pub(crate) fn sealed(&self, shared: &Shared, context: &Context<'_>) -> Result<String, OAuthError> {
        seal(&shared.engine, &Self::place(context), self).map_err(OAuthError::of)
    }

    pub(crate) fn read(shared: &Shared, context: &Context<'_>, text: &str) -> Option<Self> {
        open(&shared.engine, &Self::place(context), text)
    }
}

/// `POST /oauth/v2/token`
pub(crate) async fn token(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    shared.token(&client, &headers, body).await.unwrap_or_else(OAuthError::into_response)
}

impl Shared {
    async fn token(&self, client: &Client, headers: &HeaderMap, body: Body) -> Result<Response, OAuthError> {
        let received =
            Received::read(Accepts::Form, headers, body).await.map_err(|error| OAuthError::of_body(&error))?;
        let request: Request<'_> = received.decode().map_err(|error| OAuthError::of_body(&error))?;
        let (id, secret) = (request.client_id.as_deref(), request.client_secret.as_deref());
        let application = authenticate(&self.applications, headers, id, secret)?;
        self.ready().await?;
        let context = self.context(client);
        match request.grant_type.as_deref() {
            None | Some("") => Err(OAuthError::invalid_request("grant_type is missing")),
            Some("authorization_code") => self.by_code(&context, application, &request).await,
            Some("refresh_token") => self.by_refresh_token(&context, application, &request).await,
            Some(_) => Err(OAuthError::unsupported_grant_type()),
        }
    }

    async fn by_code(
        &self,
        context: &Context<'_>,
        application: &Application,
        request: &Request<'_>,
    ) -> Result<Response, OAuthError> {
        let code = request.code.as_deref().ok_or(OAuthError::invalid_request("code is missing"))?;
        let redirect_uri =
            request.redirect_uri.as_deref().ok_or(OAuthError::invalid_request("redirect_uri is missing"))?;
        let code_challenge = match request.code_verifier.as_deref() {
            Some(verifier) => URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes())),
            None if application.is_public() => return Err(OAuthError::invalid_request("code_verifier is missing")),
            // Right only where no challenge was sent.
            None => String::new(),
        };
        let memo = SessionNote { client_id: application.id.clone() };
        let memo = serde_json::to_string(&memo).map_err(|_| OAuthError::internal())?;
        let taking = Taking {
            kind: CODE,
            ticket: code,
            binding: code_binding(&application.id, redirect_uri, &code_challenge),
            session: Some(SessionTerms { life: self.session_life, memo: Some(memo) }),
        };
        let taken = self.engine.take_ticket(context, taking).await.map_err(OAuthError::of)?;
        let grant: Grant = serde_json::from_slice(taken.body.expose()).map_err(|_| OAuthError::internal())?;
        let session = taken.session.ok_or_else(OAuthError::internal)?;
        self.tokens(
            context,
            &TokenTerms {
                application,
                session: &session,
                scope: &grant.scope,
                granted_scope: &grant.scope,
                nonce: grant.nonce.as_deref(),
                auth_time: grant.auth_time,
            },
        )
    }

    async fn by_refresh_token(
        &self,
        context: &Context<'_>,
        application: &Application,
        request: &Request<'_>,
    ) -> Result<Response, OAuthError> {
        let token = request.refresh_token.as_deref().ok_or(OAuthError::invalid_request("refresh_token is missing"))?;
        let worthless = OAuthError::invalid_grant("the refresh token is wrong, or was made for another client");
        let token = RefreshToken::read(self, context, token).ok_or(worthless)?;
        if token.client_id != application.id {
            return Err(worthless);
        }
        let scope = match request.scope.as_deref() {
            None => token.scope.clone(),
            Some(asked) => {
                let narrowed = scope::narrowed(&token.scope, asked);
                narrowed.ok_or(OAuthError::invalid_scope("more was asked for than was granted"))?
            }
        };
        let session = SessionId::new(token.session);
        let refreshed = self.engine.refresh(context, session, token.generation, Rotation::On).await;
        let caller = refreshed.map_err(OAuthError::of)?;
        self.tokens(
            context,
            &TokenTerms {
                application,
                session: &caller.session,
                scope: &scope,
                granted_scope: &token.scope,
                nonce: None,
                auth_time: token.auth_time,
            },
        )
    }
}
