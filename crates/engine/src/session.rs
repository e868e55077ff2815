//! Sessions: who is signed in, since when, until when.

use std::time::Duration;

use crate::env::Timestamp;
use crate::id::{IdentityId, SessionId};
use crate::project::ProjectId;

/// What a session that a passed code opens shall be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTerms {
    /// How long it lives.
    pub life: Duration,
}

/// One signed-in identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose tenant's it is.
    pub project: ProjectId,
    /// Who is signed in.
    pub identity: IdentityId,
    /// How it was proved: the channel's name.
    pub method: String,
    /// When it began.
    pub issued_at: Timestamp,
    /// When its life ends.
    pub expires_at: Timestamp,
    /// When it was ended before that, if it was.
    pub ended_at: Option<Timestamp>,
}

impl Session {
    /// Whether it stands at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && now < self.expires_at
    }
}
