//! Cookies of pages: only this host gets them, scripts never do, and no other site's form brings them along.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use crate::cookie::{self, Life, SameSite, Scope, pairs};

/// A cookie of the pages of one origin.
#[derive(Debug, Clone)]
pub struct PageCookie {
    name: String,
    scope: Scope,
}

impl PageCookie {
    /// The cookie `countersign-<name>` of `origin`. Over https no other host of the domain can write it (`__Host-`).
    pub fn new(name: &str, origin: &str) -> Self {
        let is_secure = origin.starts_with("https://");
        let prefix = if is_secure { "__Host-" } else { "" };
        let scope = Scope { path: "/".to_owned(), domain: None, secure: is_secure, same_site: SameSite::Lax };
        Self { name: format!("{prefix}countersign-{name}"), scope }
    }

    /// What the browser brought along; the first of several, which is the one with the longest path.
    pub fn read<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        pairs(headers).find(|(name, _)| *name == self.name).map(|(_, value)| value)
    }

    /// The header that gives it to the browser: for `life`, or until the browser is closed. `None` where `value` cannot
    /// stand in a header.
    pub fn set(&self, value: &str, life: Option<Duration>) -> Option<HeaderValue> {
        self.with(value, life.map_or(Life::Browser, Life::For))
    }

    /// The header that takes it away again.
    pub fn clear(&self) -> Option<HeaderValue> {
        self.with("", Life::Over)
    }

    fn with(&self, value: &str, life: Life) -> Option<HeaderValue> {
        cookie::set(&self.name, value, life, &self.scope).ok()
    }
}

#[cfg(test)]
mod tests {
    use http::header::COOKIE;

    use super::*;

    #[test]
    fn over_https_only_this_host_can_write_it() {
        let cookie = PageCookie::new("flow", "https://id.example.com");
        assert_eq!(
            cookie.set("abc", Some(Duration::from_mins(1))).unwrap(),
            "__Host-countersign-flow=abc; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax"
        );
        let cookie = PageCookie::new("flow", "http://127.0.0.1:8080");
        assert_eq!(cookie.set("abc", None).unwrap(), "countersign-flow=abc; Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(
            cookie.clear().unwrap(),
            "countersign-flow=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; HttpOnly; SameSite=Lax"
        );
        assert!(cookie.set("a\r\nb", None).is_none());
    }

    #[test]
    fn it_is_found_among_others_and_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("x-countersign-flow=1; countersign-flowers=2"));
        headers.append(COOKIE, HeaderValue::from_static("a=b; countersign-flow=3;countersign-flow=4"));
        assert_eq!(PageCookie::new("flow", "http://localhost").read(&headers), Some("3"));
        assert_eq!(PageCookie::new("flow", "https://localhost").read(&headers), None);
    }
}
