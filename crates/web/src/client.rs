//! Who sends a request: the address it comes from, and what it calls itself.
//!
//! The peer of the socket is believed. What headers say about an address is believed only if that peer is one of the
//! [`TrustedProxies`], and then only as far back as the trusted chain reaches: anybody can write a header.

mod network;
mod origin;

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::USER_AGENT;

pub use network::{Network, NetworkError, TrustedProxies};
pub use origin::{RequestOrigin, request_origin};

/// The other end of a connection. Whoever accepts connections puts it into each request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A socket of the network.
    Network(IpAddr),
    /// A process on this machine, over a Unix socket.
    Local,
}

impl From<SocketAddr> for Peer {
    /// An IPv4 address that a socket for both families shows as IPv6 is IPv4 again.
    fn from(address: SocketAddr) -> Self {
        Self::Network(address.ip().to_canonical())
    }
}

/// Who sends a request; in each request's extensions when a handler sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Client {
    /// The address, as far as trusted proxies say; none over a Unix socket. Never an IPv4 address in IPv6 clothes.
    pub address: Option<IpAddr>,
    /// The `user-agent`, at most [`USER_AGENT_LENGTH`] characters of it and none of them a control character.
    pub user_agent: Option<Box<str>>,
}

/// How many characters of a `user-agent` are kept.
pub const USER_AGENT_LENGTH: usize = 256;

impl Client {
    /// The client of a request with `headers` from `peer`.
    pub fn of(peer: Peer, headers: &HeaderMap, trusted: &TrustedProxies) -> Self {
        let address = match peer {
            Peer::Network(address) => Some(original_address(address.to_canonical(), headers, trusted)),
            Peer::Local => None,
        };
        Self { address, user_agent: user_agent(headers) }
    }

    /// The same in the engine's words.
    pub fn for_engine(&self) -> engine::Client<'_> {
        engine::Client { address: self.address, user_agent: self.user_agent.as_deref() }
    }
}

/// Walks `x-forwarded-for` from its end, where the nearest proxy wrote, back to the first address that is no trusted
/// proxy. What stands before that one was written by strangers.
///
/// A hop that is no address ends the walk at the trusted proxy that reported it. If all hops are trusted, the request
/// began at the first of them.
fn original_address(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> IpAddr {
    let mut address = peer;
    for line in headers.get_all("x-forwarded-for").iter().rev() {
        let Ok(line) = line.to_str() else { return address };
        for hop in line.rsplit(',') {
            if !trusted.contains(address) {
                return address;
            }
            let Some(hop) = hop_address(hop.trim()) else { return address };
            address = hop;
        }
    }
    address
}

/// An address as proxies write it: with or without a port, IPv6 with or without brackets.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let address = hop
        .parse::<IpAddr>()
        .or_else(|_| hop.parse::<SocketAddr>().map(|socket| socket.ip()))
        .or_else(|_| hop.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>());
    address.ok().map(|address| address.to_canonical())
}

fn user_agent(headers: &HeaderMap) -> Option<Box<str>> {
    let text = String::from_utf8_lossy(headers.get(USER_AGENT)?.as_bytes());
    let kept: String = text.chars().filter(|character| !character.is_control()).take(USER_AGENT_LENGTH).collect();
    let kept = kept.trim();
    (!kept.is_empty()).then(|| kept.into())
}
