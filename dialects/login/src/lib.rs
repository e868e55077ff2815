//! The login surface: start a login, bring back the e-mailed code, hold a JWT. See the README beside this crate for routes, sources
//! and deviations.

mod error;
mod login;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use engine::{Algorithm, Engine, Project};
use http::{HeaderName, HeaderValue, Method, header};
use serde::Deserialize;
use tower_http::cors::{Any, CorsLayer};
use web::{App, ConfigError, Dialect, Failure, Surface};

use error::Status;
use wire::Names;

/// The surface's name, in the configuration, in flows and in metrics.
const NAME: &str = "login";

/// The login surface.
#[derive(Debug, Clone, Copy, Default)]
pub struct Login;

/// `[dialects.login]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Section {
    json_names: Names,
    token_life_hours: u64,
}

impl Default for Section {
    fn default() -> Self {
        Self { json_names: Names::Proto, token_life_hours: 24 }
    }
}

/// What the handlers share.
struct Shared {
    engine: Arc<Engine>,
    project: Arc<Project>,
    origin: String,
    names: Names,
    token_life: Duration,
}

impl Dialect for Login {
    fn name(&self) -> &'static str {
        NAME
    }

    fn algorithms(&self) -> &'static [Algorithm] {
        &[Algorithm::Es256]
    }

    fn mount(&self, app: App, section: toml::Table) -> Result<Surface, ConfigError> {
        let Section { json_names, token_life_hours } = ConfigError::section(NAME, section)?;
        if !(1..=720).contains(&token_life_hours) {
            return Err(ConfigError::new("dialects.login.token_life_hours", "must be from 1 to 720"));
        }
        let shared = Arc::new(Shared {
            engine: app.engine,
            project: app.project,
            origin: app.origin,
            names: json_names,
            token_life: Duration::from_hours(token_life_hours),
        });
        let router = Router::new()
            .route("/v1/login", post(login::start))
            .route("/v1/login/email-code", post(login::email_code))
            .route("/.well-known/jwks.json", get(login::keys))
            .fallback(|| async { failure(Failure::NotFound) })
            .method_not_allowed_fallback(|| async { failure(Failure::WrongVerb) })
            .layer(cors())
            .with_state(shared);
        // Its own paths are named, too: another surface may be told to answer at the root.
        let prefixes = ["/", "/v1/login"].map(str::to_owned).to_vec();
        // The project's keys: others may publish them there, too.
        let shared = vec!["/.well-known/jwks.json".to_owned()];
        Ok(Surface { name: NAME, prefixes, shared, router, administration: None, failure: failure_of_the_frame })
    }
}

/// What happens outside of the handlers, in the surface's shape.
fn failure(failure: Failure) -> axum::response::Response {
    Status::of_failure(failure).into_response()
}

/// The same where the router's layers are not passed: a page must be able to read that its request was too long.
fn failure_of_the_frame(failure: Failure) -> axum::response::Response {
    let mut response = self::failure(failure);
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// Any page may ask: nothing in here rides on cookies.
fn cors() -> CorsLayer {
    let header = HeaderName::from_static;
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::PATCH])
        .allow_headers([header::CONTENT_TYPE, header::AUTHORIZATION, header("x-grpc-web"), header("x-user-agent")])
        .expose_headers([
            header("grpc-status"),
            header("grpc-message"),
            header("grpc-status-details-bin"),
            header::RETRY_AFTER,
        ])
        .max_age(Duration::from_hours(2))
}
