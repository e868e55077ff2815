//! The bodies, named after the API's own schemas.
//!
//! Every field may be absent or `null`, which is the same; those that are not here are ignored.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use web::Text;

use crate::user::User;

/// `customClaims` of who signs in: unproven, and so below `nsec` in the tokens.
pub(crate) type CustomClaims = BTreeMap<String, Value>;

/// Starts a sign-in, or a sign-in or sign-up.
#[derive(Debug, Deserialize)]
pub(crate) struct SignInRequest<'a> {
    #[serde(borrow, default, rename = "loginId", alias = "identifier")]
    pub(crate) login_id: Option<Text<'a>>,
    #[serde(borrow, default, rename = "loginOptions", deserialize_with = "object")]
    pub(crate) login_options: Option<LoginOptions<'a>>,
}

/// Starts a sign-up.
#[derive(Debug, Deserialize)]
pub(crate) struct SignUpRequest<'a> {
    #[serde(borrow, default, rename = "loginId", alias = "identifier")]
    pub(crate) login_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) email: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "object")]
    pub(crate) user: Option<SignUpUser<'a>>,
    #[serde(borrow, default, rename = "loginOptions", deserialize_with = "object")]
    pub(crate) login_options: Option<LoginOptions<'a>>,
}

/// What somebody says about himself when he signs up.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SignUpUser<'a> {
    #[serde(borrow, default, alias = "displayName")]
    pub(crate) name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) given_name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) middle_name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) family_name: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) email: Option<Text<'a>>,
    #[serde(borrow, default, alias = "phoneNumber")]
    pub(crate) phone: Option<Text<'a>>,
}

/// How somebody wants to be signed in.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LoginOptions<'a> {
    #[serde(default)]
    pub(crate) stepup: Option<bool>,
    #[serde(default)]
    pub(crate) mfa: Option<bool>,
    #[serde(default)]
    pub(crate) custom_claims: Option<CustomClaims>,
    #[serde(borrow, default)]
    pub(crate) tenant_id: Option<Text<'a>>,
    #[serde(default)]
    pub(crate) revoke_other_sessions: Option<bool>,
}

/// Starts a change of address.
#[derive(Debug, Deserialize)]
pub(crate) struct UpdateEmailRequest<'a> {
    #[serde(borrow, default, rename = "loginId", alias = "identifier")]
    pub(crate) login_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) email: Option<Text<'a>>,
    #[serde(default, rename = "addToLoginIDs")]
    pub(crate) add_to_login_ids: Option<bool>,
    #[serde(default, rename = "onMergeUseExisting")]
    pub(crate) on_merge_use_existing: Option<bool>,
    #[serde(default)]
    pub(crate) mfa: Option<bool>,
}

/// Brings a code back. No `Debug`: it holds a code.
#[derive(Deserialize)]
pub(crate) struct VerifyRequest<'a> {
    #[serde(borrow, default, rename = "loginId", alias = "identifier")]
    pub(crate) login_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) code: Option<Text<'a>>,
}

/// A request whose fields are not looked at.
#[derive(Debug, Deserialize)]
pub(crate) struct EmptyRequest {}

/// Reads an object within the body, or nothing. A type of ours would be read from an array, too, member by member.
fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_option(ObjectVisitor(PhantomData))
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }
}

/// A code is on its way; or would be.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SendResponse<'a> {
    pub(crate) masked_email: &'a str,
    pub(crate) verification_attempts: u8,
}

/// A session and whose it is. The order of members is the published one.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JwtResponse<'a> {
    pub(crate) session_jwt: &'a str,
    pub(crate) refresh_jwt: &'a str,
    pub(crate) cookie_domain: &'static str,
    pub(crate) cookie_path: &'static str,
    pub(crate) cookie_max_age: i64,
    pub(crate) cookie_expiration: i64,
    pub(crate) user: Option<User<'a>>,
    pub(crate) first_seen: bool,
    /// Only single sign-on has one.
    pub(crate) idp_response: Option<Nothing>,
    pub(crate) session_expiration: i64,
    pub(crate) claims: Nothing,
    pub(crate) external_token: &'static str,
    #[serde(rename = "tenantSSOID")]
    pub(crate) tenant_sso_id: &'static str,
    pub(crate) trusted_device_jwt: &'static str,
    pub(crate) next_refresh_seconds: i64,
    pub(crate) cookie_name: &'static str,
    pub(crate) session_cookie_name: &'static str,
    pub(crate) session_cookie_domain: &'static str,
}

/// `{}`
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Nothing {}

/// What a session token says.
#[derive(Serialize)]
pub(crate) struct ValidateResponse<'a> {
    #[serde(rename = "parsedJWT")]
    pub(crate) parsed_jwt: &'a crate::token::SessionClaims,
}

/// What SDKs ask for when they are made.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LicenseResponse {
    pub(crate) rate_limit_tier: &'static str,
}
