//! The Descope surface: one-time codes by e-mail, sessions and users as Descope's SDKs call them. See the README beside this crate for
//! routes, sources and deviations.

mod authorization;
mod error;
mod otp;
mod session;
mod token;
mod user;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use engine::{Algorithm, Context, Engine, Project, Rotation};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, header};
use serde::Deserialize;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use web::{Accepts, App, Client, ConfigError, Dialect, Failure, Received, Surface};

use error::Status;

/// The surface's name, in the configuration, in flows and in metrics.
const NAME: &str = "descope";

/// What every token is signed with: PHP's SDK takes nothing else, and .NET's breaks on any other key in the set.
const ALGORITHM: Algorithm = Algorithm::Rs256;

/// The Descope surface.
#[derive(Debug, Clone, Copy, Default)]
pub struct Descope;

/// `[dialects.descope]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Section {
    refresh_rotation: bool,
}

/// What the handlers share.
struct Shared {
    engine: Arc<Engine>,
    rotation: Rotation,
}

impl Dialect for Descope {
    fn name(&self) -> &'static str {
        NAME
    }

    fn algorithms(&self) -> &'static [Algorithm] {
        &[ALGORITHM]
    }

    fn mount(&self, app: App, section: toml::Table) -> Result<Surface, ConfigError> {
        let Section { refresh_rotation } = ConfigError::section(NAME, section)?;
        let rotation = if refresh_rotation { Rotation::On } else { Rotation::Off };
        let shared = Arc::new(Shared { engine: app.engine, rotation });
        let router = Router::new()
            .route("/v1/auth/otp/signin/email", post(otp::sign_in))
            .route("/v1/auth/otp/signup/email", post(otp::sign_up))
            .route("/v1/auth/otp/signup-in/email", post(otp::sign_up_or_in))
            .route("/v1/auth/otp/update/email", post(otp::update))
            .route("/v1/auth/otp/verify/email", post(otp::verify))
            .route("/v1/auth/refresh", post(session::refresh))
            .route("/v1/auth/try-refresh", post(session::try_refresh))
            .route("/v1/auth/validate", post(session::validate))
            .route("/v1/auth/logout", post(session::logout))
            .route("/v1/auth/logoutall", post(session::logout_all))
            .route("/v1/auth/me", get(session::me))
            .route("/v2/keys/{project}", get(session::keys))
            .route("/v1/keys/{project}", get(session::legacy_keys))
            .route("/v1/mgmt/license", get(session::license))
            .fallback(|| async { failure(Failure::NotFound) })
            .method_not_allowed_fallback(|| async { failure(Failure::WrongVerb) })
            .layer(cors())
            .with_state(shared);
        let prefixes = ["/v1/auth", "/v1/keys", "/v2/keys", "/v1/mgmt"].map(str::to_owned).to_vec();
        Ok(Surface { name: NAME, prefixes, shared: Vec::new(), router, administration: None, failure })
    }
}

/// What happens outside of the handlers, in the surface's shape.
fn failure(failure: Failure) -> axum::response::Response {
    Status::of_failure(failure).into_response()
}

/// Browsers call `/v1/auth` from any page, and with `credentials: "include"` unless told otherwise, which no wildcard satisfies. Which
/// headers they send differs by version.
fn cors() -> CorsLayer {
    let may_ask = |_: &HeaderValue, parts: &Parts| parts.uri.path().starts_with("/v1/auth/");
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(may_ask))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::PUT, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([header::RETRY_AFTER])
        .max_age(Duration::from_hours(2))
}

/// How often it is looked for a key that is being made, and how often at most: for five seconds.
const KEY_POLL: Duration = Duration::from_millis(10);
const KEY_POLLS: u32 = 500;

impl Shared {
    fn context<'a>(&self, project: &'a Project, client: &'a Client) -> Context<'a> {
        self.engine.context(project, NAME, client.for_engine())
    }

    /// Waits until the project's key is there. A new installation makes it in the background, a quarter of a second long; whoever
    /// needs it waits here, before anything is spent for which no token could be signed, and before a token is judged that no key
    /// is there to verify with.
    async fn ready(&self, project: &Project) -> Result<(), Status> {
        for _ in 0..KEY_POLLS {
            if self.engine.can_sign(&project.id, ALGORITHM) {
                return Ok(());
            }
            tokio::time::sleep(KEY_POLL).await;
        }
        tracing::error!(dialect = NAME, project = %project.id, "the project has no RSA key");
        Err(Status::internal())
    }
}

/// Reads a JSON body. An empty one is an empty object.
async fn receive(headers: &HeaderMap, body: Body) -> Result<Received, Status> {
    Received::read(Accepts::Json, headers, body).await.map_err(|error| Status::of_body(&error))
}
