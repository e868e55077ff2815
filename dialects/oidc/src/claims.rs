//! What userinfo says of somebody, scope by scope.

use engine::{Account, Channel, VerifiableAddress};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::scope;

/// Userinfo (OpenID Connect Core, 5.1). What is not known is not there.
#[derive(Debug, Default, Serialize)]
pub(crate) struct UserInfo {
    sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    given_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    family_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nickname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    picture: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preferred_username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email_verified: Option<bool>,
}

impl UserInfo {
    /// What `scope` lets an application know of `account`.
    pub(crate) fn of(account: &Account, scope: &str) -> Self {
        let Account { identity, addresses } = account;
        let email = email(addresses);
        let mut info = Self { sub: identity.id.to_string(), ..Self::default() };
        if scope::contains(scope, scope::PROFILE) {
            let traits: Map<String, Value> = serde_json::from_str(&identity.traits).unwrap_or_default();
            let text = |names: &[&str]| {
                let mut values = names.iter().filter_map(|name| traits.get(*name)?.as_str());
                values.find(|value| !value.is_empty()).map(str::to_owned)
            };
            info.name = text(&["name", "display_name", "displayName"]);
            info.given_name = text(&["given_name", "givenName", "first_name", "firstName"]);
            info.family_name = text(&["family_name", "familyName", "last_name", "lastName"]);
            info.nickname = text(&["nickname", "nick_name", "nickName"]);
            info.picture = text(&["picture"]);
            info.locale = text(&["locale"]);
            info.preferred_username = email.map(|email| email.address.as_str().to_owned());
            info.updated_at = Some(identity.updated_at.seconds());
        }
        if let Some(email) = email.filter(|_| scope::contains(scope, scope::EMAIL)) {
            info.email = Some(email.address.as_str().to_owned());
            info.email_verified = Some(email.verified_at.is_some());
        }
        info
    }
}

/// Of several addresses the one proved last, or else the newest.
fn email(addresses: &[VerifiableAddress]) -> Option<&VerifiableAddress> {
    let emails = addresses.iter().filter(|address| address.address.channel() == Channel::Email);
    emails.max_by_key(|address| (address.verified_at, address.id))
}
