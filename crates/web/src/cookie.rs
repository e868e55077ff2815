//! Cookies: reading the header a browser sends, and writing one with every attribute said.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use engine::Timestamp;
use http::header::{COOKIE, InvalidHeaderValue};
use http::{HeaderMap, HeaderValue};

/// Every cookie of a request, in the order sent: name and value. A piece without `=` is none.
pub fn all(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pieces = lines.flat_map(|line| line.split(';'));
    pieces.filter_map(|piece| {
        let (name, value) = piece.trim().split_once('=')?;
        let value = value.trim();
        Some((name.trim(), value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(value)))
    })
}

/// The values of the cookie `name`: more than one where two paths or domains have set it.
pub fn values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    all(headers).filter(move |(other, _)| *other == name).map(|(_, value)| value)
}

/// To which requests of other sites a browser adds a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SameSite {
    /// To none.
    Strict,
    /// To navigations.
    #[default]
    Lax,
    /// To all; only `Secure` cookies may.
    None,
}

impl SameSite {
    const fn name(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }
}

/// Where a cookie goes. Always `HttpOnly`: none of ours is for scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// The paths it is sent to.
    pub path: String,
    /// The domain whose hosts it is sent to; without one, the host alone that set it.
    pub domain: Option<String>,
    /// Whether it is sent over TLS only.
    pub secure: bool,
    /// What other sites may do with it. Without [`Scope::secure`], `None` is written as `Lax`: browsers refuse it else.
    pub same_site: SameSite,
}

/// How long a cookie stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Until the browser is closed.
    Browser,
    /// So long from now, in whole seconds.
    For(Duration),
    /// So long from `now`, said in both of the ways that browsers know.
    Until {
        /// Now.
        now: Timestamp,
        /// When it ends.
        end: Timestamp,
    },
    /// It goes at once.
    Over,
}

/// A `set-cookie` header.
///
/// # Errors
/// If the name, the value or the scope holds what no header may.
pub fn set(name: &str, value: &str, life: Life, scope: &Scope) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut text = format!("{name}={value}; Path={}", scope.path);
    if let Some(domain) = &scope.domain {
        text.push_str("; Domain=");
        text.push_str(domain);
    }
    // Writing to a string cannot fail.
    let _ = match life {
        Life::Browser => Ok(()),
        Life::For(duration) => write!(text, "; Max-Age={}", duration.as_secs()),
        Life::Until { now, end } => {
            let expires = UNIX_EPOCH + Duration::from_secs(u64::try_from(end.seconds()).unwrap_or_default());
            write!(text, "; Expires={}; Max-Age={}", httpdate::fmt_http_date(expires), end.since(now).as_secs())
        }
        Life::Over => write!(text, "; Expires={}; Max-Age=0", httpdate::fmt_http_date(UNIX_EPOCH)),
    };
    text.push_str("; HttpOnly");
    if scope.secure {
        text.push_str("; Secure");
    }
    let same_site = match scope.same_site {
        SameSite::None if !scope.secure => SameSite::Lax,
        same_site => same_site,
    };
    text.push_str("; SameSite=");
    text.push_str(same_site.name());
    HeaderValue::try_from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        Scope { path: "/".to_owned(), domain: None, secure: true, same_site: SameSite::Lax }
    }

    #[test]
    fn a_header_is_read_piece_by_piece() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=1; b=\"two=2\" ;c; =d"));
        headers.append(COOKIE, HeaderValue::from_static("a=3"));
        assert_eq!(all(&headers).collect::<Vec<_>>(), [("a", "1"), ("b", "two=2"), ("", "d"), ("a", "3")]);
        assert_eq!(values(&headers, "a").collect::<Vec<_>>(), ["1", "3"]);
    }

    #[test]
    fn every_life_says_when_it_ends() {
        let written = |life| set("name", "value", life, &scope()).unwrap().to_str().unwrap().to_owned();
        assert_eq!(written(Life::Browser), "name=value; Path=/; HttpOnly; Secure; SameSite=Lax");
        assert_eq!(
            written(Life::For(Duration::from_mins(1))),
            "name=value; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax"
        );
        let now = Timestamp::from_millis(1_000_000);
        assert_eq!(
            written(Life::Until { now, end: now.plus(Duration::from_hours(1)) }),
            "name=value; Path=/; Expires=Thu, 01 Jan 1970 01:16:40 GMT; Max-Age=3600; HttpOnly; Secure; SameSite=Lax"
        );
        assert_eq!(
            written(Life::Over),
            "name=value; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; HttpOnly; Secure; SameSite=Lax"
        );
    }

    #[test]
    fn a_cookie_for_all_sites_is_secure_or_is_none() {
        let mut scope = Scope { same_site: SameSite::None, domain: Some("example.com".to_owned()), ..scope() };
        assert!(set("n", "v", Life::Browser, &scope).unwrap().to_str().unwrap().ends_with("Secure; SameSite=None"));
        scope.secure = false;
        assert_eq!(
            set("n", "v", Life::Browser, &scope).unwrap(),
            "n=v; Path=/; Domain=example.com; HttpOnly; SameSite=Lax"
        );
    }

    #[test]
    fn nothing_smuggles_in_another_header() {
        assert!(set("name", "a\r\nset-cookie: b=c", Life::Browser, &scope()).is_err());
    }
}
