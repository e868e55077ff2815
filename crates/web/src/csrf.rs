//! Protection against forged requests: a secret in a cookie, and tokens in forms that only who knows the secret can make.
//!
//! A token is the secret under a mask that is new each time a page is rendered, so that compression of the page tells nothing
//! about it. What is stored of a secret is its digest.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use engine::Secret;
use subtle::ConstantTimeEq as _;

/// How many bytes a secret has, and a mask.
pub const LENGTH: usize = 32;

/// What a browser's cookie holds.
#[derive(Clone)]
pub struct CsrfSecret(Secret<[u8; LENGTH]>);

impl fmt::Debug for CsrfSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CsrfSecret")
    }
}

impl CsrfSecret {
    /// A new secret from random bytes.
    pub fn new(random: [u8; LENGTH]) -> Self {
        Self(Secret::new(random))
    }

    /// The secret in the value of a cookie, or `None` if it is none.
    pub fn from_cookie(value: &str) -> Option<Self> {
        decoded(value)?.try_into().ok().map(Self::new)
    }

    /// The value of its cookie.
    pub fn cookie(&self) -> String {
        STANDARD.encode(self.0.expose())
    }

    /// A token under `mask`, which must be random and used once.
    pub fn token(&self, mask: [u8; LENGTH]) -> String {
        let masked = mask.iter().zip(self.0.expose()).map(|(mask, byte)| mask ^ byte);
        STANDARD.encode(mask.iter().copied().chain(masked).collect::<Vec<_>>())
    }

    /// Whether `token` was made from this secret: a masked one, or the secret as its cookie has it.
    pub fn made(&self, token: &str) -> bool {
        let Some(bytes) = decoded(token) else { return false };
        let bare: Vec<u8> = match bytes.split_at_checked(LENGTH) {
            Some((_, [])) => bytes,
            Some((mask, masked)) if masked.len() == LENGTH => {
                mask.iter().zip(masked).map(|(mask, byte)| mask ^ byte).collect()
            }
            _ => return false,
        };
        bare.ct_eq(self.0.expose()).into()
    }

    /// What may be stored of it.
    pub fn digest(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, self.0.expose()).as_ref());
        bytes
    }

    /// Whether `stored` is its digest.
    pub fn is(&self, stored: &[u8]) -> bool {
        self.digest().ct_eq(stored).into()
    }
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()
}

/// The name of a cookie that belongs to `place`: `prefix` and the SHA-256 of `place` in lower hexadecimal digits.
pub fn cookie_name(prefix: &str, place: &str) -> String {
    use std::fmt::Write as _;
    let mut name = prefix.to_owned();
    for byte in digest(&SHA256, place.as_bytes()).as_ref() {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_secret_alone() {
        let (mine, yours) = (CsrfSecret::new([1; 32]), CsrfSecret::new([2; 32]));
        let (first, second) = (mine.token([7; 32]), mine.token([8; 32]));
        assert_ne!(first, second);
        assert!(mine.made(&first) && mine.made(&second) && mine.made(&mine.cookie()));
        assert!(!yours.made(&first) && !yours.made(&mine.cookie()));
        for wrong in ["", "AAAA", "%", &first[..first.len() - 4], &STANDARD.encode([0; 64]), &STANDARD.encode([1; 96])]
        {
            assert!(!mine.made(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_cookie_is_read_back() {
        let secret = CsrfSecret::new([9; 32]);
        let read = CsrfSecret::from_cookie(&secret.cookie()).unwrap();
        assert!(read.is(&secret.digest()));
        assert!(!read.is(&[0; 32]) && !read.is(b""));
        assert!(CsrfSecret::from_cookie("AAAA").is_none());
        assert_eq!(format!("{secret:?}"), "CsrfSecret");
    }

    #[test]
    fn a_name_follows_its_place() {
        assert_eq!(
            cookie_name("csrf_token_", "https://accounts.test/"),
            "csrf_token_5151374eff7febb00c92e761fe91cc49451b8110da2ecbfc5f44e908acdf03ba"
        );
    }
}
