//! One decoder for everything strangers send: JSON, forms of either kind and query strings, from bounded bytes into borrowed types.
//!
//! It promises that nothing it is given makes it panic, recurse deeply or hold more than [`LIMIT`], and that no error
//! quotes what was sent, because that may be a code. What a field must look like beyond its type is the surface's and
//! the engine's to say.
//!
//! ```
//! use serde::Deserialize;
//! use countersign_web::{Accepts, Received, Text};
//!
//! #[derive(Deserialize)]
//! struct Request<'a> {
//!     // Absent, `null` and a string are told apart from any other type, and the string is not copied.
//!     #[serde(borrow, default)]
//!     email: Option<Text<'a>>,
//! }
//!
//! let received = Received::from_bytes(Accepts::Json, Some("application/json"), br#"{"email": "a@example.com"}"#)?;
//! let request: Request<'_> = received.decode()?;
//! assert_eq!(request.email.as_deref(), Some("a@example.com"));
//! # Ok::<(), countersign_web::BodyError>(())
//! ```
//!
//! **Unset and `null`.** A field of type `Option<Text>` with `#[serde(borrow, default)]` is `None` when it is absent or
//! `null`, and refuses numbers, arrays and objects. (`Option<Cow<str>>` would do the same, but serde copies it always.)
//! Unknown fields are ignored unless the type has `deny_unknown_fields`. A field given twice is refused, also when it is
//! given once under its name and once under an alias.

mod bounded;
mod form;
mod json;
mod multipart;
mod text;

use std::fmt;

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;

pub use bounded::{Bounded, Progress, TooLarge};
pub use text::Text;

/// The most bytes that are read of a body: 64 KiB.
pub const LIMIT: usize = 64 * 1024;

/// How deep JSON may be nested, the outermost object included. No surface needs more than six.
pub const DEPTH: usize = 32;

/// Which kinds of body a route takes.
///
/// Whichever it is, an empty body is taken for an empty object, whatever its content type; one that is not empty needs
/// a content type from the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// `application/json` and `application/…+json`.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// Either, told apart by the content type.
    JsonOrForm,
    /// These, and `multipart/form-data` with text fields, told apart by the content type.
    JsonOrAnyForm,
}

/// What kind a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// JSON.
    Json,
    /// A form.
    Form,
    /// A form in parts.
    Multipart,
}

/// Where in a body something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line, counted from 1.
    pub line: usize,
    /// The byte in the line, counted from 1.
    pub column: usize,
}

/// What is wrong with a body. Closed, and it never holds a piece of what was sent: field names are those of the
/// surface's own types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyError {
    /// There is a body, but its content type is missing, given twice or not one the route takes. 415 or 400.
    ContentType,
    /// The body is compressed. 415.
    ContentEncoding,
    /// The body is longer than [`LIMIT`]. 413.
    TooLarge,
    /// The body ended before it was complete: its sender is gone, and so is whoever would read an answer. 400.
    Interrupted,
    /// The text is not UTF-8. 400.
    Encoding,
    /// The text is not JSON. 400.
    Syntax(Position),
    /// The text is JSON, but not an object. 400.
    NotAnObject,
    /// Nested deeper than [`DEPTH`]. 400.
    TooDeep,
    /// A field that must be there is not. 400.
    Missing {
        /// Its name in the surface's type.
        field: Box<str>,
    },
    /// A field is there twice. 400.
    Duplicate {
        /// Its name in the surface's type.
        field: Box<str>,
    },
    /// A field's value has another type than it must have. 400.
    WrongType {
        /// The end of the value; unknown in a form.
        position: Option<Position>,
    },
}

impl fmt::Display for BodyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContentType => formatter.write_str("the content type is not one that is read here"),
            Self::ContentEncoding => formatter.write_str("compressed bodies are not read here"),
            Self::TooLarge => write!(formatter, "the body is longer than {LIMIT} bytes"),
            Self::Interrupted => formatter.write_str("the body is not complete"),
            Self::Encoding => formatter.write_str("the body is not UTF-8"),
            Self::Syntax(position) => write!(formatter, "the body is not valid JSON ({position})"),
            Self::NotAnObject => formatter.write_str("the body is not a JSON object"),
            Self::TooDeep => write!(formatter, "the body is nested deeper than {DEPTH} levels"),
            Self::Missing { field } => write!(formatter, "the field {field} is missing"),
            Self::Duplicate { field } => write!(formatter, "the field {field} is given more than once"),
            Self::WrongType { position: None } => formatter.write_str("a field has the wrong type"),
            Self::WrongType { position: Some(position) } => {
                write!(formatter, "a field has the wrong type ({position})")
            }
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}, column {}", self.line, self.column)
    }
}

impl std::error::Error for BodyError {}

/// A body that was read whole and is of a kind the route takes. [`Received::decode`] borrows from it.
#[derive(Clone)]
pub struct Received {
    kind: Kind,
    bytes: Bytes,
    /// The fields of a form in parts: they are taken out of it once.
    fields: Vec<(String, String)>,
}

impl fmt::Debug for Received {
    /// Without the bytes and the fields: they may hold a code.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.bytes.len();
        formatter.debug_struct("Received").field("kind", &self.kind).field("length", &length).finish_non_exhaustive()
    }
}

impl Received {
    /// Reads a request's body.
    ///
    /// # Errors
    /// [`BodyError::ContentType`], [`BodyError::ContentEncoding`], [`BodyError::TooLarge`] or
    /// [`BodyError::Interrupted`]; of a form in parts also [`BodyError::Encoding`] and, where a part is a file or none at
    /// all, [`BodyError::WrongType`].
    pub async fn read(accepts: Accepts, headers: &HeaderMap, body: Body) -> Result<Self, BodyError> {
        let mut content_types = headers.get_all(CONTENT_TYPE).iter();
        let content_type = content_types.next();
        let one_at_most = content_types.next().is_none();
        let bytes = collect(body).await?;
        if bytes.is_empty() {
            return Self::checked(accepts, None, bytes);
        }
        if headers.get_all(CONTENT_ENCODING).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(BodyError::ContentEncoding);
        }
        let content_type = content_type.and_then(|value| value.to_str().ok()).filter(|_| one_at_most);
        Self::checked(accepts, content_type, bytes)
    }

    /// A body that is there already.
    ///
    /// # Errors
    /// As [`Received::read`].
    pub fn from_bytes(accepts: Accepts, content_type: Option<&str>, bytes: &[u8]) -> Result<Self, BodyError> {
        Self::checked(accepts, content_type, Bytes::copy_from_slice(bytes))
    }

    fn checked(accepts: Accepts, content_type: Option<&str>, bytes: Bytes) -> Result<Self, BodyError> {
        if bytes.len() > LIMIT {
            return Err(BodyError::TooLarge);
        }
        let mut fields = Vec::new();
        let kind = match content_type.and_then(kind_of) {
            _ if bytes.is_empty() => Kind::Form,
            Some(kind @ Kind::Json) if accepts != Accepts::Form => kind,
            Some(kind @ Kind::Form) if accepts != Accepts::Json => kind,
            Some(kind @ Kind::Multipart) if accepts == Accepts::JsonOrAnyForm => {
                fields = multipart::fields(content_type.unwrap_or_default(), &bytes)?;
                kind
            }
            Some(_) | None => return Err(BodyError::ContentType),
        };
        Ok(Self { kind, bytes, fields })
    }

    /// The body as a `T` that borrows from it.
    ///
    /// # Errors
    /// Whatever is wrong with the text. See the module for what `T` should look like.
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, BodyError> {
        match self.kind {
            // An empty body is an empty form, too: both are an object without fields.
            Kind::Form => form::decode(&self.bytes),
            Kind::Json => json::decode(&self.bytes),
            Kind::Multipart => form::decode_fields(&self.fields),
        }
    }

    /// Whether nothing was sent.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What kind it is; an empty body counts as a form.
    pub fn kind(&self) -> Kind {
        self.kind
    }
}

/// Decodes the query string of `uri` (an absent one is empty), as a form is decoded.
///
/// # Errors
/// As [`Received::decode`] of a form.
pub fn query<'a, T: Deserialize<'a>>(uri: &'a http::Uri) -> Result<T, BodyError> {
    form::decode(uri.query().unwrap_or_default().as_bytes())
}

/// The kind that a content type names. Parameters do not matter, except a character set, which must be UTF-8.
fn kind_of(content_type: &str) -> Option<Kind> {
    let mut parts = content_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let utf8 = parts.filter_map(|parameter| parameter.split_once('=')).all(|(name, value)| {
        !name.eq_ignore_ascii_case("charset") || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    if essence == "multipart/form-data" {
        return utf8.then_some(Kind::Multipart);
    }
    match essence.strip_prefix("application/")? {
        _ if !utf8 => None,
        "x-www-form-urlencoded" => Some(Kind::Form),
        "json" => Some(Kind::Json),
        other => other.ends_with("+json").then_some(Kind::Json),
    }
}

/// Reads `body` to its end, holding no more than [`LIMIT`].
async fn collect(body: Body) -> Result<Bytes, BodyError> {
    match Limited::new(body, LIMIT).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if is_too_large(error.as_ref()) => Err(BodyError::TooLarge),
        Err(_) => Err(BodyError::Interrupted),
    }
}

/// Whether `error` or any of its causes says that the body was too long: bodies are wrapped by layers, and each wraps
/// the error.
fn is_too_large(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<LengthLimitError>() || error.is::<TooLarge>() || error.source().is_some_and(is_too_large)
}
