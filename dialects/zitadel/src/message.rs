//! The messages, named after the API's own, with its JSON form (protojson): unset members and default values are not printed, 64-bit
//! numbers are texts, moments are RFC 3339.
//!
//! They know no transport. What a request may leave out is `None`, which in proto3 is the empty text.

use engine::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use web::Text;

/// `zitadel.auth.v1.VerifyMyEmailRequest`. No `Debug`: it holds a code.
#[derive(Deserialize)]
pub(crate) struct VerifyMyEmailRequest<'a> {
    #[serde(borrow, default)]
    pub(crate) code: Option<Text<'a>>,
}

/// `zitadel.auth.v1.SetMyEmailRequest`
#[derive(Debug, Deserialize)]
pub(crate) struct SetMyEmailRequest<'a> {
    #[serde(borrow, default)]
    pub(crate) email: Option<Text<'a>>,
}

/// `zitadel.auth.v1.ResendMyEmailVerificationRequest`
#[derive(Debug, Deserialize)]
pub(crate) struct ResendMyEmailVerificationRequest {}

/// `zitadel.auth.v1.GetMyUserResponse`
#[derive(Debug, Serialize)]
pub(crate) struct GetMyUserResponse {
    pub(crate) user: User,
}

/// `zitadel.auth.v1.GetMyEmailResponse`
#[derive(Debug, Serialize)]
pub(crate) struct GetMyEmailResponse {
    pub(crate) details: ObjectDetails,
    pub(crate) email: Email,
}

/// `zitadel.auth.v1.SetMyEmailResponse`
#[derive(Debug, Serialize)]
pub(crate) struct SetMyEmailResponse {
    pub(crate) details: ObjectDetails,
}

/// `zitadel.auth.v1.ResendMyEmailVerificationResponse`
#[derive(Debug, Serialize)]
pub(crate) struct ResendMyEmailVerificationResponse {
    pub(crate) details: ObjectDetails,
}

/// `zitadel.auth.v1.VerifyMyEmailResponse`
#[derive(Debug, Serialize)]
pub(crate) struct VerifyMyEmailResponse {
    pub(crate) details: ObjectDetails,
}

/// `zitadel.v1.ObjectDetails`
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ObjectDetails {
    /// Grows with each change of the user.
    #[serde(serialize_with = "as_text", skip_serializing_if = "is_default")]
    pub(crate) sequence: u64,
    #[serde(serialize_with = "as_moment")]
    pub(crate) creation_date: Timestamp,
    #[serde(serialize_with = "as_moment")]
    pub(crate) change_date: Timestamp,
    /// The organisation.
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) resource_owner: String,
}

/// `zitadel.user.v1.User`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "they are the API's")]
pub(crate) struct User {
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) id: String,
    pub(crate) details: ObjectDetails,
    pub(crate) state: UserState,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) user_name: String,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) login_names: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) preferred_login_name: String,
    /// The kind of user: people are all there are.
    pub(crate) human: Human,
}

/// `zitadel.user.v1.UserState`: whoever is in another one has no token that is good for anything.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) enum UserState {
    #[serde(rename = "USER_STATE_ACTIVE")]
    Active,
}

/// `zitadel.user.v1.Human`
#[derive(Debug, Serialize)]
pub(crate) struct Human {
    pub(crate) profile: Profile,
    pub(crate) email: Email,
    pub(crate) phone: Phone,
}

/// `zitadel.user.v1.Profile`
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Profile {
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) first_name: String,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) last_name: String,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) nick_name: String,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) display_name: String,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) preferred_language: String,
}

/// `zitadel.user.v1.Email`
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Email {
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) email: String,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) is_email_verified: bool,
}

/// `zitadel.user.v1.Phone`
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Phone {
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) phone: String,
    #[serde(skip_serializing_if = "is_default")]
    pub(crate) is_phone_verified: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A 64-bit number as text: JavaScript would round it.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn as_text<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

/// RFC 3339 in UTC with three digits of a second, or none where they are zero.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn as_moment<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    let text = at.rfc3339();
    match text.strip_suffix(".000Z") {
        Some(seconds) => serializer.collect_str(&format_args!("{seconds}Z")),
        None => serializer.serialize_str(&text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(millis: i64) -> ObjectDetails {
        let at = Timestamp::from_millis(1_716_579_566_000 + millis);
        ObjectDetails { sequence: 2, creation_date: at, change_date: at, resource_owner: "P1".to_owned() }
    }

    #[test]
    fn details_print_as_published() {
        assert_eq!(
            serde_json::to_string(&VerifyMyEmailResponse { details: details(517) }).unwrap(),
            concat!(
                r#"{"details":{"sequence":"2","creationDate":"2024-05-24T19:39:26.517Z","#,
                r#""changeDate":"2024-05-24T19:39:26.517Z","resourceOwner":"P1"}}"#,
            )
        );
    }

    #[test]
    fn what_is_zero_is_not_printed() {
        let response = GetMyEmailResponse { details: details(0), email: Email::default() };
        let printed = serde_json::to_value(response).unwrap();
        assert_eq!(printed["email"], serde_json::json!({}));
        assert_eq!(printed["details"]["changeDate"], "2024-05-24T19:39:26Z");
        let details = ObjectDetails { sequence: 0, resource_owner: String::new(), ..details(0) };
        let printed = serde_json::to_value(details).unwrap();
        assert_eq!((printed.get("sequence"), printed.get("resourceOwner")), (None, None));
    }
}
