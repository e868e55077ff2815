//! The user, as the API shows him: made of an account, and of the address he is about to prove.

use engine::{Account, Address, Channel, Flow, Identity, VerifiableAddress};
use serde_json::{Map, Value};

use crate::message::{Email, Human, ObjectDetails, Phone, Profile, User, UserState};

/// A user has one e-mail address here; an identity may have several. It is the newest of those that were proved, or else the newest.
pub(crate) fn email_address(addresses: &[VerifiableAddress]) -> Option<&VerifiableAddress> {
    let emails = addresses.iter().filter(|own| own.address.channel() == Channel::Email);
    emails.max_by_key(|own| (own.verified_at, own.id))
}

/// An account, and the question that stands about its address, if one does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shown<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) addresses: &'a [VerifiableAddress],
    pub(crate) pending: Option<&'a Flow>,
}

impl<'a> Shown<'a> {
    /// `account` with what is pending.
    pub(crate) fn new(account: &'a Account, pending: Option<&'a Flow>) -> Self {
        Self { identity: &account.identity, addresses: &account.addresses, pending }
    }

    /// The address that is shown: with the original a new one is the user's at once, though unproved.
    pub(crate) fn address(&self) -> Option<&'a Address> {
        let asked = self.pending.and_then(|flow| flow.challenge.as_ref()).map(|challenge| &challenge.address);
        asked.or_else(|| email_address(self.addresses).map(|own| &own.address))
    }

    /// Whether the address that is shown was ever proved by this user.
    pub(crate) fn is_verified(&self) -> bool {
        let address = self.address();
        self.addresses.iter().any(|own| Some(&own.address) == address && own.verified_at.is_some())
    }

    /// `ObjectDetails` of the user. It changed last when he did, or when the address that is shown was asked about.
    pub(crate) fn details(&self) -> ObjectDetails {
        let asked_at = self.pending.and_then(|flow| flow.challenge.as_ref()).map(|challenge| challenge.sent_at);
        ObjectDetails {
            sequence: u64::try_from(self.identity.revision).unwrap_or_default(),
            creation_date: self.identity.created_at,
            change_date: self.identity.updated_at.max(asked_at.unwrap_or_default()),
            resource_owner: self.identity.project.as_str().to_owned(),
        }
    }

    /// `Email` of the user.
    pub(crate) fn email(&self) -> Email {
        let email = self.address().map(|address| address.as_str().to_owned()).unwrap_or_default();
        Email { email, is_email_verified: self.is_verified() }
    }

    /// The user. What he signs in with are the addresses he has, and none that he is about to prove.
    pub(crate) fn user(&self, id: String) -> User {
        let own = email_address(self.addresses).map(|own| own.address.as_str().to_owned());
        let name = own.unwrap_or_else(|| id.clone());
        let login_names: Vec<_> = self.addresses.iter().map(|own| own.address.as_str().to_owned()).collect();
        let phone = self.addresses.iter().rfind(|own| own.address.channel() == Channel::Sms);
        let phone = phone
            .map(|own| Phone { phone: own.address.as_str().to_owned(), is_phone_verified: own.verified_at.is_some() });
        User {
            id,
            details: self.details(),
            state: UserState::Active,
            user_name: name.clone(),
            login_names,
            human: Human {
                profile: profile(&self.identity.traits, &name),
                email: self.email(),
                phone: phone.unwrap_or_default(),
            },
            preferred_login_name: name,
        }
    }
}

/// What is known of somebody. Whatever surface he came in through has written it, each in its own words.
fn profile(traits: &str, fallback: &str) -> Profile {
    let traits: Map<String, Value> = serde_json::from_str(traits).unwrap_or_default();
    let nested = traits.get("name").and_then(Value::as_object);
    let text = |names: &[&str]| {
        let own = names.iter().filter_map(|name| traits.get(*name));
        own.filter_map(Value::as_str).find(|text| !text.is_empty()).map(str::to_owned)
    };
    let part = |name: &str| nested.and_then(|parts| parts.get(name)).and_then(Value::as_str).map(str::to_owned);
    let first_name = text(&["given_name", "givenName", "first_name", "firstName"]).or_else(|| part("first"));
    let last_name = text(&["family_name", "familyName", "last_name", "lastName"]).or_else(|| part("last"));
    let whole: Vec<_> = [&first_name, &last_name].into_iter().flatten().map(String::as_str).collect();
    let whole = (!whole.is_empty()).then(|| whole.join(" "));
    Profile {
        display_name: text(&["display_name", "displayName", "name"]).or(whole).unwrap_or_else(|| fallback.to_owned()),
        first_name: first_name.unwrap_or_default(),
        last_name: last_name.unwrap_or_default(),
        nick_name: text(&["nickname", "nick_name", "nickName"]).unwrap_or_default(),
        // Undetermined (ISO 639-2), as the original prints it.
        preferred_language: "und".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_the_words_of_every_surface() {
        let ann = Profile {
            first_name: "Ann".to_owned(),
            last_name: "Tester".to_owned(),
            nick_name: String::new(),
            display_name: "Ann Tester".to_owned(),
            preferred_language: "und".to_owned(),
        };
        for traits in [
            r#"{"givenName":"Ann","familyName":"Tester"}"#,
            r#"{"given_name":"Ann","family_name":"Tester","name":"Ann Tester"}"#,
            r#"{"email":"a@example.com","name":{"first":"Ann","last":"Tester"}}"#,
        ] {
            assert_eq!(profile(traits, "a@example.com"), ann, "{traits}");
        }
    }

    #[test]
    fn who_has_no_name_is_shown_by_his_address() {
        for traits in ["{}", "", "[]", r#"{"name":""}"#, r#"{"name":7}"#] {
            let profile = profile(traits, "a@example.com");
            assert_eq!((profile.display_name.as_str(), profile.first_name.as_str()), ("a@example.com", ""), "{traits}");
        }
    }
}
