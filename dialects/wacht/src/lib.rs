//! The Wacht surface: the front-end API that Wacht's kit calls from a page. See the README beside this crate for routes, sources and
//! deviations.

mod attempt;
mod cookie;
mod deployment;
mod envelope;
mod error;
mod identifier;
mod page;
mod session;
mod user;
mod visit;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use engine::{Algorithm, Engine, Project};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use web::{Accepts, App, ConfigError, Dialect, Failure, Received, Surface};

use cookie::Cookie;
use error::Status;
use page::Pages;

/// The surface's name, in the configuration, in flows and in metrics.
const NAME: &str = "wacht";

/// What tokens are signed with.
const ALGORITHM: Algorithm = Algorithm::Es256;

/// The Wacht surface.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wacht;

/// How a session travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// In a cookie, and only the pages that are listed may ask.
    Production,
    /// In the query and in a header, and any page may ask.
    Staging,
}

/// `[dialects.wacht]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Section {
    mode: Option<Mode>,
    pages: Vec<String>,
    token_life_seconds: u64,
}

impl Default for Section {
    fn default() -> Self {
        Self { mode: None, pages: Vec::new(), token_life_seconds: 60 }
    }
}

/// What the handlers share.
pub(crate) struct Shared {
    engine: Arc<Engine>,
    project: Arc<Project>,
    /// The issuer of every token: the origin, as it stands in the publishable key.
    origin: String,
    mode: Mode,
    pages: Pages,
    cookie: Cookie,
    token_life: Duration,
    deployment: serde_json::Value,
}

impl Dialect for Wacht {
    fn name(&self) -> &'static str {
        NAME
    }

    fn algorithms(&self) -> &'static [Algorithm] {
        &[ALGORITHM]
    }

    fn mount(&self, app: App, section: toml::Table) -> Result<Surface, ConfigError> {
        let Section { mode, pages, token_life_seconds } = ConfigError::section(NAME, section)?;
        if !(10..=3600).contains(&token_life_seconds) {
            return Err(ConfigError::new("dialects.wacht.token_life_seconds", "must be from 10 to 3600"));
        }
        let mode = mode.unwrap_or(if app.development { Mode::Staging } else { Mode::Production });
        let pages = Pages::new(mode, &app.origin, &pages).ok_or_else(|| {
            ConfigError::new("dialects.wacht.pages", "must be origins, as in https://app.example.com")
        })?;
        let cors = pages.cors();
        let token_life = Duration::from_secs(token_life_seconds);
        let shared = Arc::new(Shared {
            cookie: Cookie::new(&app.origin),
            deployment: deployment::deployment(&app, mode, &pages, token_life),
            engine: app.engine,
            project: app.project,
            origin: app.origin,
            mode,
            pages,
            token_life,
        });
        let router = Router::new()
            .route("/auth/signin", post(attempt::sign_in))
            .route("/auth/signup", post(attempt::sign_up))
            .route("/auth/prepare-verification", post(attempt::prepare))
            .route("/auth/attempt-verification", post(attempt::verify))
            .route("/auth/identifier-availability", get(identifier::availability).post(identifier::availability))
            .route("/auth/identify", post(identifier::identify))
            .route("/session", get(session::session))
            .route("/session/token", get(session::token))
            .route("/session/switch-sign-in", post(session::switch_sign_in))
            .route("/session/sign-out", post(session::sign_out))
            .route("/me", get(session::me))
            .route("/me/organization-memberships", get(session::memberships))
            .route("/me/workspace-memberships", get(session::memberships))
            .route("/deployment", get(deployment::read))
            .route("/.well-known/jwks.json", get(deployment::key_set))
            .route("/.well-known/jwk", get(deployment::keys))
            .route("/.well-known/meta", get(deployment::meta))
            .fallback(|| async { failure(Failure::NotFound) })
            .method_not_allowed_fallback(|| async { failure(Failure::WrongVerb) })
            .layer(cors)
            .with_state(shared);
        let prefixes = [
            "/auth",
            "/session",
            "/me",
            "/deployment",
            "/.well-known/jwks.json",
            "/.well-known/jwk",
            "/.well-known/meta",
        ];
        let prefixes = prefixes.map(str::to_owned).to_vec();
        Ok(Surface { name: NAME, prefixes, shared: Vec::new(), router, administration: None, failure })
    }
}

/// What happens outside of the handlers, in the surface's shape.
fn failure(failure: Failure) -> axum::response::Response {
    Status::of_failure(failure).into_response()
}

/// Reads a body of any kind the kit or the documentation sends. An empty one is an empty object.
async fn receive(headers: &HeaderMap, body: Body) -> Result<Received, Status> {
    Received::read(Accepts::JsonOrAnyForm, headers, body).await.map_err(|error| Status::of_body(&error))
}
