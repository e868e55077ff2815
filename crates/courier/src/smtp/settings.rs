//! Where a relay is and how it is spoken to, and the URL form of both.

use std::net::IpAddr;

use engine::Secret;
use rustls::pki_types::ServerName;
use thiserror::Error;

/// How a dialogue with a relay is kept from other eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Starts in clear and must become TLS before anything is said; a relay that does not offer it is refused.
    StartTls,
    /// TLS from the first byte.
    ImplicitTls,
    /// In clear. Only when asked for by name.
    Plain,
}

/// What `smtp://` means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpScheme {
    /// STARTTLS, whatever the host: what `serve` reads. Clear text has a scheme of its own, `smtp+plain://`.
    StartTls,
    /// Clear text if the host is this machine, STARTTLS for any other: what `dev` reads.
    PlainOnLoopback,
}

/// One relay: where it is, and how it is spoken to.
#[derive(Debug, Clone)]
pub struct RelaySettings {
    /// Its name, which its certificate must carry, or its IP address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the dialogue is kept from other eyes.
    pub security: Security,
    /// PEM certificates that vouch for the relay *instead of* the system's; `None` trusts the system's.
    pub certificate_authority: Option<Vec<u8>>,
    /// User name and password, if the relay wants any.
    pub credentials: Option<(String, Secret<String>)>,
    /// What we call ourselves in EHLO: a domain name or an address literal.
    pub hello_name: String,
    /// How many dialogues may be held at once.
    pub senders: usize,
}

/// Dialogues at once unless told otherwise: what small relays allow one client.
pub const SENDERS: usize = 8;

/// The same for a relay on this machine. Postfix takes 50 of one client unless told otherwise, and is not ours alone.
pub const LOCAL_SENDERS: usize = 32;

/// An address literal, which is what RFC 5321, 4.1.4, wants of a client that has no name.
const NAMELESS: &str = "[127.0.0.1]";

/// A relay's URL that cannot be used. The URL itself is never repeated: it may hold a password.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum RelayUrlError {
    /// Unknown scheme, or none.
    #[error("a relay's url starts with smtp://, smtps:// or smtp+plain://")]
    Scheme,
    /// No host, or one that is neither a name nor an IP address.
    #[error("a relay's url must name a host or an ip address")]
    Host,
    /// The port is no number from 1 to 65535.
    #[error("the port of a relay's url is not a number from 1 to 65535")]
    Port,
    /// User without password, or broken percent-encoding.
    #[error("the credentials of a relay's url are user:password, both percent-encoded")]
    Credentials,
    /// Something behind the port.
    #[error("nothing may follow the port of a relay's url")]
    Trailing,
    /// Credentials would cross a network in clear.
    #[error("credentials are not sent in clear: use smtps://, or smtp:// which demands starttls")]
    CredentialsInClear,
}

impl RelaySettings {
    /// Settings for `host` and `port` without credentials or an authority of their own.
    pub fn new(host: impl Into<String>, port: u16, security: Security) -> Self {
        let host = host.into();
        Self {
            senders: if is_loopback(&host) { LOCAL_SENDERS } else { SENDERS },
            host,
            port,
            security,
            certificate_authority: None,
            credentials: None,
            hello_name: NAMELESS.to_owned(),
        }
    }

    /// Reads `smtp://`, `smtps://` or `smtp+plain://` followed by `[user:password@]host[:port]`.
    ///
    /// Ports left out are 587, 465 and 25. `scheme` says what `smtp://` means.
    ///
    /// # Refusals
    /// Anything behind the port, users without a password, and credentials in clear to another machine.
    pub fn parse(url: &str, scheme: SmtpScheme) -> Result<Self, RelayUrlError> {
        let (name, rest) = url.split_once("://").ok_or(RelayUrlError::Scheme)?;
        let (authority, trailing) = rest.find(['/', '?', '#']).map_or((rest, ""), |at| rest.split_at(at));
        if !matches!(trailing, "" | "/") {
            return Err(RelayUrlError::Trailing);
        }
        let (userinfo, place) = match authority.rsplit_once('@') {
            Some((userinfo, place)) => (Some(userinfo), place),
            None => (None, authority),
        };
        let (host, port) = split_port(place)?;
        if ServerName::try_from(host).is_err() {
            return Err(RelayUrlError::Host);
        }
        let (security, default_port) = match name {
            "smtp" if scheme == SmtpScheme::PlainOnLoopback && is_loopback(host) => (Security::Plain, 25),
            "smtp" => (Security::StartTls, 587),
            "smtps" => (Security::ImplicitTls, 465),
            "smtp+plain" => (Security::Plain, 25),
            _ => return Err(RelayUrlError::Scheme),
        };
        let port = match port {
            None => default_port,
            Some(digits) => digits.parse().ok().filter(|port| *port != 0).ok_or(RelayUrlError::Port)?,
        };
        let mut settings = Self::new(host, port, security);
        settings.credentials = userinfo.map(credentials).transpose()?;
        if settings.gives_credentials_away() {
            return Err(RelayUrlError::CredentialsInClear);
        }
        Ok(settings)
    }

    /// Whether credentials would cross a network in clear.
    pub(super) fn gives_credentials_away(&self) -> bool {
        self.credentials.is_some() && self.security == Security::Plain && !is_loopback(&self.host)
    }
}

/// `host`, `host:port` or `[address]:port`, the host without its brackets.
fn split_port(place: &str) -> Result<(&str, Option<&str>), RelayUrlError> {
    if let Some(bracketed) = place.strip_prefix('[') {
        let (host, port) = bracketed.split_once(']').ok_or(RelayUrlError::Host)?;
        return match port.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if port.is_empty() => Ok((host, None)),
            None => Err(RelayUrlError::Port),
        };
    }
    Ok(match place.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (place, None),
    })
}

/// Whether `host` can only be this machine.
fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
}

fn credentials(userinfo: &str) -> Result<(String, Secret<String>), RelayUrlError> {
    let (user, password) = userinfo.split_once(':').ok_or(RelayUrlError::Credentials)?;
    let user = percent_decoded(user).filter(|user| !user.is_empty()).ok_or(RelayUrlError::Credentials)?;
    let password = percent_decoded(password).ok_or(RelayUrlError::Credentials)?;
    Ok((user, Secret::new(password)))
}

/// RFC 3986, 2.1. Control characters are refused: NUL separates the two in SASL PLAIN.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            let [high, low, after @ ..] = tail else { return None };
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            bytes.push(digit(*high)? << 4 | digit(*low)?);
            rest = after;
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok().filter(|decoded| !decoded.chars().any(char::is_control))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str, scheme: SmtpScheme) -> Result<(String, u16, Security), RelayUrlError> {
        RelaySettings::parse(url, scheme).map(|it| (it.host, it.port, it.security))
    }

    #[test]
    fn clear_text_must_be_asked_for_by_name_except_on_this_machine_in_development() {
        use Security::{ImplicitTls, Plain, StartTls};
        use SmtpScheme as Scheme;
        let cases = [
            ("smtp://mail.example.com", Scheme::StartTls, "mail.example.com", 587, StartTls),
            ("smtp://mail.example.com", Scheme::PlainOnLoopback, "mail.example.com", 587, StartTls),
            ("smtp://127.0.0.1:2525", Scheme::StartTls, "127.0.0.1", 2525, StartTls),
            ("smtp://127.0.0.1:2525", Scheme::PlainOnLoopback, "127.0.0.1", 2525, Plain),
            ("smtp://localhost", Scheme::PlainOnLoopback, "localhost", 25, Plain),
            ("smtp://[::1]:25/", Scheme::PlainOnLoopback, "::1", 25, Plain),
            ("smtp://localhost.example.com", Scheme::PlainOnLoopback, "localhost.example.com", 587, StartTls),
            ("smtps://mail.example.com", Scheme::StartTls, "mail.example.com", 465, ImplicitTls),
            ("smtp+plain://relay.internal", Scheme::StartTls, "relay.internal", 25, Plain),
        ];
        for (url, scheme, host, port, security) in cases {
            assert_eq!(read(url, scheme), Ok((host.to_owned(), port, security)), "{url}");
        }
    }

    #[test]
    fn what_cannot_be_a_relay_is_refused_by_name() {
        let cases = [
            ("mail.example.com:25", RelayUrlError::Scheme),
            ("http://mail.example.com", RelayUrlError::Scheme),
            ("smtp://", RelayUrlError::Host),
            ("smtp://a b", RelayUrlError::Host),
            ("smtp://host\r\nDATA", RelayUrlError::Host),
            ("smtp://[::1", RelayUrlError::Host),
            ("smtp://host:0", RelayUrlError::Port),
            ("smtp://host:70000", RelayUrlError::Port),
            ("smtp://host:", RelayUrlError::Port),
            ("smtp://[::1]25", RelayUrlError::Port),
            ("smtp://host/path", RelayUrlError::Trailing),
            ("smtp://host?tls=no", RelayUrlError::Trailing),
            ("smtps://user@host", RelayUrlError::Credentials),
            ("smtps://user:%zz@host", RelayUrlError::Credentials),
            ("smtps://user:%00@host", RelayUrlError::Credentials),
            ("smtp+plain://user:password@mail.example.com", RelayUrlError::CredentialsInClear),
        ];
        for (url, error) in cases {
            assert_eq!(read(url, SmtpScheme::StartTls), Err(error), "{url}");
        }
    }

    #[test]
    fn credentials_are_decoded_and_never_printed() {
        let settings = RelaySettings::parse("smtps://me%40example.com:p%3A%25@host", SmtpScheme::StartTls).unwrap();
        let (user, password) = settings.credentials.as_ref().unwrap();
        assert_eq!((user.as_str(), password.expose().as_str()), ("me@example.com", "p:%"));
        assert!(!format!("{settings:?}").contains("p:%"));
    }
}
