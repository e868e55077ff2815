//! The ZITADEL surface: the caller's own user and address, verified with a code, as ZITADEL's Auth API has it. See the README beside this
//! crate for routes, sources and deviations.
//!
//! `auth_service.rs` has the methods, on messages; `rest.rs` frames them as JSON. Another framing is another module beside it.

mod auth_service;
mod bearer;
mod error;
mod mailbox;
mod message;
mod origins;
mod rest;
mod user;

use std::sync::Arc;

use engine::{Algorithm, CodeFormat, Context, Engine, Project};
use serde::Deserialize;
use web::{App, Client, ConfigError, Dialect, Surface, hand_over};

use origins::Origins;

/// The surface's name, in the configuration, in flows and in metrics.
const NAME: &str = "zitadel";

/// What the tokens it takes are signed with.
const ALGORITHM: Algorithm = Algorithm::Rs256;

/// The ZITADEL surface.
#[derive(Debug, Clone, Copy, Default)]
pub struct Zitadel;

/// `[dialects.zitadel]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Section {
    require_api_audience: bool,
    allowed_origins: Option<Vec<String>>,
}

/// What the handlers share.
struct Shared {
    engine: Arc<Engine>,
    project: Arc<Project>,
    issuer: String,
    require_api_audience: bool,
    origins: Origins,
}

impl Dialect for Zitadel {
    fn name(&self) -> &'static str {
        NAME
    }

    fn algorithms(&self) -> &'static [Algorithm] {
        &[ALGORITHM]
    }

    fn code_formats(&self) -> &'static [CodeFormat] {
        &[auth_service::FORMAT]
    }

    fn mount(&self, app: App, section: toml::Table) -> Result<Surface, ConfigError> {
        let Section { require_api_audience, allowed_origins } = ConfigError::section(NAME, section)?;
        let shared = Shared {
            engine: app.engine,
            project: app.project,
            origins: Origins::new(&app.origin, allowed_origins)?,
            issuer: app.origin,
            require_api_audience,
        };
        let router = rest::router(Arc::new(shared));
        let prefixes = rest::VERSIONS.map(str::to_owned).to_vec();
        Ok(Surface { name: NAME, prefixes, shared: Vec::new(), router, administration: None, failure: rest::failure })
    }
}

impl Shared {
    /// Frames a request. The sessions that it may ride on are those of the authorization server.
    fn context<'a>(&'a self, client: &'a Client) -> Context<'a> {
        let context = self.engine.context(&self.project, NAME, client.for_engine());
        Context { sessions_of: hand_over::AUTHORIZATION_SERVER, ..context }
    }
}
