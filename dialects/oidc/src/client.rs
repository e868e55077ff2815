//! Applications, and how one shows that it is one.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::{Digest, Secret};
use http::{HeaderMap, header};
use web::hand_over::sha256;

use crate::error::OAuthError;
use crate::uri::Declared;

/// An application, which OAuth calls a client.
#[derive(Debug, Clone)]
pub(crate) struct Application {
    /// Its `client_id`.
    pub(crate) id: String,
    /// What people know it as.
    pub(crate) name: String,
    /// SHA-256 of its secret; none where it can keep none.
    pub(crate) secret: Option<[u8; 32]>,
    /// Where it may be answered.
    pub(crate) redirect_uris: Vec<Declared>,
    /// Where it may have people go after they signed out.
    pub(crate) post_logout_redirect_uris: Vec<Declared>,
}

impl Application {
    /// One that development comes with: answered wherever it listens on this machine.
    pub(crate) fn of_development(id: &str, secret: Option<[u8; 32]>) -> Self {
        Self {
            id: id.to_owned(),
            name: id.to_owned(),
            secret,
            redirect_uris: vec![Declared::AnyLoopback],
            post_logout_redirect_uris: vec![Declared::AnyLoopback],
        }
    }

    /// Whether it keeps no secret: then nothing but its code verifier shows that a code is its own.
    pub(crate) const fn is_public(&self) -> bool {
        self.secret.is_none()
    }

    /// Whether it declared to be answered at `uri`.
    pub(crate) fn is_answered_at(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|declared| declared.covers(uri))
    }

    /// Whether it declared `uri` for people who signed out.
    pub(crate) fn is_left_to(&self, uri: &str) -> bool {
        self.post_logout_redirect_uris.iter().any(|declared| declared.covers(uri))
    }

    fn has_secret(&self, given: &str) -> bool {
        // `Digest` compares in constant time.
        self.secret.is_some_and(|secret| Digest::from_bytes(secret) == Digest::from_bytes(sha256(given.as_bytes())))
    }
}

/// The application that sends a request (RFC 6749, 2.3): named by `authorization: Basic`, or else in the form.
///
/// # Errors
/// `invalid_client`; `invalid_request` where it names itself in two ways.
pub(crate) fn authenticate<'a>(
    applications: &'a BTreeMap<String, Application>,
    headers: &HeaderMap,
    id: Option<&str>,
    secret: Option<&str>,
) -> Result<&'a Application, OAuthError> {
    let basic = basic(headers)?;
    let used_basic = basic.is_some();
    let refused = || OAuthError::invalid_client(used_basic);
    let (id, secret) = match (basic, id, secret) {
        (Some(_), _, Some(_)) => return Err(OAuthError::invalid_request("only one way to authenticate may be used")),
        (Some((basic, _)), Some(id), None) if basic != id => return Err(refused()),
        (Some((id, secret)), _, None) => (id, Some(secret)),
        (None, Some(id), secret) => (id.to_owned(), secret.map(|secret| Secret::new(secret.to_owned()))),
        (None, None, _) => return Err(refused()),
    };
    let application = applications.get(&id).ok_or_else(refused)?;
    let is_it = match (&secret, application.is_public()) {
        (None, is_public) => is_public,
        // Libraries that always send Basic leave the password empty.
        (Some(secret), true) => secret.expose().is_empty(),
        (Some(secret), false) => application.has_secret(secret.expose()),
    };
    if is_it { Ok(application) } else { Err(refused()) }
}

/// Name and password of `authorization: Basic`, both of which are encoded as in a form before (RFC 6749, 2.3.1).
fn basic(headers: &HeaderMap) -> Result<Option<(String, Secret<String>)>, OAuthError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let read = || {
        let (scheme, credentials) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("basic").then_some(())?;
        let decoded = Secret::new(STANDARD.decode(credentials.trim()).ok()?);
        let (id, secret) = std::str::from_utf8(decoded.expose()).ok()?.split_once(':')?;
        Some((unescaped(id)?, Secret::new(unescaped(secret)?)))
    };
    read().map(Some).ok_or_else(|| OAuthError::invalid_client(true))
}

/// `+` is a space and `%xx` a byte. A `%` that two digits do not follow is a `%`: many libraries do not encode at all.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digits = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                rest = after;
            }
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).ok()
}
