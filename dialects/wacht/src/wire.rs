//! What requests say: as documented, and as the kit sends it.
//!
//! A field that is `null`, empty or the word `undefined` is absent: the kit appends every key it has, whatever its value.

use std::fmt;

use engine::Timestamp;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use web::Text;

/// `POST /auth/signin`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SignInRequest<'a> {
    #[serde(borrow)]
    pub(crate) strategy: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) email: Option<Text<'a>>,
}

/// `POST /auth/signup`
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SignUpRequest<'a> {
    #[serde(borrow)]
    pub(crate) first_name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) last_name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) email: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) username: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) phone_number: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) password: Option<Text<'a>>,
}

/// The body of `POST /auth/prepare-verification` and `POST /auth/attempt-verification`, as documented; the kit's has the code alone.
/// No `Debug`: it holds a code.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct AttemptRequest<'a> {
    pub(crate) signin_attempt_id: Option<Id>,
    pub(crate) signup_attempt_id: Option<Id>,
    #[serde(borrow, alias = "verification_code")]
    pub(crate) code: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) method: Option<Text<'a>>,
}

/// The query of the same two, which the kit says the rest in.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AttemptQuery<'a> {
    pub(crate) attempt_identifier: Option<Id>,
    #[serde(borrow)]
    pub(crate) identifier_type: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) strategy: Option<Text<'a>>,
}

/// Body or query of `POST /session/switch-sign-in` and `POST /session/sign-out`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SignInChoice {
    #[serde(alias = "signin_id")]
    pub(crate) sign_in_id: Option<Id>,
    pub(crate) all_sessions: Option<bool>,
}

/// Query of the kit, and body as documented, of `/auth/identifier-availability`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct IdentifierRequest<'a> {
    #[serde(borrow)]
    pub(crate) identifier: Option<Text<'a>>,
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) email: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) username: Option<Text<'a>>,
}

/// The query of `GET /session/token`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TokenQuery<'a> {
    #[serde(borrow)]
    pub(crate) template: Option<Text<'a>>,
}

/// The query that carries a session in staging. Everything else in it is the route's.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct SessionQuery<'a> {
    #[serde(borrow, rename = "__dev_session__")]
    pub(crate) session: Option<Text<'a>>,
}

/// A body that says nothing.
#[derive(Debug, Deserialize)]
pub(crate) struct EmptyRequest {}

/// What a field says, if it says anything.
pub(crate) fn given<'a>(field: Option<&'a Text<'_>>) -> Option<&'a str> {
    field.map(|text| text.trim_ascii()).filter(|text| !text.is_empty() && *text != "undefined")
}

/// An id in a request: a string of digits, or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Id {
    /// An empty one, which is the same as none.
    Absent,
    /// An id. What cannot be one is 0, which nothing has.
    Of(i64),
}

impl Id {
    /// What an id says, if it says anything.
    pub(crate) fn given(field: Option<Self>) -> Option<i64> {
        match field {
            Some(Self::Of(id)) => Some(id),
            Some(Self::Absent) | None => None,
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor)
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = Id;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an id")
    }

    fn visit_u64<E: Error>(self, id: u64) -> Result<Id, E> {
        Ok(Id::Of(i64::try_from(id).unwrap_or_default()))
    }

    fn visit_i64<E: Error>(self, _negative: i64) -> Result<Id, E> {
        Ok(Id::Of(0))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Id, E> {
        let text = text.trim_ascii();
        if text.is_empty() || text == "undefined" {
            return Ok(Id::Absent);
        }
        // One id has one text.
        let id = text.parse::<i64>().ok().filter(|id| *id > 0 && id.to_string() == text);
        Ok(Id::Of(id.unwrap_or_default()))
    }
}

/// An id in an answer: always a string, because its digits are more than a JavaScript number holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decimal(pub(crate) i64);

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A time in an answer: RFC 3339 in UTC with whole seconds, as in `2026-01-02T03:04:05Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time(pub(crate) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.0.rfc3339();
        let (seconds, _) = text.split_once('.').unwrap_or((&text, ""));
        serializer.collect_str(&format_args!("{seconds}Z"))
    }
}

#[cfg(test)]
mod tests {
    use web::{Accepts, BodyError, Received};

    use super::*;

    const FORM: &str = "application/x-www-form-urlencoded";

    fn attempt(content_type: &str, body: &str) -> Result<Option<i64>, BodyError> {
        let received = Received::from_bytes(Accepts::JsonOrAnyForm, Some(content_type), body.as_bytes())?;
        let request: AttemptRequest<'_> = received.decode()?;
        Ok(Id::given(request.signin_attempt_id))
    }

    #[test]
    fn an_id_is_a_string_of_digits_or_a_number() {
        for (body, expected) in [
            (r#"{"signin_attempt_id": "123456789"}"#, Some(123_456_789)),
            (r#"{"signin_attempt_id": 123456789}"#, Some(123_456_789)),
            (r#"{"signin_attempt_id": 9223372036854775807}"#, Some(i64::MAX)),
            (r#"{"signin_attempt_id": "0123"}"#, Some(0)),
            (r#"{"signin_attempt_id": "+123"}"#, Some(0)),
            (r#"{"signin_attempt_id": "signin_123"}"#, Some(0)),
            (r#"{"signin_attempt_id": "9223372036854775808"}"#, Some(0)),
            (r#"{"signin_attempt_id": -1}"#, Some(0)),
            (r#"{"signin_attempt_id": ""}"#, None),
            (r#"{"signin_attempt_id": null}"#, None),
            ("{}", None),
        ] {
            assert_eq!(attempt("application/json", body).unwrap(), expected, "{body}");
        }
        assert_eq!(attempt(FORM, "signin_attempt_id=123").unwrap(), Some(123));
        assert_eq!(attempt(FORM, "signin_attempt_id=undefined").unwrap(), None);
        for body in [r#"{"signin_attempt_id": [1]}"#, r#"{"signin_attempt_id": 1.5}"#, r#"{"signin_attempt_id": true}"#]
        {
            assert!(matches!(attempt("application/json", body), Err(BodyError::WrongType { .. })), "{body}");
        }
    }

    #[test]
    fn what_says_nothing_is_absent() {
        let text = |text: &'static str| Some(Text(text.into()));
        for nothing in [None, text(""), text("  "), text("undefined")] {
            assert_eq!(given(nothing.as_ref()), None);
        }
        assert_eq!(given(text(" 012345\n").as_ref()), Some("012345"));
    }

    #[test]
    fn times_have_whole_seconds_and_ids_are_strings() {
        let json =
            serde_json::to_string(&(Time(Timestamp::from_millis(1_772_366_400_789)), Decimal(i64::MAX))).unwrap();
        assert_eq!(json, r#"["2026-03-01T12:00:00Z","9223372036854775807"]"#);
    }
}
