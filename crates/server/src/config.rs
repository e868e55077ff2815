//! What the operator wants: a file, the environment and flags, made into one complete [`Config`].
//!
//! [`raw`] is what was written: every key known, unknown ones refused. [`Config`] is what it means: parsed, checked, with nothing
//! left to guess. Secrets come from files of their own or from the environment, and never print.

mod database;
mod development;
mod raw;
mod secrets;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use courier::{Letterhead, RelaySettings, SmtpScheme};
use engine::{MasterKey, Policy, Project, ProjectId, Projects, SendLimit};
use store::Location;
use web::TrustedProxies;

pub(crate) use development::{DevelopmentSettings, is_development_host};
use raw::{RawConfig, RawProject, RawRelay};

/// The environment, as it was when the process began.
pub(crate) type Environment = BTreeMap<String, String>;

/// A configuration that cannot be used, in one sentence that names the key.
#[derive(Debug)]
pub(crate) struct ConfigError(String);

impl ConfigError {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// How the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogSettings {
    /// From which level on.
    pub(crate) level: tracing::Level,
    /// One JSON object a line, for machines.
    pub(crate) is_json: bool,
}

/// Everything a node needs to run.
#[derive(Debug)]
pub(crate) struct Config {
    /// Development: the inbox, and `development` of every surface.
    pub(crate) is_development: bool,
    /// What people's browsers and mails say we are; none in development until the port is known.
    pub(crate) origin: Option<Origin>,
    /// Where surfaces listen.
    pub(crate) listen: SocketAddr,
    /// Where the operator's pages are, if anywhere.
    pub(crate) admin_listen: Option<SocketAddr>,
    /// Whose word about a client's address counts.
    pub(crate) trusted_proxies: TrustedProxies,
    /// Where the database is.
    pub(crate) database: Location,
    /// The operator's keys.
    pub(crate) master_key: MasterKey,
    /// The tenants.
    pub(crate) projects: Projects,
    /// Relays in order of preference; none only in development, where the inbox is enough.
    pub(crate) relays: Vec<RelaySettings>,
    /// Who mails are from.
    pub(crate) sender: String,
    /// The surface that answers where nobody else does, if it is another than the one that claims so.
    pub(crate) root: Option<String>,
    /// What each surface was told, by its name.
    pub(crate) dialects: HashMap<String, toml::Table>,
    /// How the log looks.
    pub(crate) log: LogSettings,
}

/// A public origin: scheme, host and port, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    text: String,
    host: String,
    is_https: bool,
}

impl Origin {
    /// Reads `https://host[:port]` or `http://host[:port]`.
    pub(crate) fn parse(text: &str) -> Result<Self, ConfigError> {
        let wrong = |what: &str| ConfigError::new(format!("origin {text:?} {what}"));
        let text = text.strip_suffix('/').unwrap_or(text);
        let uri: http::Uri = text.parse().map_err(|_| wrong("is no url"))?;
        let is_https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("must begin with https:// or http://")),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("has no host"))?;
        let has_more = !matches!(uri.path(), "" | "/") || uri.query().is_some() || text.contains(['@', '#']);
        if has_more {
            return Err(wrong("must be scheme, host and port, and nothing else"));
        }
        Ok(Self { text: text.to_ascii_lowercase(), host: host.to_ascii_lowercase(), is_https })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback_host(&self.host)
    }
}

/// Whether `host`, as a URL writes it, can only be this machine.
pub(crate) fn is_loopback_host(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl Config {
    /// Reads the configuration of `serve` from `path`, the environment laid over it.
    pub(crate) fn read(path: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::new(format!("cannot read {}: {error}", path.display())))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, folder, environment)
            .map_err(|ConfigError(sentence)| ConfigError::new(format!("{}: {sentence}", path.display())))
    }

    /// Reads the configuration of `serve` from `text`; files it names are found from `folder`.
    fn parse(text: &str, folder: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let raw = RawConfig::parse(text, environment)?;
        let origin = Origin::parse(&raw.origin)?;
        if !origin.is_https && !origin.is_loopback() {
            return Err(ConfigError::new(
                "origin must be https://, or people's codes and tokens cross the network in clear",
            ));
        }
        let master_key = secrets::master_key(&raw.keys, folder)?;
        let relays = raw.mail.relays.iter().enumerate().map(|(index, relay)| {
            relay_settings(relay, origin.host(), folder)
                .map_err(|ConfigError(sentence)| ConfigError::new(format!("mail.relays[{index}]: {sentence}")))
        });
        let relays = relays.collect::<Result<Vec<_>, _>>()?;
        if relays.is_empty() {
            return Err(ConfigError::new("mail.relays is empty: without a relay nobody gets a code"));
        }
        for name in raw.dialects.keys() {
            check_surface(&format!("dialects.{name}"), name)?;
        }
        if let Some(root) = &raw.server.root {
            check_surface("server.root", root)?;
        }
        let config = Self {
            is_development: false,
            listen: raw.server.listen,
            admin_listen: raw.server.admin_listen,
            trusted_proxies: TrustedProxies::parse(&raw.server.trusted_proxies)
                .map_err(|error| ConfigError::new(format!("server.trusted_proxies: {error}")))?,
            database: database::location(&raw.database, folder)?,
            master_key,
            projects: projects(&raw.projects)?,
            relays,
            sender: raw.mail.from,
            root: raw.server.root,
            dialects: sections(raw.dialects, folder),
            log: LogSettings {
                level: raw
                    .log
                    .level
                    .parse()
                    .map_err(|_| ConfigError::new("log.level must be one of error, warn, info, debug, trace"))?,
                is_json: raw.log.format == raw::LogFormat::Json,
            },
            origin: Some(origin),
        };
        // A sender or a name that makes no mail is found now and not with the first one.
        for project in config.projects.iter() {
            config.letterhead(project)?;
        }
        Ok(config)
    }

    /// How the mails of `project` present themselves.
    pub(crate) fn letterhead(&self, project: &Project) -> Result<Letterhead, ConfigError> {
        let host = self.origin.as_ref().map_or("localhost", Origin::host);
        Letterhead::new(&self.sender, &project.name, host)
            .map_err(|error| ConfigError::new(format!("mail of project {}: {error}", project.id)))
    }
}

/// Whether a surface is called `name`.
fn check_surface(key: &str, name: &str) -> Result<(), ConfigError> {
    let known: Vec<_> = crate::dialects::all().iter().map(|dialect| dialect.name()).collect();
    if known.contains(&name) {
        return Ok(());
    }
    Err(ConfigError::new(format!("{key}: no such surface; there are: {}", known.join(", "))))
}

/// What each surface is told, with the files that are named found from `folder`.
fn sections(raw: BTreeMap<String, toml::Table>, folder: &Path) -> HashMap<String, toml::Table> {
    let mut sections: HashMap<_, _> = raw.into_iter().collect();
    for dialect in crate::dialects::all() {
        let file = dialect.config_file().and_then(|file| sections.get_mut(dialect.name())?.get_mut(file.key));
        if let Some(toml::Value::String(path)) = file {
            *path = folder.join(&*path).to_string_lossy().into_owned();
        }
    }
    sections
}

fn relay_settings(raw: &RawRelay, hello_name: &str, folder: &Path) -> Result<RelaySettings, ConfigError> {
    let mut settings =
        RelaySettings::parse(&raw.url, SmtpScheme::StartTls).map_err(|error| ConfigError::new(error.to_string()))?;
    hello_name.clone_into(&mut settings.hello_name);
    if let Some(file) = &raw.certificate_authority_file {
        settings.certificate_authority = Some(secrets::read(folder, file)?);
    }
    if settings.credentials.is_some() {
        return Err(ConfigError::new("the password does not belong into url: give username and password_file"));
    }
    settings.credentials = match (&raw.username, secrets::password(raw, folder)?) {
        (Some(username), Some(password)) => Some((username.clone(), password)),
        (None, None) => None,
        _ => return Err(ConfigError::new("username and password_file go together")),
    };
    Ok(settings)
}

fn projects(raw: &[RawProject]) -> Result<Projects, ConfigError> {
    let mut all = raw.iter().map(project).collect::<Result<Vec<_>, _>>()?.into_iter();
    let Some(first) = all.next() else {
        return Err(ConfigError::new("projects is empty: there must be one"));
    };
    let rest: Vec<_> = all.collect();
    let mut ids = vec![&first.id];
    for project in &rest {
        if ids.contains(&&project.id) {
            return Err(ConfigError::new(format!("projects: {} is there twice", project.id)));
        }
        ids.push(&project.id);
    }
    Ok(Projects::new(first.clone(), rest.clone()))
}

fn project(raw: &RawProject) -> Result<Project, ConfigError> {
    let is_id = !raw.id.is_empty()
        && raw.id.len() <= 64
        && raw.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if !is_id {
        return Err(ConfigError::new(format!(
            "projects: id {:?} must be 1 to 64 letters, digits, dashes or underscores",
            raw.id
        )));
    }
    let minutes = within("code_life_minutes", raw.code_life_minutes, 2..=60, 10)?;
    let policy = Policy {
        code_life: Duration::from_mins(minutes),
        send_limit: Some(send_limit(raw)?),
        sign_up: raw.sign_up,
        ..Policy::default()
    };
    let name = raw.name.clone().unwrap_or_else(|| raw.id.clone());
    Ok(Project { id: ProjectId::new(&raw.id), name, policy })
}

/// What may be sent in a project.
fn send_limit(raw: &RawProject) -> Result<SendLimit, ConfigError> {
    let limit = SendLimit::default();
    // What was sent to an address in a day is listed in its row, so that it has an end.
    let of_address =
        |key, said: Option<u32>, default| within(key, said.and_then(|said| said.try_into().ok()), 1..=200, default);
    let of_many = |key, said, default| within(key, said, 1..=1_000_000, default);
    let apart = within("messages_apart_seconds", raw.messages_apart_seconds, 0..=3_600, limit.apart.as_secs())?;
    Ok(SendLimit {
        apart: Duration::from_secs(apart),
        per_hour: of_address("messages_per_hour", raw.messages_per_hour, limit.per_hour)?,
        per_day: of_address("messages_per_day", raw.messages_per_day, limit.per_day)?,
        per_hour_and_network: of_address(
            "messages_per_hour_and_network",
            raw.messages_per_hour_and_network,
            limit.per_hour_and_network,
        )?,
        per_day_and_network: of_address(
            "messages_per_day_and_network",
            raw.messages_per_day_and_network,
            limit.per_day_and_network,
        )?,
        network: of_many("network_messages_per_hour", raw.network_messages_per_hour, limit.network)?,
        project: of_many("project_messages_per_hour", raw.project_messages_per_hour, limit.project)?,
    })
}

/// What was `said` for `key` of a project, or `default`.
fn within<T: PartialOrd + fmt::Display>(
    key: &str,
    said: Option<T>,
    range: std::ops::RangeInclusive<T>,
    default: T,
) -> Result<T, ConfigError> {
    let value = said.unwrap_or(default);
    if range.contains(&value) {
        return Ok(value);
    }
    Err(ConfigError::new(format!("projects: {key} must be from {} to {}", range.start(), range.end())))
}

#[cfg(test)]
mod tests;
