//! The user object, and the addresses in it.

use engine::{Account, AddressId, IdentityState, VerifiableAddress};
use serde::{Deserialize, Serialize};

use crate::error::Status;
use crate::wire::{Decimal, Time};

/// The longest name, in characters.
const LONGEST_NAME: usize = 256;

/// What is known of somebody besides his addresses, as it lies in the identity's traits. None of it is proved.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Names {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) given_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) family_name: String,
}

impl Names {
    /// What somebody says about himself.
    pub(crate) fn of(first_name: Option<&str>, last_name: Option<&str>) -> Result<Self, Status> {
        let name = |field: &str, text: Option<&str>| match text.unwrap_or_default() {
            text if text.chars().count() > LONGEST_NAME => Err(Status::invalid(format!("{field} is too long"))),
            text => Ok(text.to_owned()),
        };
        Ok(Self { given_name: name("first_name", first_name)?, family_name: name("last_name", last_name)? })
    }

    /// As they lie in an identity's traits or a flow's attributes. Another surface may have written those, and other things into them.
    pub(crate) fn read(json: &str) -> Self {
        serde_json::from_str(json).unwrap_or_default()
    }

    /// As text, or nothing where nothing is known.
    pub(crate) fn to_json(&self) -> Result<Option<String>, Status> {
        if *self == Self::default() {
            return Ok(None);
        }
        serde_json::to_string(self).map(Some).map_err(|_| Status::internal())
    }
}

/// `{}`
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Nothing {}

/// The user object. The kit reads members without looking whether they are there, so every one is.
#[derive(Clone, Serialize)]
#[expect(clippy::struct_excessive_bools, clippy::struct_field_names, reason = "the published object has these")]
pub(crate) struct User<'a> {
    id: Decimal,
    created_at: Time,
    updated_at: Time,
    first_name: String,
    last_name: String,
    username: &'static str,
    availability: &'static str,
    has_profile_picture: bool,
    profile_picture_url: &'static str,
    schema_version: &'static str,
    disabled: bool,
    primary_email_address_id: Option<Decimal>,
    primary_phone_number_id: Option<Decimal>,
    primary_email_address: Option<EmailAddress<'a>>,
    primary_phone_number: Option<Nothing>,
    second_factor_policy: &'static str,
    user_email_addresses: Vec<EmailAddress<'a>>,
    user_phone_numbers: [Nothing; 0],
    social_connections: [Nothing; 0],
    segments: [Nothing; 0],
    user_authenticator: Option<Nothing>,
    has_password: bool,
    has_passkeys: bool,
    backup_codes_generated: bool,
    public_metadata: Nothing,
    active_organization_membership_id: Option<Decimal>,
    active_workspace_membership_id: Option<Decimal>,
    last_password_reset_at: Option<Time>,
}

impl<'a> User<'a> {
    /// The user that `account` is.
    pub(crate) fn new(account: &'a Account) -> Self {
        let identity = &account.identity;
        let Names { given_name, family_name } = Names::read(&identity.traits);
        let primary = primary(&account.addresses);
        let emails: Vec<_> =
            account.addresses.iter().map(|own| EmailAddress::new(own, Some(own.id) == primary)).collect();
        Self {
            id: Decimal(identity.id.get()),
            created_at: Time(identity.created_at),
            updated_at: Time(identity.updated_at),
            first_name: given_name,
            last_name: family_name,
            username: "",
            availability: "away",
            has_profile_picture: false,
            profile_picture_url: "",
            schema_version: "v1",
            disabled: identity.state == IdentityState::Inactive,
            primary_email_address_id: primary.map(|id| Decimal(id.get())),
            primary_phone_number_id: None,
            primary_email_address: emails.iter().find(|email| email.is_primary).cloned(),
            primary_phone_number: None,
            second_factor_policy: "none",
            user_email_addresses: emails,
            user_phone_numbers: [],
            social_connections: [],
            segments: [],
            user_authenticator: None,
            has_password: false,
            has_passkeys: false,
            backup_codes_generated: false,
            public_metadata: Nothing {},
            active_organization_membership_id: None,
            active_workspace_membership_id: None,
            last_password_reset_at: None,
        }
    }
}

/// The primary address: the oldest that was proved.
fn primary(addresses: &[VerifiableAddress]) -> Option<AddressId> {
    addresses.iter().find(|own| own.verified_at.is_some()).map(|own| own.id)
}

/// An address of a user, with each name that a source has for the same thing.
#[derive(Clone, Serialize)]
#[expect(clippy::struct_field_names, reason = "the published objects have these")]
struct EmailAddress<'a> {
    id: Decimal,
    email: &'a str,
    email_address: &'a str,
    is_primary: bool,
    primary: bool,
    verified: bool,
    verified_at: Option<Time>,
    verification_strategy: &'static str,
    created_at: Time,
    updated_at: Time,
}

impl<'a> EmailAddress<'a> {
    fn new(own: &'a VerifiableAddress, is_primary: bool) -> Self {
        Self {
            id: Decimal(own.id.get()),
            email: own.address.as_str(),
            email_address: own.address.as_str(),
            is_primary,
            primary: is_primary,
            verified: own.verified_at.is_some(),
            verified_at: own.verified_at.map(Time),
            verification_strategy: "otp",
            created_at: Time(own.created_at),
            updated_at: Time(own.verified_at.unwrap_or(own.created_at)),
        }
    }
}
