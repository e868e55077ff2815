//! What a grant is good for: an access token, an ID token, a refresh token.

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::{Context, Session};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use web::hand_over::{AccessClaims, AccessKind, sha256};
use web::respond;

use crate::client::Application;
use crate::error::OAuthError;
use crate::grant::RefreshToken;
use crate::{ALGORITHM, Shared, scope};

/// What an ID token says (OpenID Connect Core, 2). It reads from no access token: `azp` and `at_hash` see to that.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct IdClaims {
    pub(crate) iss: String,
    #[serde(serialize_with = "in_decimal", deserialize_with = "of_decimal")]
    pub(crate) sub: i64,
    pub(crate) aud: Vec<String>,
    pub(crate) azp: String,
    pub(crate) client_id: String,
    pub(crate) exp: i64,
    pub(crate) iat: i64,
    pub(crate) auth_time: i64,
    pub(crate) amr: Vec<String>,
    #[serde(serialize_with = "in_decimal", deserialize_with = "of_decimal")]
    pub(crate) sid: i64,
    pub(crate) at_hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nonce: Option<String>,
}

/// What tokens are made for.
pub(crate) struct TokenTerms<'a> {
    pub(crate) application: &'a Application,
    pub(crate) session: &'a Session,
    /// What the access token is good for.
    pub(crate) scope: &'a str,
    /// What was granted at first, which a refresh token goes on with.
    pub(crate) granted_scope: &'a str,
    pub(crate) nonce: Option<&'a str>,
    pub(crate) auth_time: i64,
}

#[derive(Serialize)]
struct TokenResponse<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: i64,
    scope: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
}

impl Shared {
    /// The answer of the token endpoint.
    pub(crate) fn tokens(&self, context: &Context<'_>, terms: &TokenTerms<'_>) -> Result<Response, OAuthError> {
        let TokenTerms { application, session, scope, granted_scope, nonce, auth_time } = *terms;
        let issued_at = context.now.seconds();
        let expires_at = context.now.plus(self.access_token_life).min(session.expires_at).seconds();
        let access_claims = AccessClaims {
            typ: AccessKind::AccessToken,
            iss: self.origin.clone(),
            sub: session.identity.get(),
            aud: vec![context.project.id.as_str().to_owned()],
            client_id: application.id.clone(),
            scope: scope.to_owned(),
            exp: expires_at,
            iat: issued_at,
            auth_time,
            jti: self.engine.random_uuid().to_string(),
            sid: session.id.get(),
        };
        let access_token = self.sign(context, &access_claims)?;
        let id_token = if scope::contains(scope, scope::OPENID) {
            let claims = IdClaims {
                iss: access_claims.iss,
                sub: access_claims.sub,
                aud: vec![application.id.clone()],
                azp: application.id.clone(),
                client_id: access_claims.client_id,
                exp: expires_at,
                iat: issued_at,
                auth_time,
                amr: vec!["otp".to_owned()],
                sid: access_claims.sid,
                at_hash: half_hash(&access_token),
                nonce: nonce.map(str::to_owned),
            };
            Some(self.sign(context, &claims)?)
        } else {
            None
        };
        let refresh_token = if scope::contains(granted_scope, scope::OFFLINE_ACCESS) {
            let token = RefreshToken {
                session: session.id.get(),
                generation: session.generation,
                client_id: application.id.clone(),
                scope: granted_scope.to_owned(),
                auth_time,
            };
            Some(token.sealed(self, context)?)
        } else {
            None
        };
        let body = TokenResponse {
            access_token: &access_token,
            token_type: "Bearer",
            expires_in: expires_at - issued_at,
            scope,
            id_token: id_token.as_deref(),
            refresh_token: refresh_token.as_deref(),
        };
        let mut response = respond::json(StatusCode::OK, &body);
        // RFC 6749, 5.1, wants both.
        response.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        Ok(response)
    }

    fn sign<C: Serialize>(&self, context: &Context<'_>, claims: &C) -> Result<String, OAuthError> {
        self.engine.sign(context, ALGORITHM, claims).map_err(OAuthError::of)
    }
}

/// OpenID Connect Core, 3.1.3.6: the left half of the digest that the token's algorithm goes with.
fn half_hash(token: &str) -> String {
    let whole = sha256(token.as_bytes());
    let (half, _) = whole.split_at(whole.len() / 2);
    URL_SAFE_NO_PAD.encode(half)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
fn in_decimal<S: Serializer>(number: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

fn of_decimal<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom("not a decimal number"))
}
