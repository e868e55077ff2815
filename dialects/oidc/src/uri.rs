//! Redirect URIs: which may be declared, and which of those that are asked for was.
//!
//! They are compared as text, character by character. The one exception is RFC 8252's: an application on the user's own machine
//! listens on whatever port is free.

/// A redirect URI as an application declared it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Declared {
    /// This one.
    Exact(String),
    /// This one, on any port of this machine.
    Loopback {
        /// `127.0.0.1`, `[::1]` or `localhost`.
        host: String,
        /// What stands behind host and port.
        rest: String,
    },
    /// Whatever is on this machine: only in development.
    AnyLoopback,
}

/// Names of this machine (RFC 8252, 7.3 and 8.3).
const LOOPBACK: [&str; 3] = ["127.0.0.1", "[::1]", "localhost"];

impl Declared {
    /// Reads a declaration. `is_public` is whether the application has no secret: such ones run on machines of their users.
    ///
    /// # Errors
    /// Why it cannot be one, to be put behind "must".
    pub(crate) fn read(text: &str, is_public: bool) -> Result<Self, &'static str> {
        if !text.bytes().all(is_of_a_uri) {
            return Err("be a URI in plain ASCII, without a fragment");
        }
        if let Some((host, rest)) = loopback(text) {
            return Ok(Self::Loopback { host: host.to_owned(), rest: rest.to_owned() });
        }
        let (scheme, rest) = text.split_once(':').ok_or("be an absolute URI")?;
        match scheme {
            "https" => {
                let authority = rest.strip_prefix("//").map(authority).filter(|authority| is_authority(authority));
                authority.map(|_| Self::Exact(text.to_owned())).ok_or("name a host, and nobody before it")
            }
            "http" => Err("be https, but for 127.0.0.1, [::1] and localhost"),
            // RFC 8252, 7.1: a domain name in reverse, so that no two applications claim one by chance. `javascript` has no dot.
            _ if is_public && scheme.contains('.') && is_scheme(scheme) && rest.starts_with('/') => {
                Ok(Self::Exact(text.to_owned()))
            }
            _ => Err("be https, or for an application without a secret a scheme like `com.example.app:/`"),
        }
    }

    /// Whether `given` is what was declared.
    pub(crate) fn covers(&self, given: &str) -> bool {
        match self {
            Self::Exact(text) => text == given,
            Self::Loopback { host, rest } => loopback(given) == Some((host, rest)),
            Self::AnyLoopback => loopback(given).is_some(),
        }
    }
}

/// Where `uri`, which was declared, leads to, as a content security policy says it: scheme and host, or the scheme alone where there is no
/// host or the policy has no way to write it.
pub(crate) fn leads_to(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once(':') else { return "'none'".to_owned() };
    match rest.strip_prefix("//").map(authority) {
        Some(authority) if matches!(scheme, "https" | "http") && !authority.contains('[') => {
            format!("{scheme}://{authority}")
        }
        _ => format!("{scheme}:"),
    }
}

/// Host and rest of a plain-http URI on this machine.
fn loopback(uri: &str) -> Option<(&str, &str)> {
    if !uri.bytes().all(is_of_a_uri) {
        return None;
    }
    let rest = uri.strip_prefix("http://")?;
    let whole = authority(rest);
    let host = LOOPBACK.into_iter().find(|host| whole.starts_with(host))?;
    let port = whole.get(host.len()..)?;
    let is_port = |port: &str| !port.is_empty() && port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
    (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then_some(())?;
    Some((host, rest.get(whole.len()..)?))
}

/// What stands before the path of `rest`, which stands behind `//`.
fn authority(rest: &str) -> &str {
    rest.split(['/', '?']).next().unwrap_or(rest)
}

/// A host name, and perhaps a port; nobody's name before an `@`.
fn is_authority(authority: &str) -> bool {
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    let is_label =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    host.split('.').all(is_label) && port.parse::<u16>().is_ok()
}

fn is_scheme(scheme: &str) -> bool {
    scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte))
}

/// RFC 3986, without the fragment: what browsers read in more than one way (a backslash, white space, quotes) is not in it.
fn is_of_a_uri(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?[]@!$&'()*+,;=%".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_declared() {
        for (text, is_public) in [
            ("https://app.example/cb", false),
            ("https://app.example:8443/cb?a=b", false),
            ("http://127.0.0.1/cb", true),
            ("http://[::1]:1/cb", true),
            ("http://localhost:3000", false),
            ("com.example.app:/cb", true),
            ("com.example.app://cb", true),
        ] {
            assert!(Declared::read(text, is_public).is_ok(), "{text}");
        }
        for text in [
            "",
            "/cb",
            "app.example/cb",
            "http://app.example/cb",
            "http://127.0.0.1.evil.example/cb",
            "http://127.0.0.1@evil.example/cb",
            "http://localhost:3000@evil.example/",
            "https://app.example/cb#x",
            "https://app.example\\@evil.example/",
            "https://good.example@evil.example/",
            "https:///cb",
            "https:/cb",
            "https://ä.example/cb",
            "https://app.example/c b",
            "https://app.example:99999/",
            "javascript:alert(1)",
            "data:text/html,x",
            "javascript.x:alert(1)",
            "com.example.app:cb",
        ] {
            assert!(Declared::read(text, true).is_err(), "{text}");
        }
        assert!(Declared::read("com.example.app:/cb", false).is_err());
    }

    #[test]
    fn st_14_only_what_was_declared_is_covered() {
        let declared = Declared::read("https://app.example/cb", true).unwrap();
        assert!(declared.covers("https://app.example/cb"));
        for given in [
            "https://app.example/cb/",
            "https://app.example/cb?x=y",
            "https://app.example:443/cb",
            "https://APP.example/cb",
            "https://app.example/c%62",
            "https://app.example/cb#",
            "https://app.example@evil.example/cb",
            "https://app.example.evil.example/cb",
            "https://evil.example/cb",
            "//app.example/cb",
            "http://app.example/cb",
            "https://app.example/../cb",
            "\thttps://app.example/cb",
        ] {
            assert!(!declared.covers(given), "{given}");
        }
    }

    #[test]
    fn on_this_machine_any_port_is_covered_and_nothing_else() {
        let declared = Declared::read("http://127.0.0.1/cb?a=b", true).unwrap();
        for given in ["http://127.0.0.1/cb?a=b", "http://127.0.0.1:1/cb?a=b", "http://127.0.0.1:65535/cb?a=b"] {
            assert!(declared.covers(given), "{given}");
        }
        for given in [
            "http://127.0.0.1:1/cb",
            "http://127.0.0.1:1/cb?a=b&c",
            "http://localhost:1/cb?a=b",
            "https://127.0.0.1:1/cb?a=b",
            "http://127.0.0.1:1@evil.example/cb?a=b",
            "http://127.0.0.1:/cb?a=b",
            "http://127.0.0.1.evil.example/cb?a=b",
            "http://127.0.0.1:1\\@evil.example/cb?a=b",
        ] {
            assert!(!declared.covers(given), "{given}");
        }
        for given in ["http://127.0.0.1:5173/cb", "http://[::1]:5173/", "http://localhost:5173", "http://localhost?x"] {
            assert!(Declared::AnyLoopback.covers(given), "{given}");
        }
        for given in [
            "http://localhost.evil.example/",
            "http://localhost:80@evil.example/",
            "http://localhost\\.evil.example/",
            "http://localhost:5173/#x",
            "http://localhost:5173/\r\nx",
            "http://0.0.0.0/",
            "https://localhost/",
            "http:localhost/",
        ] {
            assert!(!Declared::AnyLoopback.covers(given), "{given}");
        }
    }

    #[test]
    fn a_policy_names_host_or_scheme() {
        for (uri, source) in [
            ("https://app.example/cb?x", "https://app.example"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:3000/cb", "http:"),
            ("com.example.app:/cb", "com.example.app:"),
            ("com.example.app://cb/x", "com.example.app:"),
        ] {
            assert_eq!(leads_to(uri), source);
        }
    }
}
