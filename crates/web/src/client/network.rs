//! Networks in CIDR notation, and the list of those whose headers are believed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A block of addresses, as in `10.0.0.0/8`, `2001:db8::/32` or, for a single one, `192.0.2.7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    first: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether `address` is in it. An IPv4 address is also known in IPv6 clothes (`::ffff:192.0.2.7`).
    pub fn contains(&self, address: IpAddr) -> bool {
        first_of(address.to_canonical(), self.prefix) == Some(self.first)
            && self.first.is_ipv4() == address.to_canonical().is_ipv4()
    }
}

/// The first address of the block of `prefix` bits that `address` is in; `None` if it has fewer bits than that.
fn first_of(address: IpAddr, prefix: u8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => {
            let host_bits = 32_u32.checked_sub(prefix.into())?;
            let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
            Some(Ipv4Addr::from_bits(address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let host_bits = 128_u32.checked_sub(prefix.into())?;
            let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
            Some(Ipv6Addr::from_bits(address.to_bits() & mask).into())
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let malformed = || NetworkError::Malformed(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let written: IpAddr = address.parse().map_err(|_| malformed())?;
        let bits: u8 = if written.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => {
                digits.parse().ok().filter(|prefix| *prefix <= bits).ok_or_else(malformed)?
            }
            Some(_) => return Err(malformed()),
        };
        let first = first_of(written, prefix).ok_or_else(malformed)?;
        if first != written {
            return Err(NetworkError::HostBits { written: text.to_owned(), meant: Self { first, prefix } });
        }
        // `::ffff:10.0.0.0/104` is `10.0.0.0/8`; a shorter prefix holds more than IPv4 and stays what it is.
        match (first.to_canonical(), prefix.checked_sub(96)) {
            (first @ IpAddr::V4(_), Some(prefix)) if written.is_ipv6() => Ok(Self { first, prefix }),
            _ => Ok(Self { first, prefix }),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.first, self.prefix)
    }
}

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkError {
    /// It does not look like one.
    Malformed(String),
    /// It names an address inside of the network instead of the network: one of the two is a mistake.
    HostBits {
        /// As written.
        written: String,
        /// The network that the address is in.
        meant: Network,
    },
}

impl fmt::Display for NetworkError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(written) => {
                write!(formatter, "`{written}` is no network; write it like 10.0.0.0/8, 2001:db8::/32 or 192.0.2.7")
            }
            Self::HostBits { written, meant } => {
                write!(formatter, "`{written}` has bits beyond its prefix; write {meant}, or the address alone")
            }
        }
    }
}

impl std::error::Error for NetworkError {}

/// The proxies whose `x-forwarded-…` headers are believed. None, unless the operator names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// Nobody is believed.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Reads a list of networks.
    ///
    /// # Errors
    /// The first that is none.
    pub fn parse<T: AsRef<str>>(networks: impl IntoIterator<Item = T>) -> Result<Self, NetworkError> {
        networks.into_iter().map(|network| network.as_ref().trim().parse()).collect::<Result<_, _>>().map(Self)
    }

    /// Whether `address` is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

impl FromIterator<Network> for TrustedProxies {
    fn from_iter<I: IntoIterator<Item = Network>>(networks: I) -> Self {
        Self(networks.into_iter().collect())
    }
}
