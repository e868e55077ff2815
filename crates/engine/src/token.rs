//! Signing keys and JWTs.
//!
//! A [`Keyring`] holds each project's keys, parsed once; looking one up takes no lock. Keys lie sealed in the store, unique by
//! project, algorithm and slot, so that two nodes cannot both make one. An access token is signed and never stored.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::env::Timestamp;
use crate::error::Fault;
use crate::project::ProjectId;
use crate::secret::Keys;

/// How a token is signed. A key is only made where a mounted surface signs with its algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    /// The name in JOSE and in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
        }
    }

    /// The algorithm called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        (name == Self::Es256.name()).then_some(Self::Es256)
    }
}

/// A signing key as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedKey {
    /// Its public name: the RFC 7638 thumbprint of the public key.
    pub kid: String,
    /// Whose tenant's it is.
    pub project: ProjectId,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// Its number among the project's keys of this algorithm.
    pub slot: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// The private key (PKCS#8), sealed for its `kid`.
    pub sealed: Vec<u8>,
}

/// What goes into the sealing of a signing key, so that it opens as nothing else.
fn place(kid: &str) -> String {
    format!("signing_keys/{kid}")
}

/// A public key as RFC 7517 writes it. Members in the order of RFC 7638, so that the thumbprint can be taken of the same text.
#[derive(Serialize)]
struct PublicKey<'a> {
    crv: &'static str,
    kty: &'static str,
    x: &'a str,
    y: &'a str,
}

/// The same with what a verifier wants to know besides.
#[derive(Serialize)]
struct PublishedKey<'a> {
    kty: &'static str,
    crv: &'static str,
    x: &'a str,
    y: &'a str,
    kid: &'a str,
    alg: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
}

#[derive(Serialize)]
struct KeySet<'a> {
    keys: Vec<PublishedKey<'a>>,
}

/// A key that is ready to sign.
struct SigningKey {
    kid: String,
    x: String,
    y: String,
    pair: EcdsaKeyPair,
    /// The encoded header and its dot: the same for each token.
    header: String,
}

impl SigningKey {
    fn parse(private: &[u8]) -> Result<Self, Fault> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private)
            .map_err(|_| Fault::bug("a signing key could not be read"))?;
        // An uncompressed point (SEC 1, 2.3.3): 0x04, then 32 bytes of x and 32 of y.
        let point = pair.public_key().as_ref();
        let coordinates = point.get(1..33).zip(point.get(33..65)).filter(|_| point.len() == 65);
        let (x, y) = coordinates.ok_or_else(|| Fault::bug("a public key has the wrong form"))?;
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let canonical = serde_json::to_vec(&PublicKey { crv: "P-256", kty: "EC", x: &x, y: &y })
            .map_err(|error| Fault::Bug(error.into()))?;
        let thumbprint = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &canonical);
        let kid = URL_SAFE_NO_PAD.encode(thumbprint.as_ref());
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"ES256","kid":"{kid}","typ":"JWT"}}"#)) + ".";
        Ok(Self { kid, x, y, pair, header })
    }

    fn published(&self) -> PublishedKey<'_> {
        PublishedKey { kty: "EC", crv: "P-256", x: &self.x, y: &self.y, kid: &self.kid, alg: "ES256", usage: "sig" }
    }

    fn sign(&self, claims: &[u8]) -> Result<String, Fault> {
        let mut token = String::with_capacity(self.header.len() + claims.len() * 4 / 3 + 92);
        token.push_str(&self.header);
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        // ECDSA draws its nonce inside of the library, which offers no other way.
        let signature = self
            .pair
            .sign(&SystemRandom::new(), token.as_bytes())
            .map_err(|_| Fault::bug("a token could not be signed"))?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        Ok(token)
    }
}

/// The keys of one project.
struct Ring {
    /// Newest first: that one signs.
    keys: Vec<SigningKey>,
    /// What verifiers fetch, ready-made.
    published: Arc<[u8]>,
}

/// The signing keys of every project.
#[derive(Default)]
pub(crate) struct Keyring {
    rings: ArcSwap<HashMap<ProjectId, Arc<Ring>>>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Keyring")
    }
}

impl Keyring {
    /// Makes a new private key and seals it; `nonce` is 12 random bytes.
    pub(crate) fn make(
        keys: &Keys,
        project: &ProjectId,
        algorithm: Algorithm,
        slot: u32,
        now: Timestamp,
        nonce: [u8; 12],
    ) -> Result<SealedKey, Fault> {
        let failed = |_| Fault::bug("a signing key could not be made");
        // Drawn inside of the library, from the same generator as everything else.
        let private =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).map_err(failed)?;
        let kid = SigningKey::parse(private.as_ref())?.kid;
        let sealed = keys.seal(nonce, &place(&kid), private.as_ref())?;
        Ok(SealedKey { kid, project: project.clone(), algorithm, slot, created_at: now, sealed })
    }

    /// Opens and parses `sealed`, oldest first, and puts them in the place of the project's keys.
    pub(crate) fn load(&self, keys: &Keys, project: &ProjectId, sealed: &[SealedKey]) -> Result<(), Fault> {
        let mut parsed = Vec::with_capacity(sealed.len());
        for key in sealed.iter().rev() {
            let corrupt = || Fault::Corrupt { table: "signing_keys", column: "sealed", id: i64::from(key.slot) };
            let private = keys.open(&place(&key.kid), &key.sealed).ok_or_else(corrupt)?;
            let key_pair = SigningKey::parse(private.expose())?;
            if key_pair.kid != key.kid {
                return Err(corrupt());
            }
            parsed.push(key_pair);
        }
        let published = serde_json::to_vec(&KeySet { keys: parsed.iter().map(SigningKey::published).collect() })
            .map_err(|error| Fault::Bug(error.into()))?;
        let ring = Arc::new(Ring { keys: parsed, published: published.into() });
        self.rings.rcu(|rings| {
            let mut rings = HashMap::clone(rings);
            rings.insert(project.clone(), Arc::clone(&ring));
            rings
        });
        Ok(())
    }

    /// Signs `claims` with the project's newest key.
    pub(crate) fn sign<C: Serialize>(&self, project: &ProjectId, claims: &C) -> Result<String, Fault> {
        let claims = serde_json::to_vec(claims).map_err(|error| Fault::Bug(error.into()))?;
        let rings = self.rings.load();
        let key = rings.get(project).and_then(|ring| ring.keys.first());
        key.ok_or_else(|| Fault::bug("the project has no signing key"))?.sign(&claims)
    }

    /// The project's JSON Web Key Set (RFC 7517); an empty one where it has no keys.
    pub(crate) fn published(&self, project: &ProjectId) -> Arc<[u8]> {
        let rings = self.rings.load();
        rings.get(project).map_or_else(|| Arc::from(&b"{\"keys\":[]}"[..]), |ring| Arc::clone(&ring.published))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::MasterKey;

    #[test]
    fn a_stock_library_verifies_what_the_ring_signs_and_nothing_altered() {
        let keys = Keys::new(&MasterKey::new([1; 32])).unwrap();
        let project = ProjectId::new("P1");
        let ring = Keyring::default();
        let sealed = Keyring::make(&keys, &project, Algorithm::Es256, 0, Timestamp::default(), [1; 12]).unwrap();
        ring.load(&keys, &project, &[sealed]).unwrap();
        let token = ring.sign(&project, &serde_json::json!({"sub": "x", "exp": 4_102_444_800_i64})).unwrap();

        let set: jsonwebtoken::jwk::JwkSet = serde_json::from_slice(&ring.published(&project)).unwrap();
        let header = jsonwebtoken::decode_header(&token).unwrap();
        let key = jsonwebtoken::DecodingKey::from_jwk(set.find(&header.kid.unwrap()).unwrap()).unwrap();
        let validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
        let claims = jsonwebtoken::decode::<serde_json::Value>(&token, &key, &validation).unwrap().claims;
        assert_eq!(claims["sub"], "x");

        let (message, _) = token.rsplit_once('.').unwrap();
        let altered = format!("{message}.{}", "A".repeat(86));
        assert!(jsonwebtoken::decode::<serde_json::Value>(&altered, &key, &validation).is_err());
    }

    #[test]
    fn a_key_sealed_under_another_master_key_does_not_load() {
        let project = ProjectId::new("P1");
        let keys = Keys::new(&MasterKey::new([1; 32])).unwrap();
        let sealed = Keyring::make(&keys, &project, Algorithm::Es256, 0, Timestamp::default(), [1; 12]).unwrap();
        let other = Keys::new(&MasterKey::new([2; 32])).unwrap();
        assert!(matches!(Keyring::default().load(&other, &project, &[sealed]), Err(Fault::Corrupt { .. })));
    }
}
