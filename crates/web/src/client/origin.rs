//! The origin that a request was sent to, as its sender sees it.

use std::fmt;

use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Uri};

use super::{Peer, TrustedProxies};

/// The origin that a request was sent to, as its sender sees it: scheme, host and, where it is not the scheme's own,
/// port.
///
/// The sender chose it, directly or through a proxy. It may go back to whoever asks, and to nobody else: into the answer to that very
/// request, or, where a surface's original tells how a flow was begun, with that flow's note to who reads that flow. **Never into a
/// mail, a token or a link**; what those need is the configured origin ([`crate::App::origin`]). That is why it is a type and not a
/// `String`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestOrigin(Box<str>);

impl RequestOrigin {
    /// Its text, without a slash at the end.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestOrigin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The origin of a request, or `None` if it names no host that could be one.
///
/// `x-forwarded-proto` and `x-forwarded-host` count only from a peer in `trusted`; in `development` from a loopback peer
/// too, so that a forwarder on the same machine needs no configuration.
pub fn request_origin(
    peer: Peer,
    uri: &Uri,
    headers: &HeaderMap,
    trusted: &TrustedProxies,
    development: bool,
) -> Option<RequestOrigin> {
    let believed = match peer {
        Peer::Network(address) => trusted.contains(address) || (development && address.to_canonical().is_loopback()),
        Peer::Local => false,
    };
    let forwarded = |name: &str| if believed { last_value(headers, name) } else { None };

    let scheme = match forwarded("x-forwarded-proto") {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => Scheme::HTTPS,
        Some(scheme) if !scheme.eq_ignore_ascii_case("http") => return None,
        _ => Scheme::HTTP,
    };
    let authority: Authority = match (forwarded("x-forwarded-host"), uri.authority()) {
        (Some(host), _) => host.parse().ok()?,
        (None, Some(authority)) => authority.clone(),
        (None, None) => headers.get(HOST)?.to_str().ok()?.parse().ok()?,
    };
    if authority.as_str().contains('@') || !authority.host().bytes().all(is_of_a_host) || authority.host().is_empty() {
        return None;
    }
    let host = authority.host().to_ascii_lowercase();
    let usual_port = if scheme == Scheme::HTTPS { 443 } else { 80 };
    let origin = match authority.port_u16() {
        Some(port) if port != usual_port => format!("{scheme}://{host}:{port}"),
        _ => format!("{scheme}://{host}"),
    };
    Some(RequestOrigin(origin.into()))
}

/// The last value of a header that proxies append to: the nearest one's.
fn last_value<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let line = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    line.rsplit(',').next().map(str::trim).filter(|value| !value.is_empty())
}

/// Whether a byte may stand in a host name or an address: narrower than what a URL allows.
fn is_of_a_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']')
}
