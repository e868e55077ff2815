//! Puts surfaces together into one service: who owns a path, and what is done around every handler.
//!
//! A request goes to the surface that owns the longest prefix of its path, several slashes at whose begin are one. Around the
//! surface's router stands one [`frame`](frame::around), which does what is the same for all, in this order, from the outside to the
//! inside:
//!
//! 1. measure, and give the request an id (one from outside is thrown away), so that everything below is in its span;
//! 2. find out who asks;
//! 3. refuse a body that says it is too long, bound every other;
//! 4. time: the handler, together with the arrival of what it reads;
//! 5. catch a panic;
//! 6. put the headers on that every answer has, failures included.
//!
//! What goes wrong in 3, 4 and 5 is said by the surface, in its own shape. A path nobody owns gets a neutral answer.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;

use axum::response::Response;
use axum::routing::future::RouteFuture;
use engine::Entropy;
use http::uri::PathAndQuery;
use http::{StatusCode, Uri};
use tower::Service;
use web::{ConfigError, Failure, Surface, TrustedProxies, respond};

mod frame;
#[cfg(test)]
mod tests;

/// What is the same for all surfaces.
#[derive(Clone)]
pub(crate) struct Settings {
    /// Where request ids come from.
    pub(crate) entropy: Arc<dyn Entropy>,
    /// Whose `x-forwarded-…` headers are believed.
    pub(crate) trusted_proxies: TrustedProxies,
    /// Whether this is `countersign dev`.
    pub(crate) development: bool,
    /// How long a request may take, from the end of its header to the begin of its answer.
    pub(crate) request_timeout: Duration,
    /// The surface that answers where no longer prefix is anybody's, whoever else claims `/`.
    pub(crate) root: Option<String>,
    /// The most bytes of a body.
    pub(crate) body_limit: usize,
    /// Hears of every answer.
    pub(crate) observer: Arc<dyn AnswerObserver>,
}

impl Settings {
    /// The usual limits: 30 s and 64 KiB.
    pub(crate) fn new(entropy: Arc<dyn Entropy>, observer: Arc<dyn AnswerObserver>) -> Self {
        Self {
            entropy,
            trusted_proxies: TrustedProxies::none(),
            development: false,
            request_timeout: Duration::from_secs(30),
            root: None,
            body_limit: web::body::LIMIT,
            observer,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("trusted_proxies", &self.trusted_proxies)
            .field("development", &self.development)
            .field("root", &self.root)
            .field("request_timeout", &self.request_timeout)
            .field("body_limit", &self.body_limit)
            .finish_non_exhaustive()
    }
}

/// A request that was answered, in words that may be a metric's labels: closed sets all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answered<'a> {
    /// The surface; `none` for a path nobody owns.
    pub(crate) dialect: &'static str,
    /// The route as it was declared, as in `/v1/instances/{id}`; `unmatched` where there is none.
    pub(crate) route: &'a str,
    /// The HTTP status.
    pub(crate) status: u16,
    /// From the end of the header to the begin of the answer.
    pub(crate) took: Duration,
}

/// Hears of every answer. Called on the path that serves people: it must be quick.
pub(crate) trait AnswerObserver: Send + Sync {
    /// A request was answered.
    fn answered(&self, answered: &Answered<'_>);
}

/// All surfaces of a listener, as one service.
#[derive(Debug, Clone)]
pub(crate) struct Application {
    /// Longest prefix first.
    mounts: Arc<[Mount]>,
    unowned: Router,
}

#[derive(Debug)]
struct Mount {
    prefix: String,
    dialect: &'static str,
    router: Router,
}

impl Application {
    /// Puts `surfaces` together. What they have for the operator is not in it: see [`administration`].
    ///
    /// # Errors
    /// A prefix that two surfaces claim, or that is none.
    pub(crate) fn assemble(surfaces: Vec<Surface>, settings: &Arc<Settings>) -> Result<Self, ConfigError> {
        let mut mounts: Vec<Mount> = Vec::new();
        let mut shared: Vec<Mount> = Vec::new();
        for mut surface in surfaces {
            if let Some(root) = &settings.root {
                surface.prefixes.retain(|prefix| prefix != "/");
                if surface.name == root {
                    surface.prefixes.push("/".to_owned());
                }
            }
            let router = frame::around(surface.router, surface.name, surface.failure, settings);
            for prefix in surface.prefixes {
                check_prefix(surface.name, &prefix)?;
                if let Some(other) = mounts.iter().find(|mount| mount.prefix == prefix) {
                    let problem = format!(
                        "the path prefix `{prefix}` is claimed by both `{}` and `{}`",
                        other.dialect, surface.name
                    );
                    return Err(ConfigError::new("dialects", problem));
                }
                mounts.push(Mount { prefix, dialect: surface.name, router: router.clone() });
            }
            for prefix in surface.shared {
                check_prefix(surface.name, &prefix)?;
                shared.push(Mount { prefix, dialect: surface.name, router: router.clone() });
            }
        }
        for mount in shared {
            if !mounts.iter().any(|other| other.prefix == mount.prefix) {
                mounts.push(mount);
            }
        }
        mounts.sort_by_key(|mount| std::cmp::Reverse(mount.prefix.len()));
        let nobody = Router::new().fallback(|| async { neutral(Failure::NotFound) });
        Ok(Self { mounts: mounts.into(), unowned: frame::around(nobody, "none", neutral, settings) })
    }

    /// Whose path it is. A target that is no path (`*`, or an authority) is nobody's.
    fn owner(&self, path: &str) -> &Router {
        let mount = self.mounts.iter().find(|mount| owns(&mount.prefix, path));
        mount.map_or(&self.unowned, |mount| &mount.router)
    }
}

impl Service<Request> for Application {
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        collapse_leading_slashes(request.uri_mut());
        self.owner(request.uri().path()).clone().call(request)
    }
}

/// `//v1/login` is `/v1/login`: SDKs put a base URL with a slash at its end and a path with one at its begin together.
fn collapse_leading_slashes(uri: &mut Uri) {
    let Some(target) = uri.path_and_query().map(PathAndQuery::as_str).filter(|target| target.starts_with("//")) else {
        return;
    };
    let Ok(target) = PathAndQuery::try_from(format!("/{}", target.trim_start_matches('/'))) else { return };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target);
    // It was whole before, and only its path is another.
    if let Ok(collapsed) = Uri::from_parts(parts) {
        *uri = collapsed;
    }
}

/// Whether `path` is `prefix` or below it: `/v1/login` owns `/v1/login/x`, not `/v1/logins`.
fn owns(prefix: &str, path: &str) -> bool {
    if prefix == "/" {
        return path.starts_with('/');
    }
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn check_prefix(dialect: &str, prefix: &str) -> Result<(), ConfigError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_' | b'~');
    let well_formed = prefix.starts_with('/')
        && (prefix == "/" || !prefix.ends_with('/'))
        && !prefix.contains("//")
        && prefix.bytes().all(plain);
    if well_formed {
        return Ok(());
    }
    let problem =
        format!("`{prefix}` is no path prefix: it begins with a slash, does not end with one, and has no patterns");
    Err(ConfigError::new(format!("dialects.{dialect}"), problem))
}

/// Takes what `surfaces` have for the operator's listener, as surfaces of that listener.
pub(crate) fn administration(surfaces: &mut [Surface]) -> Vec<Surface> {
    let mut taken = Vec::new();
    for surface in surfaces {
        if let Some(administration) = surface.administration.take() {
            taken.push(Surface {
                name: surface.name,
                prefixes: administration.prefixes,
                shared: Vec::new(),
                router: administration.router,
                administration: None,
                failure: surface.failure,
            });
        }
    }
    taken
}

/// What is said about a path that belongs to no surface, and by parts of the server that have no shape of their own.
pub(crate) fn neutral(failure: Failure) -> Response {
    let (status, body) = match failure {
        Failure::NotFound => (StatusCode::NOT_FOUND, r#"{"error":"not_found"}"#),
        Failure::WrongVerb => (StatusCode::METHOD_NOT_ALLOWED, r#"{"error":"method_not_allowed"}"#),
        Failure::Panicked => (StatusCode::INTERNAL_SERVER_ERROR, r#"{"error":"internal"}"#),
        Failure::TimedOut => (StatusCode::REQUEST_TIMEOUT, r#"{"error":"request_timeout"}"#),
        Failure::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, r#"{"error":"body_too_large"}"#),
        Failure::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, r#"{"error":"unavailable"}"#),
    };
    respond::with_retry(respond::bytes(status, respond::JSON, body))
}

/// Has panics logged where they happen: once, inside of the request's span, by place and not by message, because the
/// message of a slice or a conversion that went wrong quotes the text it had, and that may be a code.
///
/// For the whole process; the handlers' barrier then only answers.
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked");
    }));
}
