//! The cookie that carries a session in production.

use std::time::{Duration, UNIX_EPOCH};

use engine::Timestamp;
use http::{HeaderMap, HeaderValue, header};

/// Its name.
const NAME: &str = "__session";

/// How long a token is good for, and kept by a browser.
pub(crate) const KEPT: Duration = Duration::from_hours(7 * 24);

/// The cookie's attributes that do not change.
pub(crate) struct Cookie {
    domain: Option<String>,
    is_secure: bool,
}

impl Cookie {
    /// The cookie of the server at `origin`.
    pub(crate) fn new(origin: &str) -> Self {
        Self { domain: domain(origin), is_secure: !origin.starts_with("http://") }
    }

    /// `set-cookie` for `token`, which is base64url.
    pub(crate) fn set(&self, token: &str, now: Timestamp) -> Option<HeaderValue> {
        let ends_at = u64::try_from(now.plus(KEPT).seconds()).ok()?;
        let expires = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(ends_at));
        let mut text =
            format!("{NAME}={token}; Path=/; Max-Age={}; Expires={expires}; HttpOnly; SameSite=Lax", KEPT.as_secs());
        if self.is_secure {
            text.push_str("; Secure");
        }
        if let Some(domain) = &self.domain {
            text.push_str("; Domain=");
            text.push_str(domain);
        }
        HeaderValue::try_from(text).ok()
    }

    /// The values of the cookie in a request. A neighbouring host may have set another one of its name.
    pub(crate) fn read(headers: &HeaderMap) -> impl Iterator<Item = &str> {
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.filter(|(name, _)| *name == NAME).map(|(_, value)| value)
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
        let expected = "__session=abc; Path=/; Max-Age=604800; Expires=Sun, 08 Mar 2026 12:00:00 GMT; HttpOnly; SameSite=Lax; \
                        Secure; Domain=example.com";
        assert_eq!(set, expected);
        let set = Cookie::new("http://127.0.0.1:8080").set("abc", now).unwrap();
        let plain = expected.strip_suffix("; Secure; Domain=example.com").unwrap();
        assert_eq!(set, plain);
    }

    #[test]
    fn every_cookie_of_the_name_is_seen() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; __session=x;__session=y=z; __session2=n"));
        headers.append(header::COOKIE, HeaderValue::from_static(" __session=w"));
        assert_eq!(Cookie::read(&headers).collect::<Vec<_>>(), ["x", "y=z", "w"]);
    }
}
