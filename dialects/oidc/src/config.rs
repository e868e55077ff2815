//! `[dialects.oidc]`: the applications there are.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::Secret;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use web::ConfigError;
use web::hand_over::sha256;

use crate::NAME;
use crate::client::Application;
use crate::uri::Declared;

/// What the handlers need of the section.
pub(crate) struct Settings {
    pub(crate) access_token_life: Duration,
    pub(crate) session_life: Duration,
    pub(crate) applications: BTreeMap<String, Application>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Section {
    access_token_minutes: u64,
    session_days: u64,
    clients: Vec<RawClient>,
}

impl Default for Section {
    fn default() -> Self {
        Self { access_token_minutes: 15, session_days: 30, clients: Vec::new() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClient {
    id: String,
    name: Option<String>,
    secret: Option<Hidden>,
    secret_sha256: Option<Hidden>,
    #[serde(default)]
    redirect_uris: Vec<String>,
    #[serde(default)]
    post_logout_redirect_uris: Vec<String>,
}

/// A string whose value no message quotes.
struct Hidden(Secret<String>);

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => Ok(Self(Secret::new(text))),
            _ => Err(D::Error::custom("a client's secret must be a string")),
        }
    }
}

/// The clients that development comes with.
const DEVELOPMENT: &str = "countersign-dev";
const DEVELOPMENT_CONFIDENTIAL: &str = "countersign-dev-confidential";
const DEVELOPMENT_SECRET: &str = "countersign-dev-secret";

/// Shorter ones can be guessed from their digest.
const SHORTEST_SECRET: usize = 20;

impl Settings {
    pub(crate) fn read(section: toml::Table, is_development: bool) -> Result<Self, ConfigError> {
        let Section { access_token_minutes, session_days, clients } = ConfigError::section(NAME, section)?;
        if !(1..=1440).contains(&access_token_minutes) {
            return Err(ConfigError::new("dialects.oidc.access_token_minutes", "must be from 1 to 1440"));
        }
        if !(1..=400).contains(&session_days) {
            return Err(ConfigError::new("dialects.oidc.session_days", "must be from 1 to 400"));
        }
        let mut applications = BTreeMap::new();
        if is_development {
            let secret = sha256(DEVELOPMENT_SECRET.as_bytes());
            for (id, secret) in [(DEVELOPMENT, None), (DEVELOPMENT_CONFIDENTIAL, Some(secret))] {
                applications.insert(id.to_owned(), Application::of_development(id, secret));
            }
        }
        for raw in clients {
            let application = raw.read()?;
            let place = format!("dialects.oidc.clients.{}", application.id);
            if applications.insert(application.id.clone(), application).is_some() {
                return Err(ConfigError::new(place, "is declared twice"));
            }
        }
        Ok(Self {
            access_token_life: Duration::from_mins(access_token_minutes),
            session_life: Duration::from_hours(session_days * 24),
            applications,
        })
    }
}

impl RawClient {
    fn read(self) -> Result<Application, ConfigError> {
        let Self { id, name, secret, secret_sha256, redirect_uris, post_logout_redirect_uris } = self;
        if id.is_empty()
            || id.len() > 128
            || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte))
        {
            return Err(ConfigError::new(
                "dialects.oidc.clients",
                "an id must be 1 to 128 letters, digits, dots, dashes, underscores, tildes or @",
            ));
        }
        let wrong = |option: &str, problem: &str| {
            Err(ConfigError::new(format!("dialects.oidc.clients.{id}.{option}"), problem))
        };
        let secret = match (secret, secret_sha256) {
            (None, None) => None,
            (Some(_), Some(_)) => return wrong("secret", "is given twice, with secret_sha256: which?"),
            (Some(Hidden(secret)), None) if secret.expose().len() < SHORTEST_SECRET => {
                return wrong("secret", "must have at least 20 characters, drawn by chance");
            }
            (Some(Hidden(secret)), None) => Some(sha256(secret.expose().as_bytes())),
            (None, Some(Hidden(digest))) => match hexadecimal(digest.expose()) {
                Some(digest) => Some(digest),
                None => return wrong("secret_sha256", "must be 64 hexadecimal digits"),
            },
        };
        if redirect_uris.is_empty() {
            return wrong("redirect_uris", "must name at least one");
        }
        let declared = |option: &str, uris: Vec<String>| {
            let read = |uri: String| {
                Declared::read(&uri, secret.is_none()).map_err(|must| {
                    ConfigError::new(format!("dialects.oidc.clients.{id}.{option}"), format!("`{uri}` must {must}"))
                })
            };
            uris.into_iter().map(read).collect::<Result<Vec<_>, _>>()
        };
        Ok(Application {
            name: name.unwrap_or_else(|| id.clone()),
            secret,
            redirect_uris: declared("redirect_uris", redirect_uris)?,
            post_logout_redirect_uris: declared("post_logout_redirect_uris", post_logout_redirect_uris)?,
            id,
        })
    }
}

/// 32 bytes in hexadecimal.
fn hexadecimal(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(place * 2..place * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}
