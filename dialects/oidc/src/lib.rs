//! The authorization server: OAuth 2.0's code flow and OpenID Connect, at the paths of ZITADEL. See the README beside this crate for
//! routes, sources and deviations.

mod authorize;
mod callback;
mod claims;
mod client;
mod config;
mod discovery;
mod error;
mod grant;
mod page;
mod revoke;
mod scope;
mod sign_out;
mod token;
mod uri;
mod userinfo;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use engine::{Algorithm, Context, Engine, Project};
use http::{Method, header};
use tower_http::cors::{Any, CorsLayer};
use web::{App, Client, ConfigError, Dialect, Failure, Surface};

use client::Application;
use config::Settings;
use discovery::Discovery;
use error::OAuthError;
use page::ErrorPages;

/// The surface's name, in the configuration, in flows and in metrics.
const NAME: &str = web::hand_over::AUTHORIZATION_SERVER;

/// What every token is signed with: the algorithm that every client of OpenID Connect must know.
const ALGORITHM: Algorithm = Algorithm::Rs256;

/// Where the sign-in pages bring the browser back to.
const CALLBACK: &str = "/oauth/v2/authorize/callback";

/// The authorization server.
#[derive(Debug, Clone, Copy, Default)]
pub struct Oidc;

/// What the handlers share.
struct Shared {
    engine: Arc<Engine>,
    project: Arc<Project>,
    /// The public origin, which is the issuer.
    origin: String,
    applications: BTreeMap<String, Application>,
    access_token_life: Duration,
    session_life: Duration,
    discovery: Discovery,
    pages: ErrorPages,
}

impl Dialect for Oidc {
    fn name(&self) -> &'static str {
        NAME
    }

    fn algorithms(&self) -> &'static [Algorithm] {
        &[ALGORITHM]
    }

    fn mount(&self, app: App, section: toml::Table) -> Result<Surface, ConfigError> {
        let Settings { access_token_life, session_life, applications } = Settings::read(section, app.development)?;
        let pages = ErrorPages::new(&app.project.name).map_err(|error| ConfigError::new("dialects.oidc", error))?;
        let shared = Arc::new(Shared {
            engine: app.engine,
            project: app.project,
            discovery: Discovery::new(&app.origin),
            origin: app.origin,
            applications,
            access_token_life,
            session_life,
            pages,
        });
        let for_scripts = Router::new()
            .route("/.well-known/openid-configuration", get(discovery::document))
            .route("/.well-known/oauth-authorization-server", get(discovery::document))
            .route("/oauth/v2/keys", get(discovery::keys))
            .route("/oauth/v2/token", post(grant::token))
            .route("/oauth/v2/revoke", post(revoke::revoke))
            .route("/oidc/v1/userinfo", get(userinfo::by_get).post(userinfo::by_post))
            .method_not_allowed_fallback(|| async { failure(Failure::WrongVerb) })
            .layer(cors());
        // Browsers go there; no script of another origin has any business with what they answer (RFC 9700, 2.6).
        let for_browsers = Router::new()
            .route("/oauth/v2/authorize", get(authorize::by_get).post(authorize::by_post))
            .route("/oauth/v2/authorize/callback", get(callback::callback))
            .route("/oidc/v1/end_session", get(sign_out::by_get).post(sign_out::by_post))
            .method_not_allowed_fallback(|| async { failure(Failure::WrongVerb) });
        let router =
            for_scripts.merge(for_browsers).fallback(|| async { failure(Failure::NotFound) }).with_state(shared);
        let prefixes =
            ["/oauth/v2", "/oidc/v1", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"];
        let prefixes = prefixes.map(str::to_owned).to_vec();
        Ok(Surface { name: NAME, prefixes, shared: Vec::new(), router, administration: None, failure })
    }
}

/// What happens outside of the handlers, in the surface's shape.
fn failure(failure: Failure) -> axum::response::Response {
    OAuthError::of_failure(failure).into_response()
}

/// Any page may ask: nothing of what scripts call rides on cookies.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::CONTENT_TYPE, header::AUTHORIZATION, header::ACCEPT])
        .expose_headers([header::WWW_AUTHENTICATE])
        .max_age(Duration::from_hours(2))
}

/// How often it is looked for a key that is being made, and how often at most: for five seconds.
const KEY_POLL: Duration = Duration::from_millis(10);
const KEY_POLLS: u32 = 500;

impl Shared {
    fn context<'a>(&'a self, client: &'a Client) -> Context<'a> {
        self.engine.context(&self.project, NAME, client.for_engine())
    }

    /// Waits until the project's key is there. A new installation makes it in the background, a quarter of a second long; whoever
    /// needs it waits here, before anything is spent for which no token could be signed.
    async fn ready(&self) -> Result<(), OAuthError> {
        for _ in 0..KEY_POLLS {
            if self.engine.can_sign(&self.project.id, ALGORITHM) {
                return Ok(());
            }
            tokio::time::sleep(KEY_POLL).await;
        }
        tracing::error!(dialect = NAME, project = %self.project.id, "the project has no RSA key");
        Err(OAuthError::internal())
    }
}
