//! The configuration as it was written.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use toml::{Table, Value};

use super::{ConfigError, Environment};

/// What names of the environment that lay over the file begin with; `__` stands between the parts of a key.
const PREFIX: &str = "COUNTERSIGN__";

/// Keys that may come from the environment and never stand in the file, and the option that names a file instead.
const SECRETS: [(&str, &str, &str); 2] =
    [("keys", "master_key", "master_key_file"), ("keys", "older_master_key", "older_master_key_files")];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) origin: String,
    #[serde(default)]
    pub(super) server: RawServer,
    pub(super) database: RawDatabase,
    #[serde(default)]
    pub(super) keys: RawKeys,
    pub(super) mail: RawMail,
    pub(super) projects: Vec<RawProject>,
    #[serde(default)]
    pub(super) dialects: BTreeMap<String, Table>,
    #[serde(default)]
    pub(super) log: RawLog,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawServer {
    pub(super) listen: SocketAddr,
    pub(super) admin_listen: Option<SocketAddr>,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) root: Option<String>,
}

impl Default for RawServer {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin_listen: None,
            trusted_proxies: Vec::new(),
            root: None,
        }
    }
}

/// A URL, or a table. No `Debug`: a URL out of the environment may hold a password.
#[derive(Deserialize)]
#[serde(try_from = "Value")]
pub(super) struct RawDatabase {
    pub(super) path: Option<PathBuf>,
    pub(super) url: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) connections: Option<u16>,
}

/// The table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDatabaseTable {
    path: Option<PathBuf>,
    url: Option<String>,
    password_file: Option<PathBuf>,
    connections: Option<u16>,
}

impl TryFrom<Value> for RawDatabase {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        if let Value::String(url) = value {
            return Ok(Self { path: None, url: Some(url), password_file: None, connections: None });
        }
        let RawDatabaseTable { path, url, password_file, connections } =
            value.try_into().map_err(|error: toml::de::Error| one_line(&error))?;
        Ok(Self { path, url, password_file, connections })
    }
}

impl std::fmt::Debug for RawDatabase {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("RawDatabase")
    }
}

/// No `Debug`: two of these are secrets.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawKeys {
    pub(super) master_key_file: Option<PathBuf>,
    pub(super) older_master_key_files: Vec<PathBuf>,
    pub(super) master_key: Option<String>,
    pub(super) older_master_key: Option<String>,
}

impl std::fmt::Debug for RawKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("RawKeys")
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMail {
    pub(super) from: String,
    #[serde(default)]
    pub(super) relays: Vec<RawRelay>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRelay {
    pub(super) url: String,
    pub(super) username: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) certificate_authority_file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProject {
    pub(super) id: String,
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) sign_up: bool,
    pub(super) code_life_minutes: Option<u64>,
    pub(super) messages_apart_seconds: Option<u64>,
    pub(super) messages_per_hour: Option<u32>,
    pub(super) messages_per_day: Option<u32>,
    pub(super) messages_per_hour_and_network: Option<u32>,
    pub(super) messages_per_day_and_network: Option<u32>,
    pub(super) network_messages_per_hour: Option<u32>,
    pub(super) project_messages_per_hour: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLog {
    pub(super) level: String,
    pub(super) format: LogFormat,
}

impl Default for RawLog {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Json }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl RawConfig {
    /// Reads the file, lays the environment over it, and refuses what nobody knows.
    pub(super) fn parse(text: &str, environment: &Environment) -> Result<Self, ConfigError> {
        let mut table: Table = text.parse().map_err(|error: toml::de::Error| ConfigError::new(one_line(&error)))?;
        for (section, key, file) in SECRETS {
            if table.get(section).and_then(|section| section.get(key)).is_some() {
                return Err(ConfigError::new(format!(
                    "{section}.{key} is a secret and does not belong into this file: give {section}.{file}, or set \
                     {PREFIX}{}__{} in the environment",
                    section.to_uppercase(),
                    key.to_uppercase()
                )));
            }
        }
        let database = table.get("database");
        let url = database.and_then(|it| it.as_str().or_else(|| it.get("url")?.as_str()));
        if url.is_some_and(super::database::has_password) {
            return Err(ConfigError::new(format!(
                "the database's password does not belong into this file: give database.url and database.password_file, or set \
                 {PREFIX}DATABASE in the environment"
            )));
        }
        for (name, value) in environment {
            if let Some(path) = name.strip_prefix(PREFIX) {
                let parts: Vec<_> = path.split("__").map(str::to_lowercase).collect();
                overlay(&mut table, &parts, value).ok_or_else(|| {
                    ConfigError::new(format!("{name} in the environment names no key of the configuration"))
                })?;
            }
        }
        table.try_into().map_err(|error: toml::de::Error| ConfigError::new(one_line(&error)))
    }
}

/// The library's message without the lines of the file that it quotes.
fn one_line(error: &toml::de::Error) -> String {
    error.message().replace('\n', " ")
}

/// Puts `value` at `path`: a number, a boolean or a list where it reads as one, else text.
fn overlay(table: &mut Table, path: &[String], value: &str) -> Option<()> {
    let (first, rest) = path.split_first().filter(|(first, _)| !first.is_empty())?;
    if rest.is_empty() {
        let parsed = format!("it = {value}").parse::<Table>().ok().and_then(|mut table| table.remove("it"));
        let plain = parsed.filter(|parsed| parsed.is_integer() || parsed.is_bool() || parsed.is_array());
        table.insert(first.clone(), plain.unwrap_or_else(|| Value::String(value.to_owned())));
        return Some(());
    }
    let inner = table.entry(first.clone()).or_insert_with(|| Value::Table(Table::new()));
    match inner {
        Value::Table(inner) => overlay(inner, rest, value),
        // `PROJECTS__0__SIGN_UP`: lists by number.
        Value::Array(list) => {
            let (index, rest) = rest.split_first()?;
            match list.get_mut(index.parse::<usize>().ok()?)? {
                Value::Table(inner) => overlay(inner, rest, value),
                _ => None,
            }
        }
        _ => None,
    }
}
