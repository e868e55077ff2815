//! Which pages may ask.
//!
//! In staging nothing rides on what a browser adds by itself, so any page may. In production the session is a cookie: only the pages
//! that the operator listed may ask, and our own; a page of anybody else is refused before anything is read or set.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, Any, CorsLayer};

use crate::Mode;
use crate::visit::DEVELOPMENT_SESSION;

/// Says where a browser's request comes from (W3C Fetch Metadata); pages cannot write it.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The pages that may ask.
#[derive(Clone)]
pub(crate) struct Pages {
    mode: Mode,
    /// Our own origin first.
    origins: Arc<[String]>,
}

impl Pages {
    /// The pages of `listed` beside our own; `None` if one is no origin.
    pub(crate) fn new(mode: Mode, own: &str, listed: &[String]) -> Option<Self> {
        let mut origins = vec![own.to_owned()];
        for page in listed {
            origins.push(canonical(page)?);
        }
        Some(Self { mode, origins: origins.into() })
    }

    /// The host of the first page that is listed, or else our own.
    pub(crate) fn front_end_host(&self) -> &str {
        let origin = self.origins.get(1).or(self.origins.first()).map_or("", String::as_str);
        origin.split_once("://").map_or(origin, |(_, host)| host)
    }

    /// Whether a request with `headers` comes from a page that may not ask.
    pub(crate) fn is_strange(&self, headers: &HeaderMap) -> bool {
        if self.mode == Mode::Staging {
            return false;
        }
        match headers.get(header::ORIGIN) {
            Some(origin) => !self.has(origin),
            None => headers.get(FETCH_SITE).is_some_and(|site| site == "cross-site"),
        }
    }

    fn has(&self, origin: &HeaderValue) -> bool {
        self.origins.iter().any(|own| origin.as_bytes() == own.as_bytes())
    }

    /// What a browser is told about it.
    pub(crate) fn cors(&self) -> CorsLayer {
        let layer = CorsLayer::new()
            .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
            .allow_headers(AllowHeaders::mirror_request())
            .max_age(Duration::from_hours(2));
        if self.mode == Mode::Staging {
            return layer.allow_origin(Any).expose_headers([DEVELOPMENT_SESSION, header::RETRY_AFTER]);
        }
        let pages = self.clone();
        // What is well known may be read by anybody.
        let may_ask = move |origin: &HeaderValue, parts: &Parts| {
            pages.has(origin) || parts.uri.path().starts_with("/.well-known/")
        };
        layer
            .allow_origin(AllowOrigin::predicate(may_ask))
            .allow_credentials(true)
            .expose_headers([header::RETRY_AFTER])
    }
}

/// An origin as browsers write it.
fn canonical(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
    let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none() && !authority.as_str().contains('@');
    if !is_bare || !matches!(scheme, "http" | "https") {
        return None;
    }
    let host = authority.host().to_ascii_lowercase();
    let usual = if scheme == "https" { 443 } else { 80 };
    match authority.port_u16().filter(|port| *port != usual) {
        Some(port) => Some(format!("{scheme}://{host}:{port}")),
        None => Some(format!("{scheme}://{host}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_by(origin: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::ORIGIN, HeaderValue::from_str(origin).unwrap())])
    }

    #[test]
    fn an_origin_is_written_as_browsers_do() {
        for (listed, expected) in [
            ("https://App.Example.com/", Some("https://app.example.com")),
            ("https://app.example.com:443", Some("https://app.example.com")),
            ("http://localhost:3000", Some("http://localhost:3000")),
            ("app.example.com", None),
            ("https://*.example.com/x", None),
            ("https://user@example.com", None),
            ("ftp://example.com", None),
            ("*", None),
        ] {
            assert_eq!(canonical(listed).as_deref(), expected, "{listed}");
        }
    }

    #[test]
    fn st_40_only_whole_origins_are_the_same() {
        let listed = ["https://app.example.com".to_owned()];
        let pages = Pages::new(Mode::Production, "https://login.example.com", &listed).unwrap();
        for own in ["https://app.example.com", "https://login.example.com"] {
            assert!(!pages.is_strange(&asked_by(own)), "{own}");
        }
        for strange in [
            "https://evilapp.example.com",
            "https://app.example.com.evil.com",
            "https://example.com",
            "http://app.example.com",
            "https://app.example.com:8443",
            "null",
            "",
        ] {
            assert!(pages.is_strange(&asked_by(strange)), "{strange}");
        }
        assert!(!pages.is_strange(&HeaderMap::new()), "what is no browser names no page");
        for (site, is_strange) in [("cross-site", true), ("same-site", false), ("same-origin", false), ("none", false)]
        {
            let headers = HeaderMap::from_iter([(FETCH_SITE, HeaderValue::from_static(site))]);
            assert_eq!(pages.is_strange(&headers), is_strange, "{site}");
        }
        let staging = Pages::new(Mode::Staging, "https://login.example.com", &[]).unwrap();
        assert!(!staging.is_strange(&asked_by("https://anybody.example")));
    }
}
