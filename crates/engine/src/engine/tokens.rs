//! Tokens and public ids.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::{Context, Engine};
use crate::error::{Refusal, Result};
use crate::project::ProjectId;
use crate::secret::Digest;
use crate::token::{Algorithm, Keyring, Times};

impl Engine {
    /// Makes sure that the project has a key to sign with, and loads all it has.
    pub async fn prepare_keys(&self, project: &ProjectId, algorithm: Algorithm) -> Result<()> {
        let mut sealed = self.store.signing_keys(project.clone()).await?;
        if !sealed.iter().any(|key| key.algorithm == algorithm) {
            let key = Keyring::make(&self.keys, project, algorithm, 0, self.now(), self.env.bytes())?;
            self.store.add_signing_key(key).await?;
            sealed = self.store.signing_keys(project.clone()).await?;
        }
        Ok(self.keyring.load(&self.keys, project, algorithm, &sealed)?)
    }

    /// Whether [`Engine::sign`] has a key.
    pub fn can_sign(&self, project: &ProjectId, algorithm: Algorithm) -> bool {
        self.keyring.is_ready(project, algorithm)
    }

    /// Signs `claims` as a JWT with the project's key. No I/O.
    pub fn sign<C: Serialize>(&self, context: &Context<'_>, algorithm: Algorithm, claims: &C) -> Result<String> {
        Ok(self.keyring.sign(&context.project.id, algorithm, claims)?)
    }

    /// The claims of a JWT that a key of the project signed. No I/O: whether its session stands is another question.
    ///
    /// # Refusals
    /// `TokenInvalid`: signed by nobody, altered, or, where `times` count, over.
    pub fn authenticate<C: DeserializeOwned>(
        &self,
        context: &Context<'_>,
        algorithm: Algorithm,
        token: &str,
        times: Times,
    ) -> Result<C> {
        let claims = self.keyring.verify(&context.project.id, algorithm, token, times, context.now);
        claims.ok_or_else(|| Refusal::TokenInvalid.into())
    }

    /// The project's JSON Web Key Set for an algorithm, ready-made.
    pub fn jwks(&self, project: &ProjectId, algorithm: Algorithm) -> Arc<[u8]> {
        self.keyring.published(project, algorithm)
    }

    /// The public form of a 63-bit id where a wire wants a UUID: version 8, the id and a 59-bit tag that nobody else can make.
    ///
    /// `kind` keeps the ids of different nouns apart.
    pub fn public_id(&self, kind: &str, id: i64) -> Uuid {
        let tag = u128::from(self.tag(kind, id));
        let payload = (u128::from(id.unsigned_abs()) << 59) | tag;
        // RFC 9562, 5.8: 48 bits, the version, 12 bits, the variant, 62 bits.
        let high = payload >> 74;
        let middle = (payload >> 62) & 0xfff;
        let low = payload & ((1 << 62) - 1);
        Uuid::from_u128((high << 80) | (0x8 << 76) | (middle << 64) | (0b10 << 62) | low)
    }

    /// The id that [`Engine::public_id`] wrote as `public`; `None` if it did not.
    pub fn read_public_id(&self, kind: &str, public: Uuid) -> Option<i64> {
        let bits = public.as_u128();
        let payload = ((bits >> 80) << 74) | (((bits >> 64) & 0xfff) << 62) | (bits & ((1 << 62) - 1));
        let id = i64::try_from(payload >> 59).ok()?;
        (self.public_id(kind, id) == public).then_some(id)
    }

    fn tag(&self, kind: &str, id: i64) -> u64 {
        let digest = Digest::keyed(&self.public_ids, &[kind.as_bytes(), &[0], &id.to_be_bytes()]);
        digest.as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes) >> 5)
    }
}
