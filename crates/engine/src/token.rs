//! Signing keys and JWTs.
//!
//! A [`Keyring`] holds each project's keys, parsed once; looking one up takes no lock. Keys lie sealed in the store, unique by
//! project, algorithm and slot, so that two nodes cannot both make one. An access token is signed and never stored.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::env::Timestamp;
use crate::error::Fault;
use crate::project::ProjectId;
use crate::secret::{Keys, Secret};

/// How a token is signed. A key is only made where a mounted surface signs with its algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSA (2,048 bits, PKCS #1 v1.5) with SHA-256. Making a key takes a quarter of a second.
    Rs256,
}

impl Algorithm {
    /// The name in JOSE and in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    /// The algorithm called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Es256, Self::Rs256].into_iter().find(|it| it.name() == name)
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

/// Whether a token's times count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// A token that is over, or not yet to be used, is refused.
    Count,
    /// Only who made it counts.
    DoNotCount,
}

/// What goes into the sealing of a signing key, so that it opens as nothing else.
fn place(kid: &str) -> String {
    format!("signing_keys/{kid}")
}

/// The public half of a key, as RFC 7517 writes it.
enum PublicKey {
    P256 { x: String, y: String },
    Rsa { modulus: String, exponent: String },
}

impl PublicKey {
    /// The text that RFC 7638 takes the thumbprint of: the members that must be there, in the order of their names.
    fn canonical(&self) -> String {
        match self {
            Self::P256 { x, y } => format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#),
            Self::Rsa { modulus, exponent } => format!(r#"{{"e":"{exponent}","kty":"RSA","n":"{modulus}"}}"#),
        }
    }

    /// The same with what a verifier wants to know besides.
    fn published(&self, kid: &str) -> String {
        match self {
            Self::P256 { x, y } => {
                format!(r#"{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}","kid":"{kid}","alg":"ES256","use":"sig"}}"#)
            }
            Self::Rsa { modulus, exponent } => {
                format!(r#"{{"alg":"RS256","e":"{exponent}","kid":"{kid}","kty":"RSA","n":"{modulus}","use":"sig"}}"#)
            }
        }
    }
}

/// A private key, parsed.
enum Pair {
    Es256(EcdsaKeyPair),
    Rs256(Box<RsaKeyPair>),
}

/// A key that is ready to sign.
struct SigningKey {
    kid: String,
    pair: Pair,
    public: PublicKey,
    /// The same, ready to verify.
    verifier: ParsedPublicKey,
    /// The encoded header and its dot: the same for each token.
    header: String,
}

impl SigningKey {
    /// A new private key (PKCS#8), drawn inside of the library, from the same generator as everything else.
    fn generate(algorithm: Algorithm) -> Result<Secret<Vec<u8>>, Fault> {
        let failed = |_| Fault::bug("a signing key could not be made");
        let private = match algorithm {
            Algorithm::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .map_err(failed)?
                .as_ref()
                .to_vec(),
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
                let private: Pkcs8V1Der<'static> = pair.as_der().map_err(failed)?;
                private.as_ref().to_vec()
            }
        };
        Ok(Secret::new(private))
    }

    fn parse(algorithm: Algorithm, private: &[u8]) -> Result<Self, Fault> {
        let unreadable = || Fault::bug("a signing key could not be read");
        let (pair, public, verifier) = match algorithm {
            Algorithm::Es256 => {
                let pair =
                    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private).map_err(|_| unreadable())?;
                // An uncompressed point (SEC 1, 2.3.3): 0x04, then 32 bytes of x and 32 of y.
                let point = pair.public_key().as_ref();
                let coordinates = point.get(1..33).zip(point.get(33..65)).filter(|_| point.len() == 65);
                let (x, y) = coordinates.ok_or_else(unreadable)?;
                let public = PublicKey::P256 { x: URL_SAFE_NO_PAD.encode(x), y: URL_SAFE_NO_PAD.encode(y) };
                let verifier = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).map_err(|_| unreadable())?;
                (Pair::Es256(pair), public, verifier)
            }
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::from_pkcs8(private).map_err(|_| unreadable())?;
                let key = pair.public_key();
                let public = PublicKey::Rsa {
                    modulus: URL_SAFE_NO_PAD.encode(key.modulus().big_endian_without_leading_zero()),
                    exponent: URL_SAFE_NO_PAD.encode(key.exponent().big_endian_without_leading_zero()),
                };
                let verifier =
                    ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.as_ref()).map_err(|_| unreadable())?;
                (Pair::Rs256(Box::new(pair)), public, verifier)
            }
        };
        let thumbprint = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, public.canonical().as_bytes());
        let kid = URL_SAFE_NO_PAD.encode(thumbprint.as_ref());
        let header = format!(r#"{{"alg":"{}","kid":"{kid}","typ":"JWT"}}"#, algorithm.name());
        Ok(Self { kid, pair, public, verifier, header: URL_SAFE_NO_PAD.encode(header) + "." })
    }

    fn sign(&self, claims: &[u8]) -> Result<String, Fault> {
        let failed = |_| Fault::bug("a token could not be signed");
        let mut token = String::with_capacity(self.header.len() + claims.len() * 4 / 3 + 350);
        token.push_str(&self.header);
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        match &self.pair {
            // ECDSA draws its nonce inside of the library, which offers no other way.
            Pair::Es256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), token.as_bytes()).map_err(failed)?;
                token.push('.');
                URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
            }
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature).map_err(failed)?;
                token.push('.');
                URL_SAFE_NO_PAD.encode_string(&signature, &mut token);
            }
        }
        Ok(token)
    }
}

/// The keys of one project and algorithm.
struct Ring {
    /// Newest first: that one signs.
    keys: Vec<SigningKey>,
    /// What verifiers fetch, ready-made.
    published: Arc<[u8]>,
}

/// What of a token's header and claims the ring itself reads.
#[derive(Deserialize)]
struct Header<'a> {
    alg: &'a str,
    kid: &'a str,
}

#[derive(Deserialize)]
struct Validity {
    exp: i64,
    #[serde(default)]
    nbf: i64,
}

/// The signing keys of every project.
#[derive(Default)]
pub(crate) struct Keyring {
    rings: ArcSwap<HashMap<(ProjectId, Algorithm), Arc<Ring>>>,
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
        let private = SigningKey::generate(algorithm)?;
        let kid = SigningKey::parse(algorithm, private.expose())?.kid;
        let sealed = keys.seal(nonce, &place(&kid), private.expose())?;
        Ok(SealedKey { kid, project: project.clone(), algorithm, slot, created_at: now, sealed })
    }

    /// Opens and parses those of `sealed` (oldest first) that are of `algorithm`, and puts them in the place of the project's keys of
    /// it.
    pub(crate) fn load(
        &self,
        keys: &Keys,
        project: &ProjectId,
        algorithm: Algorithm,
        sealed: &[SealedKey],
    ) -> Result<(), Fault> {
        let mut parsed = Vec::with_capacity(sealed.len());
        for key in sealed.iter().rev().filter(|key| key.algorithm == algorithm) {
            let corrupt = || Fault::Corrupt { table: "signing_keys", column: "sealed", id: i64::from(key.slot) };
            let private = keys.open(&place(&key.kid), &key.sealed).ok_or_else(corrupt)?;
            let ready = SigningKey::parse(algorithm, private.expose())?;
            if ready.kid != key.kid {
                return Err(corrupt());
            }
            parsed.push(ready);
        }
        let published: Vec<_> = parsed.iter().map(|key| key.public.published(&key.kid)).collect();
        let published = format!(r#"{{"keys":[{}]}}"#, published.join(","));
        let ring = Arc::new(Ring { keys: parsed, published: published.into_bytes().into() });
        self.rings.rcu(|rings| {
            let mut rings = HashMap::clone(rings);
            rings.insert((project.clone(), algorithm), Arc::clone(&ring));
            rings
        });
        Ok(())
    }

    /// Whether the project can sign.
    pub(crate) fn is_ready(&self, project: &ProjectId, algorithm: Algorithm) -> bool {
        self.ring(project, algorithm).is_some_and(|ring| !ring.keys.is_empty())
    }

    /// Signs `claims` with the project's newest key.
    pub(crate) fn sign<C: Serialize>(
        &self,
        project: &ProjectId,
        algorithm: Algorithm,
        claims: &C,
    ) -> Result<String, Fault> {
        let claims = serde_json::to_vec(claims).map_err(|error| Fault::Bug(error.into()))?;
        let ring = self.ring(project, algorithm);
        let key = ring.as_ref().and_then(|ring| ring.keys.first());
        key.ok_or_else(|| Fault::Unavailable("the project's signing key is still being made".into()))?.sign(&claims)
    }

    /// The claims of a token that one of the project's keys signed; `None` if none did, or if its times count and are over.
    pub(crate) fn verify<C: DeserializeOwned>(
        &self,
        project: &ProjectId,
        algorithm: Algorithm,
        token: &str,
        times: Times,
        now: Timestamp,
    ) -> Option<C> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let header = URL_SAFE_NO_PAD.decode(header).ok()?;
        let header: Header<'_> = serde_json::from_slice(&header).ok()?;
        let ring = self.ring(project, algorithm)?;
        // The key says which algorithm is used, never the token.
        let key = ring.keys.iter().find(|key| key.kid == header.kid && header.alg == algorithm.name())?;
        key.verifier.verify_sig(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
        if times == Times::Count {
            let validity: Validity = serde_json::from_slice(&claims).ok()?;
            if now.seconds() >= validity.exp || now.seconds() < validity.nbf {
                return None;
            }
        }
        serde_json::from_slice(&claims).ok()
    }

    /// The project's JSON Web Key Set (RFC 7517) for an algorithm; an empty one where it has no keys.
    pub(crate) fn published(&self, project: &ProjectId, algorithm: Algorithm) -> Arc<[u8]> {
        self.ring(project, algorithm)
            .map_or_else(|| Arc::from(&b"{\"keys\":[]}"[..]), |ring| Arc::clone(&ring.published))
    }

    fn ring(&self, project: &ProjectId, algorithm: Algorithm) -> Option<Arc<Ring>> {
        self.rings.load().get(&(project.clone(), algorithm)).map(Arc::clone)
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
        ring.load(&keys, &project, Algorithm::Es256, &[sealed]).unwrap();
        let token =
            ring.sign(&project, Algorithm::Es256, &serde_json::json!({"sub": "x", "exp": 4_102_444_800_i64})).unwrap();

        let set: jsonwebtoken::jwk::JwkSet =
            serde_json::from_slice(&ring.published(&project, Algorithm::Es256)).unwrap();
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
        assert!(matches!(
            Keyring::default().load(&other, &project, Algorithm::Es256, &[sealed]),
            Err(Fault::Corrupt { .. })
        ));
    }
}
