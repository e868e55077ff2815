//! The file as a tree out of which values are taken, so that what is left is what nobody read.

use std::time::Duration;

use serde_json::{Map, Value};

use super::duration;

/// A configuration that is being read.
#[derive(Debug)]
pub(super) struct Document(Map<String, Value>);

impl Document {
    /// Reads YAML, of which JSON is a part.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self(Map::new()));
        }
        let read: Value = serde_saphyr::from_str(text).map_err(|error| match error.location() {
            Some(place) => format!("is no valid YAML (line {}, column {})", place.line(), place.column()),
            None => "is no valid YAML".to_owned(),
        })?;
        match read {
            Value::Object(root) => Ok(Self(root)),
            Value::Null => Ok(Self(Map::new())),
            _ => Err("must be a mapping of keys and values".to_owned()),
        }
    }

    /// Takes the value at `path`, whose parts stand behind dots; `None` where there is none, or `null`.
    pub(super) fn take(&mut self, path: &str) -> Option<Value> {
        take(&mut self.0, path).filter(|value| !value.is_null())
    }

    /// Takes a text.
    pub(super) fn text(&mut self, path: &str) -> Result<Option<String>, String> {
        self.take(path)
            .map(|value| match value {
                Value::String(text) => Ok(text),
                _ => Err(format!("{path} must be text")),
            })
            .transpose()
    }

    /// Takes a truth.
    pub(super) fn truth(&mut self, path: &str) -> Result<Option<bool>, String> {
        self.take(path).map(|value| value.as_bool().ok_or_else(|| format!("{path} must be true or false"))).transpose()
    }

    /// Takes a number that is not negative.
    pub(super) fn number(&mut self, path: &str) -> Result<Option<u64>, String> {
        self.take(path).map(|value| value.as_u64().ok_or_else(|| format!("{path} must be a number"))).transpose()
    }

    /// Takes a length of time that is longer than nothing.
    pub(super) fn duration(&mut self, path: &str) -> Result<Option<Duration>, String> {
        let Some(text) = self.text(path)? else { return Ok(None) };
        let length = duration::parse(&text).filter(|length| !length.is_zero());
        length.map(Some).ok_or_else(|| format!("{path}: {text:?} is no length of time; write it like 1h, 30m or 90s"))
    }

    /// Takes a list of texts.
    pub(super) fn texts(&mut self, path: &str) -> Result<Vec<String>, String> {
        let wrong = || format!("{path} must be a list of texts");
        let Some(value) = self.take(path) else { return Ok(Vec::new()) };
        let Value::Array(items) = value else { return Err(wrong()) };
        items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
    }

    /// Takes the value at `path` if it is `so`: it says no more than what is so anyway. Any other stays, to be warned of.
    pub(super) fn agree(&mut self, path: &str, so: &Value) {
        if self.peek(path) == Some(so) {
            self.take(path);
        }
    }

    fn peek(&self, path: &str) -> Option<&Value> {
        let mut parts = path.split('.');
        let first = self.0.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    }

    /// The paths of all that was not taken, in order. A list counts as one, and what is empty says nothing.
    pub(super) fn left(&self) -> Vec<String> {
        let mut paths = Vec::new();
        for (name, value) in &self.0 {
            gather(name.clone(), value, &mut paths);
        }
        paths
    }
}

fn take(map: &mut Map<String, Value>, path: &str) -> Option<Value> {
    match path.split_once('.') {
        None => map.remove(path),
        Some((first, rest)) => take(map.get_mut(first)?.as_object_mut()?, rest),
    }
}

fn gather(path: String, value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(inner) => {
            for (name, value) in inner {
                gather(format!("{path}.{name}"), value, into);
            }
        }
        Value::Null => {}
        Value::Array(items) if items.is_empty() => {}
        _ => into.push(path),
    }
}
