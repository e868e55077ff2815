//! The anti-CSRF cookie, the tokens made from it, and the check of both.
//!
//! Routes that a browser opens are wrapped by [`protected`]: it gives the handler a [`Csrf`] and sets the cookie where it was missing.
//! Elsewhere a handler reads the cookie itself ([`Csrf::sent`]) or makes a new one ([`Csrf::renewed`]) and puts it on the answer
//! ([`Csrf::put`]). Only the digest of a secret is stored.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::MethodRouter;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderName, Method};
use web::cookie::{self, Life};
use web::csrf::CsrfSecret;

use crate::config::Config;
use crate::error::Status;
use crate::{Shared, routes};

/// A year: what the original says.
const LIFE: Duration = Duration::from_hours(365 * 24);

const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// The cookie of the browser that asks.
#[derive(Debug, Clone)]
pub(crate) struct Csrf {
    secret: CsrfSecret,
    is_new: bool,
}

impl Csrf {
    /// The cookie that was sent, if it is one of ours.
    pub(crate) fn sent(config: &Config, headers: &HeaderMap) -> Option<Self> {
        let secret = cookie::values(headers, &config.csrf_cookie).find_map(CsrfSecret::from_cookie)?;
        Some(Self { secret, is_new: false })
    }

    /// A new one, to be [`put`](Csrf::put) on the answer.
    pub(crate) fn renewed(shared: &Shared) -> Self {
        Self { secret: CsrfSecret::new(shared.engine.random()), is_new: true }
    }

    /// The cookie that was sent, or a new one.
    pub(crate) fn sent_or_new(shared: &Shared, headers: &HeaderMap) -> Self {
        Self::sent(&shared.config, headers).unwrap_or_else(|| Self::renewed(shared))
    }

    /// A token for a form, another one each time.
    pub(crate) fn token(&self, shared: &Shared) -> String {
        self.secret.token(shared.engine.random())
    }

    /// What a flow stores to know its browser by.
    pub(crate) fn binding(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.secret.digest())
    }

    /// Whether a flow with `binding` was made for this browser.
    pub(crate) fn is_bound_to(&self, binding: &str) -> bool {
        URL_SAFE_NO_PAD.decode(binding).is_ok_and(|digest| self.secret.is(&digest))
    }

    /// Sets the cookie, if it is new and the answer does not set it yet.
    pub(crate) fn put(&self, config: &Config, response: &mut Response) {
        let is_set =
            response.headers().get_all(SET_COOKIE).iter().any(|line| {
                line.to_str().is_ok_and(|line| line.split('=').next() == Some(config.csrf_cookie.as_str()))
            });
        if !self.is_new || is_set {
            return;
        }
        let set = cookie::set(&config.csrf_cookie, &self.secret.cookie(), Life::For(LIFE), &config.cookies);
        // The scope was checked when the configuration was read.
        if let Ok(header) = set {
            response.headers_mut().append(SET_COOKIE, header);
        }
    }
}

/// Why a request may be forged, in the order in which the original looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CsrfViolation {
    /// There is no `Cookie` header at all.
    NoCookies,
    /// There are cookies, and ours is not among them.
    CookieMissing,
    /// A form came without a token. (On a read, which has none: the flow was made for another browser.)
    TokenMissing,
    /// The token was made from another secret.
    Mismatch,
}

/// A violation, and how it was sent: what a developer is told to look at depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) violation: CsrfViolation,
    /// Sent by a script of a page.
    pub(crate) by_script: bool,
}

/// Checks what a form brings: the cookie, and a token that was made from it.
pub(crate) fn check_token(config: &Config, headers: &HeaderMap, token: Option<&str>) -> Result<Csrf, Refused> {
    let csrf = check_cookie(config, headers)?;
    let refused = |violation| Err(Refused { violation, by_script: is_by_script(headers) });
    match token {
        Some(token) if csrf.secret.made(token) => Ok(csrf),
        None if !headers.get(http::header::CONTENT_TYPE).is_some_and(is_json) => refused(CsrfViolation::TokenMissing),
        Some(_) | None => refused(CsrfViolation::Mismatch),
    }
}

/// Checks that whoever reads a flow with `binding` is the browser that it was made for.
pub(crate) fn check_binding(config: &Config, headers: &HeaderMap, binding: &str) -> Result<Csrf, Refused> {
    let csrf = check_cookie(config, headers)?;
    if csrf.is_bound_to(binding) {
        return Ok(csrf);
    }
    Err(Refused { violation: CsrfViolation::TokenMissing, by_script: is_by_script(headers) })
}

fn check_cookie(config: &Config, headers: &HeaderMap) -> Result<Csrf, Refused> {
    let missing = if headers.contains_key(COOKIE) { CsrfViolation::CookieMissing } else { CsrfViolation::NoCookies };
    Csrf::sent(config, headers).ok_or(Refused { violation: missing, by_script: is_by_script(headers) })
}

fn is_json(content_type: &http::HeaderValue) -> bool {
    content_type
        .to_str()
        .is_ok_and(|value| value.split(';').next().is_some_and(|kind| kind.trim() == "application/json"))
}

fn is_by_script(headers: &HeaderMap) -> bool {
    headers.get(&FETCH_MODE).is_some_and(|mode| mode == "cors" || mode == "same-origin")
}

/// Why an API flow does not take a request that a browser sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FromBrowser {
    /// It has an `Origin` header.
    Origin,
    /// It has these cookies.
    Cookies(Vec<String>),
}

/// Checks that no browser sends a submission to an API flow: those have no token.
pub(crate) fn check_native(headers: &HeaderMap) -> Result<(), FromBrowser> {
    if headers.get(http::header::ORIGIN).is_some_and(|origin| !origin.is_empty()) {
        return Err(FromBrowser::Origin);
    }
    let of_a_proxy = |name: &str| ["__cf", "_cf", "cf_"].iter().any(|prefix| name.starts_with(prefix));
    let names: Vec<_> =
        cookie::all(headers).map(|(name, _)| name).filter(|name| !of_a_proxy(name)).map(str::to_owned).collect();
    if names.is_empty() { Ok(()) } else { Err(FromBrowser::Cookies(names)) }
}

/// Wraps a route that a browser opens: the handler finds a [`Csrf`] among the request's extensions, the cookie is set where it was
/// missing, and a verb that the route does not have is refused as a forgery if it could change something.
pub(crate) fn protected(shared: &Arc<Shared>, route: MethodRouter<Arc<Shared>>) -> MethodRouter<Arc<Shared>> {
    routes::otherwise(forged).merge(route).layer(middleware::from_fn_with_state(Arc::clone(shared), ensure))
}

/// Gives the handler the browser's cookie, and the browser a cookie.
async fn ensure(State(shared): State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let csrf = Csrf::sent_or_new(&shared, request.headers());
    request.extensions_mut().insert(csrf.clone());
    let mut response = next.run(request).await;
    csrf.put(&shared.config, &mut response);
    response
}

/// What a verb gets that a route of browsers does not have.
async fn forged(State(shared): State<Arc<Shared>>, method: Method, headers: HeaderMap) -> Response {
    if method.is_safe() { routes::wrong_verb("GET, HEAD") } else { refusal(&shared.config, &headers) }
}

/// What a form gets where none is taken: the check of its token comes first, and no token is good there.
pub(crate) fn refusal(config: &Config, headers: &HeaderMap) -> Response {
    let mismatch = Refused { violation: CsrfViolation::Mismatch, by_script: is_by_script(headers) };
    Status::csrf(check_token(config, headers, None).err().unwrap_or(mismatch)).into_response()
}
