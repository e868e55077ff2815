//! What a submission says: JSON, a form or a multipart form, merged with the query into one set of fields.
//!
//! Values are as the original takes them: a number or a boolean where text is expected is its text, `""` and `null` are nothing, of a
//! name given twice the last counts, and `traits.email` means the same as `traits` holding `email`. Query parameters beat JSON, a
//! form beats query parameters.

use std::borrow::Cow;
use std::fmt;

use axum::body::Body;
use http::HeaderMap;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};
use web::{Accepts, BodyError, Received};

use crate::error::Status;

/// How many dots of a name mean something; one with more is a name with dots.
const DEPTH: usize = 8;

/// The fields of a submission.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Submission(Map<String, Value>);

impl fmt::Debug for Submission {
    /// Without values: one of them may be a code.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

impl Submission {
    /// The parameters of a query. What is no UTF-8 makes it empty: nothing in it could be meant for us.
    pub(crate) fn of_query(query: &str) -> Self {
        let pairs = Received::from_bytes(Accepts::Form, Some("application/x-www-form-urlencoded"), query.as_bytes());
        let pairs = pairs.and_then(|received| received.decode::<Pairs>());
        Self::default().with(pairs.map_or_else(|_| Vec::new(), |Pairs(pairs)| pairs))
    }

    /// Reads the body of a submission, and merges it with `query`.
    ///
    /// # Errors
    /// 400 where there is no body, its type is none of the three or it cannot be read; 413 where it is too long.
    pub(crate) async fn read(query: &Self, headers: &HeaderMap, body: Body) -> Result<Self, Status> {
        let received = Received::read(Accepts::JsonOrAnyForm, headers, body).await.map_err(|error| refused(&error))?;
        if received.is_empty() {
            return Err(Status::bad_request("The request has no body; a form or a JSON object is expected"));
        }
        let Pairs(fields) = received.decode().map_err(|error| refused(&error))?;
        Ok(match received.kind() {
            web::body::Kind::Json => Self::default().with(fields).with(query.0.clone()),
            web::body::Kind::Form | web::body::Kind::Multipart => query.clone().with(fields),
        })
    }

    /// The text of the field `name`; `None` where it is absent, `null` or empty. A list or an object is its JSON.
    pub(crate) fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let text: Cow<'_, str> = match self.0.get(name)? {
            Value::Null => return None,
            Value::String(text) => text.into(),
            other => other.to_string().into(),
        };
        (!text.is_empty()).then_some(text)
    }

    /// The object in the field `name`.
    ///
    /// # Errors
    /// 400 where it is anything else.
    pub(crate) fn object(&self, name: &str) -> Result<Option<&Map<String, Value>>, Status> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(_) => Err(Status::bad_request(format!("The field {name} must be an object"))),
        }
    }

    /// The same with `fields` laid over it.
    fn with(mut self, fields: impl IntoIterator<Item = (String, Value)>) -> Self {
        for (name, value) in fields {
            put(&mut self.0, &name, value);
        }
        self
    }
}

/// Puts `value` at the place that `name` means.
fn put(into: &mut Map<String, Value>, name: &str, value: Value) {
    match name.split_once('.') {
        Some((first, rest)) if !first.is_empty() && !rest.is_empty() && rest.matches('.').count() < DEPTH => {
            let inner = into.entry(first).or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
        _ => match (into.get_mut(name), value) {
            (Some(Value::Object(old)), Value::Object(new)) => {
                for (name, value) in new {
                    put(old, &name, value);
                }
            }
            (_, value) => {
                into.insert(name.to_owned(), value);
            }
        },
    }
}

/// What a live flow tells about a body that cannot be read.
fn refused(error: &BodyError) -> Status {
    match error {
        BodyError::TooLarge => Status::body_too_large(),
        BodyError::ContentType
        | BodyError::ContentEncoding
        | BodyError::Interrupted
        | BodyError::Encoding
        | BodyError::Syntax(_)
        | BodyError::NotAnObject
        | BodyError::TooDeep
        | BodyError::Missing { field: _ }
        | BodyError::Duplicate { field: _ }
        | BodyError::WrongType { position: _ } => Status::bad_request(format!("The body was not read: {error}")),
    }
}

/// Names and values in the order in which they came, also of names given twice.
struct Pairs(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Pairs;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pairs, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests;
