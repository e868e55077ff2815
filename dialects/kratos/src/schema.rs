//! Identity schemas: given out as they are, and read for what they say about addresses. Validation of traits comes later.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

mod ordered;

use ordered::Node;

/// How deep objects within `traits` are looked into.
const DEPTH: usize = 8;

/// The schema of who gave none: an e-mail address, which people sign in with and prove.
const PRESET: &str = r#"{
  "$schema": "http://json-schema.org/draft-07/schema#",
  "title": "Person",
  "type": "object",
  "properties": {
    "traits": {
      "type": "object",
      "properties": {
        "email": {
          "type": "string",
          "format": "email",
          "title": "E-Mail",
          "maxLength": 320,
          "ory.sh/kratos": {
            "credentials": {"code": {"identifier": true, "via": "email"}},
            "verification": {"via": "email"},
            "recovery": {"via": "email"}
          }
        }
      },
      "required": ["email"],
      "additionalProperties": false
    }
  }
}
"#;

/// One schema.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schema {
    /// Its name.
    pub(crate) id: String,
    /// As it was written, which is valid JSON: what clients are given.
    pub(crate) text: Arc<str>,
    /// The leaves below `traits`, in the order in which they are written.
    pub(crate) traits: Arc<[Trait]>,
    /// Whether `traits` takes no member that it does not name.
    pub(crate) is_closed: bool,
}

/// One leaf below `traits`.
#[expect(clippy::struct_excessive_bools, reason = "each is a keyword of the schema of its own")]
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Trait {
    /// The names on the way to it, as in `["name", "first"]`.
    pub(crate) path: Vec<String>,
    /// What people call it.
    pub(crate) title: Option<String>,
    /// `type`, as in `string`.
    pub(crate) kind: String,
    /// `format`, as in `email`.
    pub(crate) format: Option<String>,
    /// Whether its object demands it.
    pub(crate) required: bool,
    /// Whether people sign in with it, by a code sent by mail.
    pub(crate) signs_in: bool,
    /// Whether it is an e-mail address that is verified.
    pub(crate) verified_by_mail: bool,
    /// Whether it is an e-mail address that an account is recovered with.
    pub(crate) recovers_by_mail: bool,
}

impl Schema {
    /// The schema `id` at `url`: a file, found from `folder` if its path is relative, or the schema itself in base64.
    pub(crate) fn load(id: &str, url: &str, folder: &Path) -> Result<Self, String> {
        if let Some(path) = url.strip_prefix("file://") {
            let path = folder.join(path);
            let text =
                std::fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            return Self::parse(id, &text);
        }
        let Some(encoded) = url.strip_prefix("base64://") else {
            return Err("url must begin with file:// or base64://; nothing is fetched from a network".to_owned());
        };
        let decoded = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD]
            .into_iter()
            .find_map(|base64| base64.decode(encoded).ok())
            .and_then(|bytes| String::from_utf8(bytes).ok());
        Self::parse(id, &decoded.ok_or("url is no base64 of a text")?)
    }

    /// The schema of who gave none.
    pub(crate) fn preset() -> Result<Self, String> {
        Self::parse("default", PRESET)
    }

    fn parse(id: &str, text: &str) -> Result<Self, String> {
        let root: Node = serde_json::from_str(text).map_err(|error| format!("the schema is no JSON: {error}"))?;
        let mut traits = Vec::new();
        let below = root.at(&["properties", "traits"]).ok_or("the schema has no properties.traits")?;
        gather(below, &mut Vec::new(), false, &mut traits);
        let is_closed = below.get("additionalProperties").is_some_and(Node::is_false);
        Ok(Self { id: id.to_owned(), text: text.trim().into(), traits: traits.into(), is_closed })
    }

    /// How it is named in a URL.
    pub(crate) fn public_id(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.id)
    }
}

/// Puts the leaves below `node`, which is at `path`, into `traits`.
fn gather(node: &Node, path: &mut Vec<String>, required: bool, traits: &mut Vec<Trait>) {
    let demanded: Vec<&str> = node.get("required").map(Node::texts).unwrap_or_default();
    match node.get("properties") {
        Some(Node::Object(properties)) if path.len() < DEPTH => {
            for (name, property) in properties {
                path.push(name.clone());
                gather(property, path, demanded.contains(&name.as_str()), traits);
                path.pop();
            }
        }
        _ if path.is_empty() => {}
        _ => traits.push(leaf(node, path, required)),
    }
}

fn leaf(node: &Node, path: &[String], required: bool) -> Trait {
    let text = |name: &str| node.get(name).and_then(Node::text).map(str::to_owned);
    let extension = |path: &[&str]| node.get("ory.sh/kratos").and_then(|extension| extension.at(path));
    let is_mail = |path: &[&str]| extension(path).and_then(Node::text) == Some("email");
    let is_identifier = extension(&["credentials", "code", "identifier"]).is_some_and(Node::is_true);
    Trait {
        path: path.to_owned(),
        title: text("title"),
        kind: text("type").unwrap_or_default(),
        format: text("format"),
        required,
        signs_in: is_identifier && is_mail(&["credentials", "code", "via"]),
        verified_by_mail: is_mail(&["verification", "via"]),
        recovers_by_mail: is_mail(&["recovery", "via"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NESTED: &str = r#"{"properties": {"traits": {"type": "object", "required": ["name"], "properties": {
        "zip": {"type": "string"},
        "name": {"type": "object", "required": ["last"], "properties": {
            "last": {"type": "string", "title": "Surname"}, "first": {"type": "string"}}},
        "phone": {"type": "string", "ory.sh/kratos": {"verification": {"via": "sms"}}}}}}}"#;

    #[test]
    fn the_preset_is_an_address_one_signs_in_with() {
        let schema = Schema::preset().unwrap();
        let expected = Trait {
            path: vec!["email".to_owned()],
            title: Some("E-Mail".to_owned()),
            kind: "string".to_owned(),
            format: Some("email".to_owned()),
            required: true,
            signs_in: true,
            verified_by_mail: true,
            recovers_by_mail: true,
        };
        assert_eq!(*schema.traits, [expected]);
        assert_eq!((schema.id.as_str(), schema.public_id().as_str()), ("default", "ZGVmYXVsdA"));
    }

    #[test]
    fn leaves_keep_their_order_and_their_place() {
        let schema = Schema::load("s", &format!("base64://{}", STANDARD.encode(NESTED)), Path::new("")).unwrap();
        let seen: Vec<_> = schema.traits.iter().map(|it| (it.path.join("."), it.required)).collect();
        let expected = [("zip", false), ("name.last", true), ("name.first", false), ("phone", false)];
        assert_eq!(seen, expected.map(|(path, required)| (path.to_owned(), required)));
        assert!(schema.traits.iter().all(|it| !it.signs_in && !it.verified_by_mail && !it.recovers_by_mail));
    }

    #[test]
    fn a_file_is_found_from_the_folder() {
        let folder = testkit::folder::TempFolder::new();
        std::fs::write(folder.path().join("s.json"), NESTED).unwrap();
        assert_eq!(Schema::load("s", "file://s.json", folder.path()).unwrap().traits.len(), 4);
        let absolute = format!("file://{}/s.json", folder.path().display());
        assert_eq!(Schema::load("s", &absolute, Path::new("/nowhere")).unwrap().traits.len(), 4);
        assert!(Schema::load("s", "file://other.json", folder.path()).unwrap_err().starts_with("cannot read "));
    }

    #[test]
    fn nothing_else_is_a_schema() {
        let refused = |url: &str| Schema::load("s", url, Path::new("")).unwrap_err();
        assert!(refused("https://example.com/s.json").contains("nothing is fetched"));
        assert_eq!(refused("base64://%%"), "url is no base64 of a text");
        assert!(refused(&format!("base64://{}", STANDARD.encode("{"))).starts_with("the schema is no JSON"));
        assert_eq!(refused(&format!("base64://{}", STANDARD.encode("{}"))), "the schema has no properties.traits");
    }
}
