//! Forms and query strings: `application/x-www-form-urlencoded` as the URL standard describes it, except that text which
//! is not UTF-8 is refused instead of being mended.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::value::{CowStrDeserializer, MapDeserializer};
use serde::de::{Deserializer, EnumAccess, IntoDeserializer, VariantAccess, Visitor};

use super::BodyError;

/// Decodes `bytes` into a struct, one field for each name.
pub(super) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, BodyError> {
    let mut fields = Vec::new();
    for pair in bytes.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(equals) => pair.split_at_checked(equals).unwrap_or((pair, b"")),
            None => (pair, b"".as_slice()),
        };
        let value = value.strip_prefix(b"=").unwrap_or(value);
        fields.push((Word(unescaped(name)?), Word(unescaped(value)?)));
    }
    T::deserialize(MapDeserializer::new(fields.into_iter())).map_err(|Refused(error)| error)
}

/// The same from fields that were taken apart already.
pub(super) fn decode_fields<'a, T: Deserialize<'a>>(fields: &'a [(String, String)]) -> Result<T, BodyError> {
    let fields = fields.iter().map(|(name, value)| (Word(Cow::Borrowed(name)), Word(Cow::Borrowed(value))));
    T::deserialize(MapDeserializer::new(fields)).map_err(|Refused(error)| error)
}

/// Text with `+` for a space and `%xx` for a byte. A `%` that two hexadecimal digits do not follow is a `%`.
fn unescaped(raw: &[u8]) -> Result<Cow<'_, str>, BodyError> {
    if !raw.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return std::str::from_utf8(raw).map(Cow::Borrowed).map_err(|_| BodyError::Encoding);
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(hexadecimal(*high) << 4 | hexadecimal(*low));
                rest = after;
            }
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| BodyError::Encoding)
}

/// The value of a digit that is known to be one.
fn hexadecimal(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// A name or a value. Everything in a form is text; numbers and booleans are read from it where the type asks for them.
struct Word<'a>(Cow<'a, str>);

impl<'a> IntoDeserializer<'a, Refused> for Word<'a> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! parsed {
    ($($method:ident => $visit:ident,)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(Refused(BodyError::WrongType { position: None })),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Word<'de> {
    type Error = Refused;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self.0 {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_enum(self)
    }

    parsed! {
        deserialize_bool => visit_bool,
        deserialize_u8 => visit_u8,
        deserialize_u16 => visit_u16,
        deserialize_u32 => visit_u32,
        deserialize_u64 => visit_u64,
        deserialize_i8 => visit_i8,
        deserialize_i16 => visit_i16,
        deserialize_i32 => visit_i32,
        deserialize_i64 => visit_i64,
        deserialize_f32 => visit_f32,
        deserialize_f64 => visit_f64,
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

/// A value that names a variant without fields.
impl<'a> EnumAccess<'a> for Word<'a> {
    type Error = Refused;
    type Variant = Bare;

    fn variant_seed<S: serde::de::DeserializeSeed<'a>>(self, seed: S) -> Result<(S::Value, Bare), Refused> {
        let name: CowStrDeserializer<'a, Refused> = self.0.into_deserializer();
        Ok((seed.deserialize(name)?, Bare))
    }
}

/// The content of a variant in a form: there is none.
struct Bare;

impl<'a> VariantAccess<'a> for Bare {
    type Error = Refused;

    fn unit_variant(self) -> Result<(), Refused> {
        Ok(())
    }

    fn newtype_variant_seed<S: serde::de::DeserializeSeed<'a>>(self, _: S) -> Result<S::Value, Refused> {
        Err(Refused(BodyError::WrongType { position: None }))
    }

    fn tuple_variant<V: Visitor<'a>>(self, _: usize, _: V) -> Result<V::Value, Refused> {
        Err(Refused(BodyError::WrongType { position: None }))
    }

    fn struct_variant<V: Visitor<'a>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Refused> {
        Err(Refused(BodyError::WrongType { position: None }))
    }
}

/// serde's side of [`BodyError`]: keeps names of our own fields, drops every message.
#[derive(Debug)]
struct Refused(BodyError);

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl std::error::Error for Refused {}

impl serde::de::Error for Refused {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Self(BodyError::WrongType { position: None })
    }

    fn missing_field(field: &'static str) -> Self {
        Self(BodyError::Missing { field: field.into() })
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self(BodyError::Duplicate { field: field.into() })
    }
}
