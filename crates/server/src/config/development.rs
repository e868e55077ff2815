//! The configuration of `countersign dev`: complete without a file, and only for this machine.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use courier::{RelaySettings, SmtpScheme};
use engine::{MasterKey, Policy, Project, ProjectId, Projects};
use store::Location;
use web::TrustedProxies;

use super::{Config, ConfigError, LogSettings, Origin, database, is_loopback_host};

/// The master key of every development database: published, so that several can share one. `serve` refuses it.
pub(super) const MASTER_KEY: [u8; 32] = *b"countersign development key, 32B";

/// The project of development, in the form that Descope's SDKs want of a project's id.
const PROJECT: &str = "P2countersigndev000000000000";

/// What the flags of `countersign dev` say.
#[derive(Debug)]
pub(crate) struct DevelopmentSettings {
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: Option<SocketAddr>,
    pub(crate) data: PathBuf,
    pub(crate) database: Option<String>,
    pub(crate) smtp: Option<String>,
    pub(crate) origin: Option<String>,
    /// What each surface is told, by its name.
    pub(crate) dialects: HashMap<String, toml::Table>,
    /// The surface that answers where nobody else does.
    pub(crate) root: Option<String>,
    pub(crate) production_policy: bool,
    pub(crate) trusted_proxies: Vec<String>,
}

impl DevelopmentSettings {
    /// What `countersign dev` is without flags, with its data in `data`.
    pub(crate) fn of(data: PathBuf) -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 8080));
        Self {
            listen,
            admin_listen: None,
            data,
            database: None,
            smtp: None,
            origin: None,
            production_policy: false,
            trusted_proxies: Vec::new(),
            dialects: HashMap::new(),
            root: None,
        }
    }
}

/// Names that are never anybody's: RFC 6761 and RFC 9476.
const RESERVED: [&str; 4] = ["test", "localhost", "example", "internal"];

/// Whether `host` is this machine or a name that is reserved for such uses.
pub(crate) fn is_development_host(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or("");
    is_loopback_host(host) || RESERVED.contains(&last)
}

impl Config {
    /// The configuration of `countersign dev`.
    pub(crate) fn development(settings: DevelopmentSettings) -> Result<Self, ConfigError> {
        let DevelopmentSettings {
            listen,
            admin_listen,
            data,
            database,
            smtp,
            origin,
            dialects,
            root,
            production_policy,
            trusted_proxies,
        } = settings;
        let listeners = [("--listen", Some(listen)), ("--admin-listen", admin_listen)];
        for (flag, address) in listeners {
            if address.is_some_and(|address| !address.ip().is_loopback()) {
                return Err(ConfigError::new(format!(
                    "{flag} must be a loopback address: `countersign dev` shows every code to whoever asks; for others there \
                     is `countersign serve`"
                )));
            }
        }
        let origin = origin.as_deref().map(Origin::parse).transpose()?;
        if origin.as_ref().is_some_and(|origin| !is_development_host(origin.host())) {
            return Err(ConfigError::new(
                "--origin must be loopback, or under .test, .localhost, .example or .internal",
            ));
        }
        let relays = smtp.as_deref().map(|url| {
            RelaySettings::parse(url, SmtpScheme::PlainOnLoopback)
                .map_err(|error| ConfigError::new(format!("--smtp: {error}")))
        });
        let policy = if production_policy {
            Policy::default()
        } else {
            Policy { send_limit: None, sign_up: true, reveals_accounts: true, ..Policy::default() }
        };
        let project = Project { id: ProjectId::new(PROJECT), name: "countersign dev".to_owned(), policy };
        Ok(Self {
            is_development: true,
            origin,
            listen,
            admin_listen,
            trusted_proxies: TrustedProxies::parse(&trusted_proxies)
                .map_err(|error| ConfigError::new(format!("--trusted-proxy: {error}")))?,
            database: match database {
                None => Location::File(data.join("countersign.db")),
                Some(url) => database::from_url("--database", &url)?,
            },
            master_key: MasterKey::new(MASTER_KEY),
            projects: Projects::new(project, []),
            relays: relays.transpose()?.into_iter().collect(),
            sender: "countersign <countersign@localhost>".to_owned(),
            root,
            dialects,
            log: LogSettings { level: tracing::Level::INFO, is_json: false },
        })
    }
}
