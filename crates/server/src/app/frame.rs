//! What is done around every handler. The order is told in the parent module.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, EXPECT, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;
use web::body::Bounded;
use web::client::request_origin;
use web::{Client, Failure, Peer, respond};

use super::{Answered, Settings};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// One surface's frame.
#[derive(Debug)]
struct Frame {
    dialect: &'static str,
    failure: fn(Failure) -> Response,
    settings: Arc<Settings>,
}

/// Puts the frame around each of `router`'s routes and fallbacks.
pub(super) fn around(
    router: Router,
    dialect: &'static str,
    failure: fn(Failure) -> Response,
    settings: &Arc<Settings>,
) -> Router {
    let frame = Arc::new(Frame { dialect, failure, settings: Arc::clone(settings) });
    // `layer` runs after routing, so the frame knows the route, and around fallbacks, too.
    router.layer(middleware::from_fn_with_state(frame, enter))
}

async fn enter(State(frame): State<Arc<Frame>>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let settings = &frame.settings;
    let id = request_id(settings);
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let route = matched.as_ref().map_or("unmatched", MatchedPath::as_str);
    let span = tracing::info_span!(
        "request",
        id = &*id,
        dialect = frame.dialect,
        method = method_name(request.method()),
        route,
        status = tracing::field::Empty,
    );

    introduce(&mut request, settings);
    let mut response = frame.answer(request, next).instrument(span.clone()).await;

    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.entry(CACHE_CONTROL).or_insert(respond::NO_STORE);
    headers.entry(X_CONTENT_TYPE_OPTIONS).or_insert(NO_SNIFF);
    let status = response.status().as_u16();
    let took = began.elapsed();
    span.record("status", status);
    span.in_scope(|| tracing::debug!(took_us = took.as_micros(), "request answered"));
    settings.observer.answered(&Answered { dialect: frame.dialect, route, status, took });
    response
}

/// Puts into the request's extensions what handlers may want to know of it.
fn introduce(request: &mut Request, settings: &Settings) {
    // Whoever does not come through `serve.rs` (a test that calls the service) is local.
    let peer = request.extensions().get::<Peer>().copied().unwrap_or(Peer::Local);
    let trusted = &settings.trusted_proxies;
    let client = Client::of(peer, request.headers(), trusted);
    let origin = request_origin(peer, request.uri(), request.headers(), trusted, settings.development);
    request.headers_mut().remove(REQUEST_ID);
    let extensions = request.extensions_mut();
    extensions.insert(client);
    if let Some(origin) = origin {
        extensions.insert(origin);
    }
}

impl Frame {
    /// The handler's answer, or the surface's words for why there is none.
    async fn answer(&self, request: Request, next: Next) -> Response {
        let settings = &self.settings;
        let announced = content_length(request.headers());
        let (parts, body) = request.into_parts();
        if announced.is_some_and(|length| length > settings.body_limit) {
            // Whoever waits to be asked for the body is not asked. Time runs for the others, too; the answer is the same
            // when it is over.
            if !parts.headers.contains_key(EXPECT) {
                let _ = timeout(settings.request_timeout, Bounded::refuse(body)).await;
            }
            return (self.failure)(Failure::BodyTooLarge);
        }
        let (body, progress) = Bounded::new(body, settings.body_limit);
        let request = Request::from_parts(parts, Body::new(body));
        let answered = timeout(settings.request_timeout, uninterrupted(next.run(request))).await;
        if progress.exceeded() {
            // Whatever the handler made of it: the surface has one answer to this.
            return (self.failure)(Failure::BodyTooLarge);
        }
        match answered {
            Ok(Some(response)) => response,
            Ok(None) => (self.failure)(Failure::Panicked),
            Err(_) if progress.is_awaited() => (self.failure)(Failure::TimedOut),
            Err(_) => {
                tracing::error!("a handler took too long");
                (self.failure)(Failure::Unavailable)
            }
        }
    }
}

/// What `future` gives, or `None` if it panicked. The panic itself is the hook's to report.
async fn uninterrupted<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        // Unwind safe: after a panic the future is never polled again, and what handlers share (the engine, the store)
        // keeps its own promises.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(polled) => polled.map(Some),
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}

/// What a request is called in the log and in its answer's `x-request-id`: 16 hexadecimal digits.
fn request_id(settings: &Settings) -> String {
    let mut bytes = [0; 8];
    settings.entropy.fill(&mut bytes);
    let mut text = String::with_capacity(16);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The verb, unless it is one that somebody made up.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
