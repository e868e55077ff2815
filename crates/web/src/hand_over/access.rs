//! Access tokens: what the authorization server signs and an API reads.

use engine::{Algorithm, Context, Engine, Refusal, Times};
use serde::{Deserialize, Serialize};

/// What an access token says (after RFC 9068). It reads from no other kind of token: `typ` sees to that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// What it is.
    pub typ: AccessKind,
    /// Who made it: the public origin.
    pub iss: String,
    /// Whose it is: an [`engine::IdentityId`]; on the wire a decimal string.
    #[serde(with = "decimal")]
    pub sub: i64,
    /// Where it is good: the project's id.
    pub aud: Vec<String>,
    /// The application it was made for.
    pub client_id: String,
    /// What was granted, separated by spaces.
    pub scope: String,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
    /// When it was made.
    pub iat: i64,
    /// When the person signed in.
    pub auth_time: i64,
    /// Its own name, never kept.
    pub jti: String,
    /// Its session, without which it is worth nothing: an [`engine::SessionId`]; on the wire a decimal string.
    #[serde(with = "decimal")]
    pub sid: i64,
}

/// The `typ` of an access token, and no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessKind {
    /// As RFC 9068 names it.
    #[serde(rename = "at+jwt")]
    AccessToken,
}

/// The claims of an access token that `issuer` made for the project of `context`. No I/O: whether its session stands is
/// another question, for [`Engine::caller`].
///
/// # Refusals
/// `TokenInvalid`.
pub fn access_claims(
    engine: &Engine,
    context: &Context<'_>,
    issuer: &str,
    token: &str,
) -> engine::Result<AccessClaims> {
    let claims: AccessClaims = engine.authenticate(context, Algorithm::Rs256, token, Times::Count)?;
    let is_for_here = claims.iss == issuer && claims.aud.iter().any(|aud| aud == context.project.id.as_str());
    if is_for_here { Ok(claims) } else { Err(Refusal::TokenInvalid.into()) }
}

/// 63-bit numbers as decimal strings: JSON's numbers lose their last digits in browsers.
mod decimal {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it over so")]
    pub(super) fn serialize<S: Serializer>(number: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(|_| D::Error::custom("not a decimal number"))
    }
}
