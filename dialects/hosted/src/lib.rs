//! The pages on which people sign in and out, for whichever authorization server sends them there. See the README beside this crate
//! for routes, sources and deviations.

mod code;
mod page;
mod sign_in;
mod sign_out;
mod visitor;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use engine::{Context, Engine, Project};
use serde::Deserialize;
use web::page::PageCookie;
use web::{App, Client, ConfigError, Dialect, Failure, Surface};

use page::HostedPages;

/// The surface's name, in the configuration, in flows and in metrics.
const NAME: &str = "hosted";

/// Where the code is typed.
const CODE: &str = "/sign-in/code";

/// The sign-in pages.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hosted;

/// `[dialects.hosted]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Section {
    session_hours: u64,
}

impl Default for Section {
    fn default() -> Self {
        Self { session_hours: 12 }
    }
}

/// What the handlers share.
struct Shared {
    engine: Arc<Engine>,
    project: Arc<Project>,
    origin: String,
    session_life: Duration,
    /// Names the flow that the browser is in.
    flow_cookie: PageCookie,
    /// Names the session of whoever signed in with it.
    session_cookie: PageCookie,
    /// Says who did, also after signing out.
    device_cookie: PageCookie,
    pages: HostedPages,
}

impl Dialect for Hosted {
    fn name(&self) -> &'static str {
        NAME
    }

    fn mount(&self, app: App, section: toml::Table) -> Result<Surface, ConfigError> {
        let Section { session_hours } = ConfigError::section(NAME, section)?;
        if !(1..=720).contains(&session_hours) {
            return Err(ConfigError::new("dialects.hosted.session_hours", "must be from 1 to 720"));
        }
        let pages = HostedPages::new(&app.project.name).map_err(|error| ConfigError::new("dialects.hosted", error))?;
        let shared = Arc::new(Shared {
            engine: app.engine,
            project: app.project,
            session_life: Duration::from_hours(session_hours),
            flow_cookie: PageCookie::new("flow", &app.origin),
            session_cookie: PageCookie::new("session", &app.origin),
            device_cookie: PageCookie::new("device", &app.origin),
            origin: app.origin,
            pages,
        });
        let router = Router::new()
            .route("/sign-in", get(sign_in::show).post(sign_in::start))
            .route("/sign-in/code", get(code::show).post(code::verify))
            .route("/sign-in/code/resend", post(code::resend))
            .route("/sign-in/link", get(code::link))
            .route("/sign-out", get(sign_out::show).post(sign_out::confirm))
            .fallback(|| async { failure(Failure::NotFound) })
            .method_not_allowed_fallback(|| async { failure(Failure::WrongVerb) })
            .with_state(shared);
        let prefixes = ["/sign-in", "/sign-out"].map(str::to_owned).to_vec();
        Ok(Surface { name: NAME, prefixes, shared: Vec::new(), router, administration: None, failure })
    }
}

/// What happens outside of the handlers: a page, too.
fn failure(failure: Failure) -> Response {
    page::failure(failure)
}

impl Shared {
    fn context<'a>(&'a self, client: &'a Client) -> Context<'a> {
        self.engine.context(&self.project, NAME, client.for_engine())
    }
}
