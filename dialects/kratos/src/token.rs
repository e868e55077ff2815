//! What the engine's bearers look like here: `ory_st_` and 32 letters and digits for native clients, `ory_lo_` and as many for leaving,
//! and a cookie's value for browsers.
//!
//! The three are of different kinds, so that none passes for another: a session token put into the cookie is nobody's.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::{Engine, Secret, SessionId};

/// The kinds that the engine keeps apart.
const SESSION: &str = "kratos.session_token";
const LOGOUT: &str = "kratos.logout_token";
const COOKIE: &str = "kratos.session_cookie";

/// What a session token begins with.
const SESSION_PREFIX: &str = "ory_st_";
/// What a logout token begins with.
const LOGOUT_PREFIX: &str = "ory_lo_";

/// The digits of base 62.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE: u32 = 62;
/// How many of them 24 bytes need. The first is a zero, and is left out, until 2075: a bearer begins with its id, and ids begin with time.
const PLACES: usize = 33;

/// What a native client shows for `session`.
pub(crate) fn session_token(engine: &Engine, session: SessionId) -> Secret<String> {
    prefixed(engine, SESSION, SESSION_PREFIX, session)
}

/// The session that a token names, as far as the token says.
pub(crate) fn read_session_token(engine: &Engine, token: &str) -> Option<SessionId> {
    read_prefixed(engine, SESSION, SESSION_PREFIX, token)
}

/// What ends `session` when a browser follows it.
pub(crate) fn logout_token(engine: &Engine, session: SessionId) -> Secret<String> {
    prefixed(engine, LOGOUT, LOGOUT_PREFIX, session)
}

/// The session that a logout token ends.
pub(crate) fn read_logout_token(engine: &Engine, token: &str) -> Option<SessionId> {
    read_prefixed(engine, LOGOUT, LOGOUT_PREFIX, token)
}

/// The value of the cookie that signs a browser in.
pub(crate) fn cookie_value(engine: &Engine, session: SessionId) -> Secret<String> {
    Secret::new(URL_SAFE_NO_PAD.encode(engine.bearer(COOKIE, session.get()).expose()))
}

/// The session that a cookie's value names.
pub(crate) fn read_cookie_value(engine: &Engine, value: &str) -> Option<SessionId> {
    let bytes = Secret::new(URL_SAFE_NO_PAD.decode(value).ok()?);
    engine.read_bearer(COOKIE, bytes.expose()).map(SessionId::new)
}

fn prefixed(engine: &Engine, kind: &str, prefix: &str, session: SessionId) -> Secret<String> {
    let digits = base62(engine.bearer(kind, session.get()).expose());
    Secret::new(format!("{prefix}{}", digits.expose()))
}

fn read_prefixed(engine: &Engine, kind: &str, prefix: &str, token: &str) -> Option<SessionId> {
    let bytes = Secret::new(from_base62(token.strip_prefix(prefix)?)?);
    engine.read_bearer(kind, bytes.expose()).map(SessionId::new)
}

/// The number that `bytes` are, in 32 digits or, where those do not do, in 33.
fn base62(bytes: &[u8; 24]) -> Secret<String> {
    let mut limbs = [0; 6];
    for (limb, part) in limbs.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *limb = u32::from_be_bytes(*part);
    }
    let mut digits = [b'0'; PLACES];
    for place in digits.iter_mut().rev() {
        let rest = limbs.iter_mut().fold(0, |rest, limb| {
            let value = (u64::from(rest) << 32) | u64::from(*limb);
            *limb = low(value / u64::from(BASE));
            low(value % u64::from(BASE))
        });
        *place = DIGITS.get(rest as usize).copied().unwrap_or(b'0');
    }
    let needed = if let [b'0', rest @ ..] = &digits { rest } else { &digits[..] };
    Secret::new(needed.iter().copied().map(char::from).collect())
}

/// The bytes that [`base62`] wrote as `digits`; nothing for what it cannot have written.
fn from_base62(digits: &str) -> Option<[u8; 24]> {
    let is_written = digits.len() == PLACES - 1 || (digits.len() == PLACES && !digits.starts_with('0'));
    if !is_written {
        return None;
    }
    let mut limbs = [0_u32; 6];
    for digit in digits.bytes() {
        let value = DIGITS.iter().position(|known| *known == digit)?;
        let carry = limbs.iter_mut().rev().fold(value as u64, |carry, limb| {
            let value = u64::from(*limb) * u64::from(BASE) + carry;
            *limb = low(value);
            value >> 32
        });
        if carry != 0 {
            return None;
        }
    }
    let mut bytes = [0; 24];
    for (place, limb) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(limbs) {
        *place = limb.to_be_bytes();
    }
    Some(bytes)
}

/// The lower half of `value`.
const fn low(value: u64) -> u32 {
    (value & 0xffff_ffff) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_in_base_62_reads_back() {
        let mut bytes = [0; 24];
        assert_eq!(base62(&bytes).expose(), &"0".repeat(32));
        bytes[23] = 61;
        assert_eq!(base62(&bytes).expose(), &format!("{}z", "0".repeat(31)));
        for (first, places) in [(0x00, 32), (0x01, 32), (0x5c, 32), (0x5d, 33), (0x7f, 33), (0xff, 33)] {
            let mut bytes: [u8; 24] = std::array::from_fn(|place| 0x11 * u8::try_from(place % 15).unwrap());
            bytes[0] = first;
            let digits = base62(&bytes);
            assert_eq!(digits.expose().len(), places, "{first:x}");
            assert!(digits.expose().bytes().all(|digit| digit.is_ascii_alphanumeric()));
            assert_eq!(from_base62(digits.expose()), Some(bytes));
        }
    }

    #[test]
    fn digits_that_were_never_written_are_no_bytes() {
        for digits in ["", "0", &"0".repeat(31), &"0".repeat(33), &"1".repeat(34), &"-".repeat(32), &"ä".repeat(16)] {
            assert_eq!(from_base62(digits), None, "{digits}");
        }
        assert_eq!(from_base62(&"z".repeat(33)), None, "more than 24 bytes hold");
    }
}
