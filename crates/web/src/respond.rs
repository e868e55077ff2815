//! Answers: serialised once, into one buffer, with the headers that every answer has.
//!
//! Everything is `cache-control: no-store` except what is made by [`public`], so that a proxy cannot keep an answer
//! that was somebody's.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, InvalidHeaderValue, LOCATION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

/// The content type of [`json`].
pub const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// The content type of pages.
pub const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// Nobody keeps a copy.
pub const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// What `retry-after` says behind a 503: another connection to the database is tried within a second of the one that could not be made,
/// and where another server takes the first one's place, that takes a few.
pub const RETRY_SOON: Duration = Duration::from_secs(2);

/// Enough for most answers with a token; a longer one grows the buffer.
const USUAL_LENGTH: usize = 512;

/// `status` with `body` as compact JSON.
///
/// A body that cannot be serialised is a bug (a map whose keys are no strings, or a `Serialize` of ours that fails): it
/// is logged and answered with an empty 500.
pub fn json<T: Serialize + ?Sized>(status: StatusCode, body: &T) -> Response {
    let mut buffer = Vec::with_capacity(USUAL_LENGTH);
    match serde_json::to_writer(&mut buffer, body) {
        Ok(()) => bytes(status, JSON, buffer),
        Err(error) => {
            // Only the kind: the message of a `Serialize` of ours might quote a value.
            tracing::error!(kind = ?error.classify(), "an answer could not be serialised");
            empty(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// `status` with ready-made bytes.
pub fn bytes(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Response {
    let mut response = empty(status);
    *response.body_mut() = Body::from(body.into());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// `status` without a body.
pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
    response
}

/// The same answer; with a 503 goes when it is worth asking again.
#[must_use]
pub fn with_retry(mut response: Response) -> Response {
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_SOON.as_secs()));
    }
    response
}

/// 303: whoever asked shall `GET` `location` next.
///
/// # Errors
/// If `location` holds what no header may: control characters, as in an attempt to smuggle in another header.
pub fn see_other(location: &str) -> Result<Response, InvalidHeaderValue> {
    let location = HeaderValue::from_str(location)?;
    let mut response = empty(StatusCode::SEE_OTHER);
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// 200 with bytes that are the same for everybody (a key set, a style sheet) and that anybody may keep for `max_age`,
/// counted in whole seconds.
pub fn public(content_type: HeaderValue, body: impl Into<Bytes>, max_age: Duration) -> Response {
    let mut response = bytes(StatusCode::OK, content_type, body);
    if let Ok(value) = HeaderValue::try_from(format!("public, max-age={}", max_age.as_secs())) {
        response.headers_mut().insert(CACHE_CONTROL, value);
    }
    response
}
