//! Secrets, and what is made from the master key.
//!
//! [`Secret`] prints as `…` whatever asks it to, and is wiped when dropped. [`Keys`] holds what each master key yields:
//! a code key, a pepper and a sealing key, named by the master key's id. The database alone yields no live code, nor do
//! the keys alone; both together do.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::{digest, hmac};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::error::Fault;

/// A value that is not to be seen: it has no `Display`, its `Debug` is `…`, and it is wiped when dropped.
#[derive(Clone, Default)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Makes `value` a secret.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for the one place that needs it: grep for this word to see who looks.
    pub const fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("…")
    }
}

impl<T: Zeroize> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

/// A keyed digest of a secret: what may be stored. Compared in constant time.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

impl Digest {
    /// A digest read back from the store.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes, for the store.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// HMAC-SHA-256 of `parts`, one behind the other, under `key`.
    pub(crate) fn keyed(key: &hmac::Key, parts: &[&[u8]]) -> Self {
        let mut context = hmac::Context::with_key(key);
        for part in parts {
            context.update(part);
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.sign().as_ref());
        Self(bytes)
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Digest {}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Digest(…)")
    }
}

/// SHA-256 of length-prefixed parts, so that no two lists of parts give the same bytes.
pub(crate) fn fingerprint(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

/// The operator's master keys, newest first: the newest seals and derives, all of them open.
#[derive(Debug, Clone)]
pub struct MasterKey(Vec<Secret<[u8; 32]>>);

impl MasterKey {
    /// The master key `newest`.
    pub fn new(newest: [u8; 32]) -> Self {
        Self(vec![Secret::new(newest)])
    }

    /// The same with an older key that still opens what it sealed.
    #[must_use]
    pub fn with_older(mut self, older: [u8; 32]) -> Self {
        self.0.push(Secret::new(older));
        self
    }
}

/// Which master key something was made with: the first four bytes of a digest of it. Not secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub u32);

/// What one master key yields.
struct Derived {
    id: KeyId,
    code: hmac::Key,
    pepper: hmac::Key,
    sealer: LessSafeKey,
}

/// All keys made from the master keys. They never leave memory.
pub struct Keys {
    newest: Derived,
    older: Vec<Derived>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Keys").field("newest", &self.newest.id).finish_non_exhaustive()
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// 32 bytes of HKDF-SHA-256 from `master` for the purpose `label`.
pub(crate) fn derive(master: &[u8; 32], label: &str) -> Result<Secret<[u8; 32]>, Fault> {
    let failed = |_| Fault::bug("a key could not be derived");
    let pseudorandom = Salt::new(HKDF_SHA256, b"countersign").extract(master);
    let info = [label.as_bytes()];
    let output = pseudorandom.expand(&info, Length(32)).map_err(failed)?;
    let mut bytes = [0; 32];
    output.fill(&mut bytes).map_err(failed)?;
    Ok(Secret::new(bytes))
}

impl Derived {
    fn from_master(master: &[u8; 32]) -> Result<Self, Fault> {
        let id = derive(master, "id")?;
        let [a, b, c, d, ..] = *id.expose();
        let hmac_key = |label| derive(master, label).map(|bytes| hmac::Key::new(hmac::HMAC_SHA256, bytes.expose()));
        let sealing = derive(master, "seal")?;
        let sealer = UnboundKey::new(&AES_256_GCM, sealing.expose())
            .map_err(|_| Fault::bug("the sealing key could not be made"))?;
        // The highest bit stays clear, so that the id fits a signed 32-bit column.
        let id = KeyId(u32::from_be_bytes([a & 0x7f, b, c, d]));
        Ok(Self { id, code: hmac_key("code")?, pepper: hmac_key("pepper")?, sealer: LessSafeKey::new(sealer) })
    }
}

impl Keys {
    /// Derives everything from `master`.
    ///
    /// # Errors
    /// A [`Fault::Bug`] where there is no master key at all.
    pub fn new(master: &MasterKey) -> Result<Self, Fault> {
        let mut derived =
            master.0.iter().map(|key| Derived::from_master(key.expose())).collect::<Result<Vec<_>, _>>()?;
        if derived.is_empty() {
            return Err(Fault::bug("there is no master key"));
        }
        let newest = derived.remove(0);
        Ok(Self { newest, older: derived })
    }

    /// The id of the key that new codes are made with.
    pub fn newest(&self) -> KeyId {
        self.newest.id
    }

    fn by_id(&self, id: KeyId) -> Option<&Derived> {
        std::iter::once(&self.newest).chain(&self.older).find(|derived| derived.id == id)
    }

    /// The code key `id`; `None` once the operator has dropped its master key.
    pub(crate) fn code(&self, id: KeyId) -> Option<&hmac::Key> {
        self.by_id(id).map(|derived| &derived.code)
    }

    /// The pepper `id`; `None` once the operator has dropped its master key.
    pub(crate) fn pepper(&self, id: KeyId) -> Option<&hmac::Key> {
        self.by_id(id).map(|derived| &derived.pepper)
    }

    /// Encrypts `plain` with AES-256-GCM for `place` (what it is and where it lies, so that it opens nowhere else).
    ///
    /// The result is the key's id (4 bytes), the nonce (12), the ciphertext and its tag (16).
    pub(crate) fn seal(&self, nonce: [u8; NONCE_LEN], place: &str, plain: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut sealed = Vec::with_capacity(4 + NONCE_LEN + plain.len() + 16);
        let mut text = plain.to_vec();
        self.newest
            .sealer
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place.as_bytes()), &mut text)
            .map_err(|_| Fault::bug("a value could not be sealed"))?;
        sealed.extend_from_slice(&self.newest.id.0.to_be_bytes());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&text);
        Ok(sealed)
    }

    /// Opens what [`Keys::seal`] made; `None` if it was made with another key, for another place, or was altered.
    pub(crate) fn open(&self, place: &str, sealed: &[u8]) -> Option<Secret<Vec<u8>>> {
        let (id, rest) = sealed.split_first_chunk::<4>()?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>()?;
        let key = self.by_id(KeyId(u32::from_be_bytes(*id)))?;
        let mut text = text.to_vec();
        let length = key
            .sealer
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(place.as_bytes()), &mut text)
            .ok()?
            .len();
        text.truncate(length);
        Some(Secret::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_prints() {
        let secret = Secret::new("428193".to_owned());
        assert_eq!(format!("{secret:?}"), "…");
        assert_eq!(format!("{:?}", Digest([7; 32])), "Digest(…)");
    }

    #[test]
    fn what_is_sealed_opens_only_with_its_key_and_in_its_place() {
        let keys = Keys::new(&MasterKey::new([1; 32])).unwrap();
        let sealed = keys.seal([9; 12], "signing_keys/1", b"private").unwrap();
        assert_eq!(keys.open("signing_keys/1", &sealed).unwrap().expose(), b"private");
        assert!(keys.open("signing_keys/2", &sealed).is_none());
        let other = Keys::new(&MasterKey::new([2; 32])).unwrap();
        assert!(other.open("signing_keys/1", &sealed).is_none());
        let rotated = Keys::new(&MasterKey::new([2; 32]).with_older([1; 32])).unwrap();
        assert_eq!(rotated.open("signing_keys/1", &sealed).unwrap().expose(), b"private");
        let mut altered = sealed;
        *altered.last_mut().unwrap() ^= 1;
        assert!(keys.open("signing_keys/1", &altered).is_none());
    }
}
