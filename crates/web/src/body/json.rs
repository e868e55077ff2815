//! JSON: checked for encoding, shape and depth first, so that serde sees only an object it can walk.

use serde::Deserialize;
use serde_json::error::Category;

use super::{BodyError, DEPTH, Position};

/// Decodes one JSON object.
pub(super) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, BodyError> {
    let text = std::str::from_utf8(bytes).map_err(|_| BodyError::Encoding)?;
    if is_too_deep(bytes) {
        return Err(BodyError::TooDeep);
    }
    if !text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        // Told apart for the sender's sake: `[1]` is JSON, `hello` is not.
        return Err(match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Ok(_) => BodyError::NotAnObject,
            Err(error) => BodyError::Syntax(position(&error)),
        });
    }
    serde_json::from_str(text).map_err(|error| refusal(&error))
}

/// Whether brackets outside of strings are ever open deeper than [`DEPTH`]. Needs no valid JSON, and no stack.
fn is_too_deep(bytes: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH {
            return true;
        }
    }
    false
}

/// What serde refused, without the values that its messages quote.
fn refusal(error: &serde_json::Error) -> BodyError {
    match error.classify() {
        // `Io` cannot be: nothing is read from anywhere.
        Category::Syntax | Category::Eof | Category::Io => BodyError::Syntax(position(error)),
        Category::Data => {
            // serde tells these two only by their text. Both quote a field's name in our own type, and nothing else.
            let message = error.to_string();
            if let Some(field) = field_of("missing field `", &message) {
                BodyError::Missing { field }
            } else if let Some(field) = field_of("duplicate field `", &message) {
                BodyError::Duplicate { field }
            } else {
                BodyError::WrongType { position: Some(position(error)) }
            }
        }
    }
}

fn field_of(what: &str, message: &str) -> Option<Box<str>> {
    let (field, _) = message.strip_prefix(what)?.split_once('`')?;
    Some(field.into())
}

fn position(error: &serde_json::Error) -> Position {
    Position { line: error.line(), column: error.column() }
}
