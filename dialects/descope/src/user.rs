//! The user object, and the attributes it is made of.

use engine::{Engine, Identity, IdentityState, VerifiableAddress};
use serde::{Deserialize, Serialize};

use crate::error::Status;
use crate::wire::{Nothing, SignUpUser};

/// The longest name, in characters.
const LONGEST_NAME: usize = 256;

/// What is known of somebody besides his addresses, as it lies in the identity's traits. None of it is proved.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Attributes {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) given_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) middle_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) family_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) phone: String,
}

impl Attributes {
    /// What somebody says about himself.
    pub(crate) fn of(user: &SignUpUser<'_>) -> Result<Self, Status> {
        let name = |field: &str, text: Option<&str>| match text.unwrap_or_default() {
            text if text.chars().count() > LONGEST_NAME => Err(Status::field(field, "is too long")),
            text => Ok(text.to_owned()),
        };
        let phone = user.phone.as_deref().unwrap_or_default().trim();
        if !phone.is_empty() && !is_phone(phone) {
            return Err(Status::field("phone", "must be a valid phone number"));
        }
        Ok(Self {
            name: name("name", user.name.as_deref())?,
            given_name: name("givenName", user.given_name.as_deref())?,
            middle_name: name("middleName", user.middle_name.as_deref())?,
            family_name: name("familyName", user.family_name.as_deref())?,
            phone: phone.to_owned(),
        })
    }

    /// As they lie in an identity's traits. Another surface may have written those, and other things into them.
    pub(crate) fn read(identity: &Identity) -> Self {
        serde_json::from_str(&identity.traits).unwrap_or_default()
    }

    /// As text, or nothing where nothing is known.
    pub(crate) fn to_json(&self) -> Result<Option<String>, Status> {
        if *self == Self::default() {
            return Ok(None);
        }
        serde_json::to_string(self).map(Some).map_err(|_| Status::internal())
    }
}

/// What the JavaScript SDKs take for a phone number: a plus and 4 to 15 digits, the first of which is not zero.
fn is_phone(text: &str) -> bool {
    let Some(digits) = text.strip_prefix('+') else { return false };
    (4..=15).contains(&digits.len()) && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The user object. Typed clients fail on members that are missing or `null`, so every one is there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, clippy::struct_field_names, reason = "the published object has these")]
pub(crate) struct User<'a> {
    login_ids: Vec<&'a str>,
    user_id: String,
    name: &'a str,
    email: &'a str,
    phone: &'a str,
    verified_email: bool,
    verified_phone: bool,
    role_names: [&'a str; 0],
    user_tenants: [Nothing; 0],
    status: &'static str,
    external_ids: Vec<&'a str>,
    picture: &'a str,
    test: bool,
    custom_attributes: Nothing,
    created_time: i64,
    #[serde(rename = "TOTP")]
    totp: bool,
    #[serde(rename = "SAML")]
    saml: bool,
    #[serde(rename = "OAuth")]
    oauth: Nothing,
    webauthn: bool,
    password: bool,
    sso_app_ids: [&'a str; 0],
    given_name: &'a str,
    middle_name: &'a str,
    family_name: &'a str,
    editable: bool,
    #[serde(rename = "SCIM")]
    scim: bool,
    push: bool,
    permissions: [&'a str; 0],
    #[serde(rename = "OIDC")]
    oidc: bool,
    consent_expiration: i64,
}

impl<'a> User<'a> {
    /// The user that `identity` with `addresses` (the oldest first) is.
    pub(crate) fn new(
        engine: &Engine,
        identity: &Identity,
        addresses: &'a [VerifiableAddress],
        attributes: &'a Attributes,
    ) -> Self {
        let login_ids: Vec<_> = addresses.iter().map(|own| own.address.as_str()).collect();
        let newest = addresses.last();
        let is_proven = addresses.iter().any(|own| own.verified_at.is_some());
        let status = match identity.state {
            IdentityState::Inactive => "disabled",
            IdentityState::Active if is_proven => "enabled",
            IdentityState::Active => "invited",
        };
        Self {
            external_ids: login_ids.clone(),
            login_ids,
            user_id: user_id(engine, identity),
            name: &attributes.name,
            email: newest.map_or("", |own| own.address.as_str()),
            phone: &attributes.phone,
            verified_email: newest.is_some_and(|own| own.verified_at.is_some()),
            verified_phone: false,
            role_names: [],
            user_tenants: [],
            status,
            picture: "",
            test: false,
            custom_attributes: Nothing {},
            created_time: identity.created_at.seconds(),
            totp: false,
            saml: false,
            oauth: Nothing {},
            webauthn: false,
            password: false,
            sso_app_ids: [],
            given_name: &attributes.given_name,
            middle_name: &attributes.middle_name,
            family_name: &attributes.family_name,
            editable: true,
            scim: false,
            push: false,
            permissions: [],
            oidc: false,
            consent_expiration: 0,
        }
    }
}

/// `U` and 27 base62 digits, as long as the original's.
pub(crate) fn user_id(engine: &Engine, identity: &Identity) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut rest = engine.public_id("descope.user", identity.id.get()).as_u128();
    let mut text = [b'0'; 28];
    for place in text.iter_mut().rev() {
        let digit = usize::try_from(rest % 62).unwrap_or_default();
        *place = DIGITS.get(digit).copied().unwrap_or(b'0');
        rest /= 62;
    }
    // 128 bits are 22 digits: the first place is free.
    text.iter().skip(1).fold(String::from("U"), |id, digit| id + char::from(*digit).encode_utf8(&mut [0; 4]))
}
