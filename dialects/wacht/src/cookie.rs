//! The cookie that carries a session in production.

use std::time::Duration;

use engine::Timestamp;
use http::{HeaderMap, HeaderValue};
use web::cookie::{self, Life, SameSite, Scope, pairs};

/// Its name.
const NAME: &str = "__session";

/// How long a token is good for, and kept by a browser.
pub(crate) const KEPT: Duration = Duration::from_hours(7 * 24);

/// Where the cookie goes.
pub(crate) struct Cookie(Scope);

impl Cookie {
    /// The cookie of the server at `origin`.
    pub(crate) fn new(origin: &str) -> Self {
        let secure = !origin.starts_with("http://");
        Self(Scope { path: "/".to_owned(), domain: domain(origin), secure, same_site: SameSite::Lax })
    }

    /// `set-cookie` for `token`, which is base64url.
    pub(crate) fn set(&self, token: &str, now: Timestamp) -> Option<HeaderValue> {
        cookie::set(NAME, token, Life::Until { now, end: now.plus(KEPT) }, &self.0).ok()
    }

    /// The values of the cookie in a request. A neighbouring host may have set another one of its name.
    pub(crate) fn read(headers: &HeaderMap) -> impl Iterator<Item = &str> {
        pairs(headers).filter(|(name, _)| *name == NAME).map(|(_, value)| value)
    }
}

/// The host of `origin` without a leading `frontend.`, so that the servers of the pages beside it see the cookie, too; none for an
/// address or a name without a dot, which a browser would not take.
fn domain(origin: &str) -> Option<String> {
    let authority = origin.split_once("://")?.1;
    if authority.starts_with('[') {
        return None;
    }
    let host = authority.split(':').next()?.trim_end_matches('.');
    let host = host.strip_prefix("frontend.").filter(|rest| rest.contains('.')).unwrap_or(host);
    let is_address = host.split('.').all(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    (host.contains('.') && !is_address && !host.ends_with(".localhost")).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use http::header;

    use super::*;

    #[test]
    fn the_domain_is_the_host_without_frontend() {
        for (origin, expected) in [
            ("https://frontend.example.com", Some("example.com")),
            ("https://login.example.com:8443", Some("login.example.com")),
            ("https://frontend.com", Some("frontend.com")),
            ("https://frontend.localhost", None),
            ("http://localhost:8080", None),
            ("http://127.0.0.1:8080", None),
            ("http://[::1]:8080", None),
        ] {
            assert_eq!(domain(origin).as_deref(), expected, "{origin}");
        }
    }

    #[test]
    fn the_attributes_are_those_of_a_session_that_no_script_sees() {
        let now = Timestamp::from_millis(1_772_366_400_789);
        let set = Cookie::new("https://frontend.example.com").set("abc", now).unwrap();
        let attributes = "Expires=Sun, 08 Mar 2026 12:00:00 GMT; Max-Age=604800; HttpOnly";
        assert_eq!(set, format!("__session=abc; Path=/; Domain=example.com; {attributes}; Secure; SameSite=Lax"));
        let set = Cookie::new("http://127.0.0.1:8080").set("abc", now).unwrap();
        assert_eq!(set, format!("__session=abc; Path=/; {attributes}; SameSite=Lax"));
    }

    #[test]
    fn every_cookie_of_the_name_is_seen() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; __session=x;__session=y=z; __session2=n"));
        headers.append(header::COOKIE, HeaderValue::from_static(" __session=w"));
        assert_eq!(Cookie::read(&headers).collect::<Vec<_>>(), ["x", "y=z", "w"]);
    }
}
