//! `return_to`: where people go when a flow is over, and only to places that the operator allowed.
//!
//! Nothing is guessed: a text that two programs could read as two different places is refused, and what goes out is put together from
//! the parts that were compared.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::config::Config;
use crate::error::Status;

/// A URL, or the part of one that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts<'a> {
    scheme: Option<&'a str>,
    host: Option<&'a str>,
    /// From the path on.
    rest: &'a str,
}

/// Why a `return_to` is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Objection {
    Unreadable,
    Forbidden,
}

/// Checks a `return_to` when a flow begins.
///
/// # Errors
/// 400: with an id where it is not allowed, without one where it cannot be read.
pub(crate) fn check(config: &Config, return_to: Option<&str>) -> Result<(), Status> {
    match return_to.map(|text| allowed(config, text)) {
        None | Some(Ok(_)) => Ok(()),
        Some(Err(Objection::Forbidden)) => Err(Status::return_to_forbidden()),
        Some(Err(Objection::Unreadable)) => Err(Status::bad_request("The URL in return_to cannot be read")),
    }
}

/// Where people go on to: `return_to` where it is allowed, else `after`, else the default.
pub(crate) fn continue_url(config: &Config, return_to: Option<&str>, after: Option<&str>) -> String {
    let chosen = return_to.and_then(|text| allowed(config, text).ok());
    chosen.unwrap_or_else(|| after.unwrap_or(&config.default_return_url).to_owned())
}

/// The place that `return_to` means, if people may be sent there.
fn allowed(config: &Config, return_to: &str) -> Result<String, Objection> {
    let given = split(return_to).ok_or(Objection::Unreadable)?;
    let default = split(&config.default_return_url);
    let default = default.as_ref();
    let scheme = given.scheme.or(default.and_then(|url| url.scheme)).ok_or(Objection::Forbidden)?;
    let host = given.host.or(default.and_then(|url| url.host));
    let host = host.filter(|host| !host.is_empty() && !host.contains('*')).ok_or(Objection::Forbidden)?;
    let is_whole = given.rest.is_empty() || given.rest.starts_with(['/', '?', '#']);
    let path = if is_whole { given.rest.to_owned() } else { format!("/{}", given.rest) };
    let compared = plain_path(&path);
    let own = format!("{}/self-service", config.public.text);
    let list = config.allowed_return_urls.iter().map(String::as_str).chain([own.as_str()]);
    let is_allowed = list.filter_map(split).any(|entry| {
        entry.scheme.is_some_and(|allowed| allowed.eq_ignore_ascii_case(scheme))
            && entry.host.is_some_and(|allowed| covers(allowed, host))
            && compared.starts_with(if entry.rest.is_empty() { "/" } else { entry.rest })
    });
    if !is_allowed {
        return Err(Objection::Forbidden);
    }
    Ok(format!("{scheme}://{host}{}", encoded(&path)))
}

/// Whether `entry` of the list, a host or `*.` and a domain of at least two labels, stands for `host`.
fn covers(entry: &str, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let entry = entry.to_ascii_lowercase();
    match entry.strip_prefix('*') {
        Some(suffix) => suffix.starts_with('.') && suffix.matches('.').count() > 1 && host.ends_with(suffix),
        None => entry == host,
    }
}

/// The path up to a `?` or `#`, with `.` and `..` taken for what browsers take them for.
fn plain_path(rest: &str) -> String {
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_in_dots = false;
    for segment in path.split('/').skip(1) {
        let name = segment.to_ascii_lowercase().replace("%2e", ".");
        ends_in_dots = matches!(name.as_str(), "." | "..");
        if name == ".." {
            kept.pop();
        } else if name != "." {
            kept.push(segment);
        }
    }
    let slash = if ends_in_dots && !kept.is_empty() { "/" } else { "" };
    format!("/{}{slash}", kept.join("/"))
}

/// Takes a URL or the end of one apart. `None` where it holds what has no place in any: whoever sends that wants it misread.
fn split(text: &str) -> Option<Parts<'_>> {
    let is_odd = |char: char| char.is_control() || char == '\\' || (char.is_whitespace() && char != ' ');
    if text.is_empty() || text.trim() != text || text.contains(is_odd) {
        return None;
    }
    let (scheme, after) = match text.split_once(':') {
        Some((scheme, after)) if is_scheme(scheme) => (Some(scheme), after),
        // A colon in the first segment of a path is taken for the end of a scheme by some.
        Some((first, _)) if !first.contains(['/', '?', '#']) => return None,
        _ => (None, text),
    };
    let Some(after) = after.strip_prefix("//") else {
        // `javascript:…`, and `https:evil.example`, which browsers take for an absolute URL: an empty host is nobody's.
        return has_whole_escapes(after).then(|| Parts { scheme, host: scheme.map(|_| ""), rest: after });
    };
    let end = after.find(['/', '?', '#']).unwrap_or(after.len());
    let (host, rest) = after.split_at_checked(end)?;
    if !has_whole_escapes(rest) || host.contains([' ', '%', '"', '<', '>']) || !ends_in_port(host) {
        return None;
    }
    // Neither user names nor letters that need a table to be compared.
    let is_plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_~:[]*".contains(&byte));
    Some(Parts { scheme, host: Some(if is_plain { host } else { "" }), rest })
}

/// Whether what stands behind the host's name is a port, if anything; brackets belong to a name.
fn ends_in_port(host: &str) -> bool {
    let host = host.rsplit('@').next().unwrap_or_default();
    let behind = match host.strip_prefix('[') {
        Some(inner) => match inner.split_once(']') {
            Some((_, behind)) => behind,
            None => return false,
        },
        None => host.find(':').and_then(|colon| host.get(colon..)).unwrap_or_default(),
    };
    let digits = behind.strip_prefix(':').unwrap_or(behind);
    digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether each `%` of a path or a fragment begins an escape. In a query anything goes.
fn has_whole_escapes(rest: &str) -> bool {
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let path = rest.split('?').next().unwrap_or_default();
    let is_escape = |piece: &str| piece.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    [path, fragment].iter().all(|text| text.split('%').skip(1).all(is_escape))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|char: char| char.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// The path as a header and an attribute may hold it.
fn encoded(path: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>`".contains(&byte);
    if path.bytes().all(is_plain) {
        return path.into();
    }
    let mut text = String::with_capacity(path.len() + 16);
    for byte in path.bytes() {
        if is_plain(byte) {
            text.push(byte.into());
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing;

    const FILE: &str = r#"
selfservice:
  default_browser_return_url: https://ui.test/
  allowed_return_urls: ["https://ui.test", "https://app.test/inside", "https://*.wild.test", "https://*.org", "demo://done"]
  flows: {error: {ui_url: /error}, login: {ui_url: /login}, registration: {ui_url: /registration}}
"#;

    fn config() -> Config {
        testing::read(FILE)
    }

    fn place(return_to: &str) -> Result<String, Objection> {
        allowed(&config(), return_to)
    }

    #[test]
    fn what_is_allowed_is_gone_to_as_it_was_written() {
        for same in [
            "https://ui.test/",
            "https://ui.test",
            "https://ui.test/a?x=1#y",
            "https://app.test/inside/page?x=1",
            "https://app.test/insideout",
            "https://a.b.wild.test/",
            "demo://done?x=1",
            "https://accounts.test/self-service/login/browser",
        ] {
            assert_eq!(place(same).as_deref(), Ok(same));
        }
        assert_eq!(place("HTTPS://UI.test/").as_deref(), Ok("HTTPS://UI.test/"));
        assert_eq!(place("/welcome?x=1").as_deref(), Ok("https://ui.test/welcome?x=1"));
        assert_eq!(place("welcome").as_deref(), Ok("https://ui.test/welcome"));
        assert_eq!(place("/a b").as_deref(), Ok("https://ui.test/a%20b"));
        assert_eq!(place("//ui.test/x").as_deref(), Ok("https://ui.test/x"));
        assert_eq!(place("https://ui.test/caf\u{e9}\"").as_deref(), Ok("https://ui.test/caf%C3%A9%22"));
    }

    #[test]
    fn st_14_nobody_is_sent_elsewhere() {
        for elsewhere in [
            "https://evil.test/",
            "http://ui.test/",
            "https://ui.test:8443/",
            "https://ui.test.evil.test/",
            "https://evilui.test/",
            "https://ui.test@evil.test/",
            "https://user@ui.test/",
            "https://\u{ff55}i.test/",
            "https://wild.test.evil.test/",
            "https://wild.test/",
            "https://example.org/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://2130706433/",
            "//evil.test/",
            "///evil.test/",
            "https:///evil.test/",
            "https:evil.test",
            "https:/evil.test",
            "javascript:alert(1)",
            "data:text/html,x",
            "https://app.test/inside/../outside",
            "https://app.test/inside/%2e%2E/outside",
            "https://app.test/",
            "https://*.wild.test.evil/",
            "https://*.wild.test/",
            "https://accounts.test/other",
        ] {
            assert_eq!(place(elsewhere), Err(Objection::Forbidden), "{elsewhere}");
        }
        for unreadable in [
            "",
            " https://ui.test/",
            "https://ui.test\\@evil.test/",
            "https://ui.test%2f@evil.test/",
            "https://ui.test%00.evil.test/",
            "https://ui.test evil.test/",
            "https://ui.test:port/",
            "https://[::1/",
            "https://ui.test/%zz",
            "https://ui.test/#%",
            ":evil.test",
            "1https://ui.test/",
            "/\\evil.test",
            "/\t/evil.test",
            "https://ui.test/\r\nx: y",
        ] {
            assert_eq!(place(unreadable), Err(Objection::Unreadable), "{unreadable:?}");
        }
    }

    #[test]
    fn a_flow_ends_where_it_may() {
        let config = config();
        assert_eq!(
            continue_url(&config, Some("https://app.test/inside"), Some("https://ui.test/after")),
            "https://app.test/inside"
        );
        assert_eq!(
            continue_url(&config, Some("https://evil.test/"), Some("https://ui.test/after")),
            "https://ui.test/after"
        );
        assert_eq!(continue_url(&config, None, None), "https://ui.test/");
    }

    #[test]
    fn a_flow_begins_with_a_return_to_that_is_allowed_or_with_none() {
        let config = config();
        assert!(check(&config, None).is_ok() && check(&config, Some("/welcome")).is_ok());
        assert_eq!(check(&config, Some("https://evil.test/")), Err(Status::return_to_forbidden()));
        assert!(check(&config, Some("/\\")).is_err_and(|status| status != Status::return_to_forbidden()));
    }

    #[test]
    fn dots_are_taken_for_what_browsers_take_them_for() {
        let read = ["/a/b", "/a/../b", "/a/./b/", "/../..", "/a/%2E%2e/", "/a/b/..", "/a?/../b", ""].map(plain_path);
        assert_eq!(read, ["/a/b", "/b", "/a/b/", "/", "/", "/a/", "/a", "/"]);
    }

    /// A browser's parser is asked where it would go, for everything that can be put together of a beginning and three pieces.
    #[test]
    fn st_14_a_browser_goes_where_we_think_it_does() {
        const PIECES: [&str; 24] = [
            "https:",
            "http:",
            "javascript:",
            "//",
            "/",
            "\\",
            "@",
            ":",
            "ui.test",
            "app.test",
            "evil.test",
            ".",
            "..",
            "%2e",
            "%2f",
            "%5c",
            "%00",
            "inside",
            "?",
            "#",
            "\t",
            " ",
            "443",
            "[",
        ];
        const BEGINNINGS: [&str; 5] = ["", "/", "https://", "https://ui.test", "https://app.test/inside/"];
        let config = config();
        let mut taken = 0;
        for number in 0..PIECES.len().pow(3) {
            let mut rest = number;
            let mut text = String::new();
            for _ in 0..3 {
                text.push_str(PIECES[rest % PIECES.len()]);
                rest /= PIECES.len();
            }
            for text in BEGINNINGS.map(|beginning| format!("{beginning}{text}")) {
                let Ok(place) = allowed(&config, &text) else { continue };
                let seen = url::Url::parse(&place).unwrap_or_else(|error| panic!("{text} is {place}: {error}"));
                let is_there = match seen.origin().ascii_serialization().as_str() {
                    "https://ui.test" => true,
                    "https://app.test" => seen.path().starts_with("/inside"),
                    _ => false,
                };
                assert!(is_there && seen.username().is_empty(), "{text} is {place}: {seen}");
                taken += 1;
            }
        }
        assert!(taken > 1000, "the test tests something: {taken}");
    }
}
