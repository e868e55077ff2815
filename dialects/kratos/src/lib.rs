//! The Ory Kratos surface: self-service flows by one-time codes, sessions and identities as Kratos's clients call them. See the README
//! beside this crate for routes, configuration and deviations.

mod admin;
mod body;
mod config;
mod cors;
mod csrf;
mod entry;
mod error;
mod error_page;
mod flow;
mod holder;
mod identity;
mod login;
mod logout;
mod memo;
mod meta;
mod negotiation;
mod page;
mod redirect;
mod registration;
mod request;
mod return_to;
mod routes;
mod schema;
mod session;
mod signed_in;
mod token;
mod traits;
mod ui;
mod verification;

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use engine::{Context, Engine, Project};
use serde::Deserialize;
use web::{Administration, App, Client, ConfigError, ConfigFile, Dialect, Surface};

use config::Config;

/// The surface's name, in the configuration, in flows and in metrics.
const NAME: &str = "kratos";

/// Where the section names the original's configuration file.
const CONFIG_PLACE: &str = "dialects.kratos.config";

/// The Ory Kratos surface.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kratos;

/// `[dialects.kratos]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Section {
    /// The original's own configuration file.
    config: Option<PathBuf>,
}

/// What the handlers share.
#[derive(Debug)]
struct Shared {
    engine: Arc<Engine>,
    project: Arc<Project>,
    config: Arc<Config>,
}

impl Dialect for Kratos {
    fn name(&self) -> &'static str {
        NAME
    }

    fn config_file(&self) -> Option<ConfigFile> {
        Some(ConfigFile {
            key: "config",
            flag: "kratos-config",
            about: "Serve what this kratos.yml says, and answer unknown paths as Kratos does",
        })
    }

    fn sender(&self, section: &toml::Table) -> Result<Option<String>, ConfigError> {
        let Section { config } = ConfigError::section(NAME, section.clone())?;
        // Where the server is has nothing to do with who writes.
        let config = config.map(|path| Config::from_file(&path, "http://localhost")).transpose()?;
        Ok(config.and_then(|config| config.sender))
    }

    fn mount(&self, app: App, section: toml::Table) -> Result<Surface, ConfigError> {
        let Section { config } = ConfigError::section(NAME, section)?;
        let config = match config {
            Some(path) => Config::from_file(&path, &app.origin)?,
            None if app.development => Config::of_development(&app.origin)?,
            // Nobody asked for it: its administration has no guard but the network, and its flows no pages.
            None => return Ok(unmounted()),
        };
        if config.sender.is_some() && !app.development {
            tracing::warn!(
                dialect = NAME,
                "courier.smtp.from_address has no meaning here: mail.from says who mails are from"
            );
        }
        for warning in &config.warnings {
            tracing::warn!(dialect = NAME, "{warning}");
        }
        let shared = Arc::new(Shared { engine: app.engine, project: app.project, config: Arc::new(config) });
        let (prefixes, router) = routes::public(&shared);
        let base = shared.config.public.path.clone();
        let below = Some(base).filter(|path| !path.is_empty()).into_iter().collect();
        let (administration, operators) = routes::administration(&shared);
        Ok(Surface {
            name: NAME,
            prefixes,
            // What else is below the base URL's path is ours unless somebody has it.
            shared: below,
            router,
            administration: Some(Administration { prefixes: administration, router: operators }),
            failure: routes::failure_of_the_frame,
        })
    }
}

/// The surface of a server that was not told to have it.
fn unmounted() -> Surface {
    Surface {
        name: NAME,
        prefixes: Vec::new(),
        shared: Vec::new(),
        router: Router::new(),
        administration: None,
        failure: routes::failure_of_the_frame,
    }
}

impl Shared {
    fn context<'a>(&'a self, client: &'a Client) -> Context<'a> {
        self.engine.context(&self.project, NAME, client.for_engine())
    }
}
