//! Traits that somebody sends: brought into the shape that the schema names, and looked at as far as the schema is read.
//!
//! Demanded and unknown members and addresses are checked; lengths, patterns and the like are not yet.

use engine::Address;
use serde_json::{Map, Value};

use crate::entry::quoted;
use crate::identity::{NoAddress, Roles, addresses, leaf};
use crate::schema::Schema;
use crate::ui::{Message, Phrase};

/// The longest traits of a stranger, as JSON: they are kept with his flow before he has shown anything.
const LONGEST: usize = 8 * 1024;

/// Something wrong with traits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Problem {
    /// A trait that must be there is not.
    Missing {
        /// Its name, as in `name.first`.
        name: String,
    },
    /// A trait that must be an address is none.
    NoAddress(NoAddress),
    /// A trait that the schema does not know, and it takes no others.
    Unknown {
        /// Its name.
        name: String,
    },
}

impl Problem {
    /// Which node of a form it is said about, and what.
    pub(crate) fn note(&self) -> (Option<String>, Message) {
        match self {
            Self::Missing { name } => {
                let property = name.rsplit('.').next().unwrap_or(name);
                (Some(format!("traits.{name}")), Message::from(Phrase::Missing).with("property", property))
            }
            Self::NoAddress(NoAddress { name, value }) => {
                (Some(format!("traits.{name}")), Message::from(Phrase::NoEmail).with("value", quoted(value)))
            }
            Self::Unknown { name } => {
                let reason = format!("The field {} is not one of this form", quoted(name));
                (Some("traits".to_owned()), Message::problem(reason))
            }
        }
    }

    /// The trait that is wrong, if it is one that a form has.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Missing { name } | Self::NoAddress(NoAddress { name, .. }) => Some(name),
            Self::Unknown { name: _ } => None,
        }
    }

    /// The same for whoever reads no forms.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Missing { name } => format!("traits.{name} is missing"),
            Self::NoAddress(NoAddress { name, value: _ }) => format!("traits.{name} is not a valid e-mail address"),
            Self::Unknown { name } => format!("traits.{} is not in the schema, which takes no others", quoted(name)),
        }
    }
}

/// The addresses in `traits` and what they are for.
///
/// # Errors
/// All that is wrong with `traits`.
pub(crate) fn check(schema: &Schema, traits: &Map<String, Value>) -> Result<Vec<(Address, Roles)>, Vec<Problem>> {
    let mut problems = Vec::new();
    let is_asked_for =
        |path: &[String]| path.len() < 2 || leaf(traits, path.split_last().map_or(path, |(_, above)| above)).is_some();
    for it in schema.traits.iter().filter(|it| it.required && is_asked_for(&it.path)) {
        if leaf(traits, &it.path).is_none() {
            problems.push(Problem::Missing { name: it.path.join(".") });
        }
    }
    if schema.is_closed {
        let is_known = |name: &str| schema.traits.iter().any(|it| it.path.first().is_some_and(|first| first == name));
        let unknown = traits.keys().filter(|name| !is_known(name));
        problems.extend(unknown.map(|name| Problem::Unknown { name: name.clone() }));
    }
    match addresses(schema, traits) {
        Ok(addresses) if problems.is_empty() => Ok(addresses),
        Ok(_) => Err(problems),
        Err(wrong) => {
            problems.push(Problem::NoAddress(wrong));
            Err(problems)
        }
    }
}

/// Whether a stranger's `traits` are longer than is kept for whoever comes along.
pub(crate) fn are_too_long(traits: &Map<String, Value>) -> bool {
    // A map of strings always serialises.
    serde_json::to_string(traits).is_ok_and(|text| text.len() > LONGEST)
}

/// `traits` without what was left empty, and with numbers and truths where the schema wants them: a form sends nothing but text.
pub(crate) fn of_form(schema: &Schema, mut traits: Map<String, Value>) -> Map<String, Value> {
    drop_empty(&mut traits);
    for it in schema.traits.iter() {
        let Some(value) = at(&mut traits, &it.path) else { continue };
        let Some(text) = value.as_str() else { continue };
        let read = match it.kind.as_str() {
            "number" | "integer" => serde_json::from_str(text).ok().filter(Value::is_number),
            "boolean" => match text {
                "true" | "on" => Some(Value::Bool(true)),
                "false" => Some(Value::Bool(false)),
                _ => None,
            },
            _ => None,
        };
        if let Some(read) = read {
            *value = read;
        }
    }
    traits
}

fn drop_empty(traits: &mut Map<String, Value>) {
    traits.retain(|_, value| match value {
        Value::Object(inner) => {
            drop_empty(inner);
            !inner.is_empty()
        }
        value => !value.is_null() && value.as_str() != Some(""),
    });
}

fn at<'a>(traits: &'a mut Map<String, Value>, path: &[String]) -> Option<&'a mut Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(traits.get_mut(first)?, |value, name| value.get_mut(name))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::*;

    const SCHEMA: &str = r#"{"properties": {"traits": {"additionalProperties": false, "required": ["email"], "properties": {
        "email": {"type": "string", "ory.sh/kratos": {"credentials": {"code": {"identifier": true, "via": "email"}}}},
        "name": {"type": "object", "required": ["last"], "properties": {"last": {"type": "string"}, "first": {"type": "string"}}},
        "work": {"type": "string", "ory.sh/kratos": {"recovery": {"via": "email"}}},
        "age": {"type": "integer"}, "size": {"type": "number"}, "news": {"type": "boolean"}}}}}"#;

    fn schema() -> Schema {
        let url = format!("base64://{}", STANDARD.encode(SCHEMA));
        Schema::load("person", &url, std::path::Path::new("")).unwrap()
    }

    fn map(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    fn reasons(traits: Value) -> Vec<String> {
        let problems = check(&schema(), &map(traits)).unwrap_err();
        problems.iter().map(Problem::reason).collect()
    }

    #[test]
    fn a_form_is_brought_into_the_shape_of_the_schema() {
        let form = json!({
            "email": "a@b.test", "name": {"first": "", "last": "L"}, "work": "", "age": "36", "size": "1.5", "news": "on",
            "more": {"x": {"y": ""}},
        });
        let shaped = json!({"email": "a@b.test", "name": {"last": "L"}, "age": 36, "size": 1.5, "news": true});
        assert_eq!(of_form(&schema(), map(form)), map(shaped));
        let odd = json!({"age": "old", "news": "perhaps", "size": "[1]", "email": "36"});
        assert_eq!(of_form(&schema(), map(odd.clone())), map(odd));
    }

    #[test]
    fn an_address_in_two_traits_is_one_with_both_roles() {
        let traits = map(json!({"email": "A@b.test", "work": "a@B.test"}));
        let expected = Roles { is_identifier: true, is_verifiable: false, is_recovery: true };
        assert_eq!(check(&schema(), &traits), Ok(vec![(Address::email("a@b.test").unwrap(), expected)]));
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        assert_eq!(reasons(json!({})), ["traits.email is missing"]);
        assert_eq!(
            reasons(json!({"name": {"first": "F"}, "work": "x", "shoe": 42})),
            [
                "traits.email is missing",
                "traits.name.last is missing",
                "traits.shoe is not in the schema, which takes no others",
                "traits.work is not a valid e-mail address",
            ]
        );
        assert_eq!(reasons(json!({"email": ["a@b.test"]})), ["traits.email is not a valid e-mail address"]);
    }

    #[test]
    fn what_is_kept_for_a_stranger_is_bounded() {
        assert!(!are_too_long(&map(json!({"email": "a@b.test", "name": {"last": "x".repeat(LONGEST - 100)}}))));
        assert!(are_too_long(&map(json!({"email": "a@b.test", "name": {"last": "x".repeat(LONGEST)}}))));
    }
}
