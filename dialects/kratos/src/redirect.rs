//! Redirects: with a small page where a `GET` is answered, as browsers of old want it, and without one behind a form.

use std::fmt::Write as _;

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderValue, StatusCode};
use web::respond;

use crate::error::Status;

/// 303 to `location`.
pub(crate) fn see_other(answers_read: bool, location: &str) -> Response {
    to(StatusCode::SEE_OTHER, answers_read, location)
}

/// 307 to `location`: the same request again, over there.
pub(crate) fn over_there(answers_read: bool, location: &str) -> Response {
    to(StatusCode::TEMPORARY_REDIRECT, answers_read, location)
}

fn to(status: StatusCode, answers_read: bool, location: &str) -> Response {
    let Ok(value) = HeaderValue::from_str(location) else {
        tracing::error!(dialect = crate::NAME, "a redirect has a location that no header may hold");
        return Status::internal().into_response();
    };
    let mut response = respond::empty(status);
    if answers_read {
        let page = format!("<!doctype html><title>Moved</title><a href=\"{}\">Go on</a>\n", escaped(location));
        *response.body_mut() = Body::from(page);
        response.headers_mut().insert(CONTENT_TYPE, respond::HTML);
    }
    response.headers_mut().insert(LOCATION, value);
    response
}

/// Text for an attribute in double quotes.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `url` with `name=value` in its query; what else is there stays. `value` must need no escapes.
pub(crate) fn with_parameter(url: &str, name: &str, value: &str) -> String {
    let (url, fragment) = url.split_once('#').map_or((url, None), |(url, fragment)| (url, Some(fragment)));
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let is_other = |pair: &&str| !pair.is_empty() && pair.split('=').next() != Some(name);
    let mut pairs: Vec<_> = query.split('&').filter(is_other).map(str::to_owned).collect();
    pairs.push(format!("{name}={value}"));
    let fragment = fragment.map(|fragment| format!("#{fragment}")).unwrap_or_default();
    format!("{path}?{}{fragment}", pairs.join("&"))
}

/// `text` as the value of a parameter.
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => encoded.push('+'),
            b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => encoded.push(char::from(byte)),
            byte => {
                // Writing to a string cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::with_parameter;

    #[test]
    fn a_parameter_is_put_among_others_and_in_place_of_its_own() {
        let put = |url| with_parameter(url, "id", "7");
        assert_eq!(put("https://ui.test/error"), "https://ui.test/error?id=7");
        assert_eq!(put("https://ui.test/error?a=b&id=1&c#d"), "https://ui.test/error?a=b&c&id=7#d");
        assert_eq!(put("/error?"), "/error?id=7");
    }
}
