//! What is accepted, what is refused and in which words, and that no secret prints.

mod accepted;
mod development;
mod example;
mod refused;
mod secrets;

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use courier::Security;
use testkit::folder::TempFolder;

use super::development::MASTER_KEY as DEVELOPMENT_KEY;
use super::*;

/// The least that `serve` starts with.
const LEAST: &str = r#"
origin = "https://login.example.com"
database.path = "countersign.db"
keys.master_key_file = "master.key"
mail = { from = "login@example.com", relays = [{ url = "smtp://mail.example.com" }] }
projects = [{ id = "main" }]
"#;

/// A key that is nobody's, and one that was used before it.
const KEY: [u8; 32] = *b"a master key that is 32 bytes lo";
const OLDER_KEY: [u8; 32] = *b"an older key that is 32 bytes lo";

const PASSWORD: &str = "correct horse battery";

/// A folder with the files that the example and the cases name.
struct Folder(TempFolder);

impl Folder {
    fn new() -> Self {
        let folder = Self(TempFolder::new());
        folder.write("master.key", STANDARD.encode(KEY) + "\n");
        folder.write("older.key", STANDARD.encode(OLDER_KEY));
        folder.write("relay.password", format!("{PASSWORD}\n"));
        folder.write("database.password", format!("{PASSWORD}\n"));
        folder.write("relay-ca.pem", "-----BEGIN CERTIFICATE-----");
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path().join(file), content).unwrap();
    }

    fn parse(&self, text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::parse(text, self.path(), &environment_of(environment))
    }

    /// The sentence that `text` is refused with, with `(folder)` for where the folder is.
    fn refusal(&self, text: &str, environment: &[(&str, &str)]) -> String {
        match self.parse(text, environment) {
            Ok(_) => format!("accepted: {text} {environment:?}"),
            Err(error) => error.to_string().replace(self.path().to_str().unwrap(), "(folder)"),
        }
    }
}

fn environment_of(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// [`LEAST`] with `old` replaced by `new`.
fn least_with(old: &str, new: &str) -> String {
    assert!(LEAST.contains(old), "{old}");
    LEAST.replace(old, new)
}

/// [`LEAST`] with `line` put in.
fn least_and(line: &str) -> String {
    format!("{LEAST}\n{line}")
}
