//! What clients find out by themselves: the server's metadata, and its keys.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use web::respond;

use crate::error::OAuthError;
use crate::{ALGORITHM, Shared, scope};

/// How long clients may keep either.
const KEPT: Duration = Duration::from_mins(5);

/// The metadata (OpenID Connect Discovery, 3; RFC 8414, 2): true in every member, because clients hold us to it.
#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "the standard has them")]
struct Metadata<'a> {
    issuer: &'a str,
    authorization_endpoint: String,
    token_endpoint: String,
    userinfo_endpoint: String,
    revocation_endpoint: String,
    end_session_endpoint: String,
    jwks_uri: String,
    scopes_supported: [&'a str; 4],
    response_types_supported: [&'a str; 1],
    response_modes_supported: [&'a str; 1],
    grant_types_supported: [&'a str; 2],
    subject_types_supported: [&'a str; 1],
    id_token_signing_alg_values_supported: [&'a str; 1],
    token_endpoint_auth_methods_supported: [&'a str; 3],
    revocation_endpoint_auth_methods_supported: [&'a str; 3],
    code_challenge_methods_supported: [&'a str; 1],
    prompt_values_supported: [&'a str; 5],
    claims_supported: &'a [&'a str],
    ui_locales_supported: [&'a str; 1],
    claims_parameter_supported: bool,
    request_parameter_supported: bool,
    request_uri_parameter_supported: bool,
    authorization_response_iss_parameter_supported: bool,
}

const CLAIMS: [&str; 21] = [
    "iss",
    "sub",
    "aud",
    "azp",
    "client_id",
    "exp",
    "iat",
    "auth_time",
    "amr",
    "sid",
    "at_hash",
    "nonce",
    "name",
    "given_name",
    "family_name",
    "nickname",
    "picture",
    "locale",
    "preferred_username",
    "email",
    "email_verified",
];

const AUTHENTICATION: [&str; 3] = ["none", "client_secret_basic", "client_secret_post"];

/// The metadata, ready-made.
pub(crate) struct Discovery(Vec<u8>);

impl Discovery {
    pub(crate) fn new(origin: &str) -> Self {
        let metadata = Metadata {
            issuer: origin,
            authorization_endpoint: format!("{origin}/oauth/v2/authorize"),
            token_endpoint: format!("{origin}/oauth/v2/token"),
            userinfo_endpoint: format!("{origin}/oidc/v1/userinfo"),
            revocation_endpoint: format!("{origin}/oauth/v2/revoke"),
            end_session_endpoint: format!("{origin}/oidc/v1/end_session"),
            jwks_uri: format!("{origin}/oauth/v2/keys"),
            scopes_supported: scope::SUPPORTED,
            response_types_supported: ["code"],
            response_modes_supported: ["query"],
            grant_types_supported: ["authorization_code", "refresh_token"],
            subject_types_supported: ["public"],
            id_token_signing_alg_values_supported: [ALGORITHM.name()],
            token_endpoint_auth_methods_supported: AUTHENTICATION,
            revocation_endpoint_auth_methods_supported: AUTHENTICATION,
            code_challenge_methods_supported: ["S256"],
            prompt_values_supported: ["none", "login", "select_account", "create", "consent"],
            claims_supported: &CLAIMS,
            ui_locales_supported: ["en"],
            claims_parameter_supported: false,
            request_parameter_supported: false,
            request_uri_parameter_supported: false,
            authorization_response_iss_parameter_supported: true,
        };
        // A struct of strings and flags always serialises.
        Self(serde_json::to_vec(&metadata).unwrap_or_default())
    }
}

/// `GET /.well-known/openid-configuration`
pub(crate) async fn document(State(shared): State<Arc<Shared>>) -> Response {
    respond::public(respond::JSON, shared.discovery.0.clone(), KEPT)
}

/// `GET /oauth/v2/keys`
pub(crate) async fn keys(State(shared): State<Arc<Shared>>) -> Response {
    match shared.ready().await {
        Ok(()) => respond::public(respond::JSON, shared.engine.jwks(&shared.project.id, ALGORITHM).to_vec(), KEPT),
        Err(error) => OAuthError::into_response(error),
    }
}
