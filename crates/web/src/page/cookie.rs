//! Cookies of pages: only this host gets them, scripts never do, and no other site's form brings them along.

use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// A cookie of the pages of one origin.
#[derive(Debug, Clone)]
pub struct PageCookie {
    name: String,
    is_secure: bool,
}

impl PageCookie {
    /// The cookie `countersign-<name>` of `origin`. Over https no other host of the domain can write it (`__Host-`).
    pub fn new(name: &str, origin: &str) -> Self {
        let is_secure = origin.starts_with("https://");
        let prefix = if is_secure { "__Host-" } else { "" };
        Self { name: format!("{prefix}countersign-{name}"), is_secure }
    }

    /// What the browser brought along; the first of several, which is the one with the longest path.
    pub fn read<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == self.name).map(|(_, value)| value)
    }

    /// The header that gives it to the browser: for `life`, or until the browser is closed. `None` where `value` cannot
    /// stand in a header.
    pub fn set(&self, value: &str, life: Option<Duration>) -> Option<HeaderValue> {
        let life = life.map(|life| format!("; Max-Age={}", life.as_secs())).unwrap_or_default();
        let secure = if self.is_secure { "; Secure" } else { "" };
        let header = format!("{}={value}; Path=/{life}; HttpOnly; SameSite=Lax{secure}", self.name);
        HeaderValue::try_from(header).ok()
    }

    /// The header that takes it away again.
    pub fn clear(&self) -> Option<HeaderValue> {
        self.set("", Some(Duration::ZERO))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_https_only_this_host_can_write_it() {
        let cookie = PageCookie::new("flow", "https://id.example.com");
        assert_eq!(
            cookie.set("abc", Some(Duration::from_mins(1))).unwrap(),
            "__Host-countersign-flow=abc; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure"
        );
        let cookie = PageCookie::new("flow", "http://127.0.0.1:8080");
        assert_eq!(cookie.set("abc", None).unwrap(), "countersign-flow=abc; Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(cookie.clear().unwrap(), "countersign-flow=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
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
