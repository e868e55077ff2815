//! Sessions: who is signed in, since when, until when; refreshing and ending them.
//!
//! A refresh token names its session and a generation. With rotation each refresh makes the next generation, and an old token is
//! worth something only for a moment: long enough for parallel calls and for an answer that was lost.

use std::time::Duration;

use crate::env::Timestamp;
use crate::error::Refusal;
use crate::id::{DeviceId, IdentityId, SessionId};
use crate::identity::{Account, IdentityState};
use crate::project::ProjectId;
use crate::store::{Decision, Operation, Write};

/// What a session that a passed code opens shall be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionTerms {
    /// How long it lives.
    pub life: Duration,
    /// The surface's own small note.
    pub memo: Option<String>,
}

impl SessionTerms {
    /// A session of this life, about which there is nothing to note.
    pub const fn of(life: Duration) -> Self {
        Self { life, memo: None }
    }
}

/// One signed-in identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose tenant's it is.
    pub project: ProjectId,
    /// The surface it was opened at. No other knows it.
    pub dialect: String,
    /// Who is signed in.
    pub identity: IdentityId,
    /// The device it was opened at, for surfaces that know devices.
    pub device: Option<DeviceId>,
    /// How it was proved: the channel's name.
    pub method: String,
    /// The surface's own small note, opaque to the engine.
    pub memo: Option<String>,
    /// When it began.
    pub issued_at: Timestamp,
    /// When its life ends.
    pub expires_at: Timestamp,
    /// When it was ended before that, if it was.
    pub ended_at: Option<Timestamp>,
    /// Which refresh token is the present one.
    pub generation: u32,
    /// When that came to be.
    pub rotated_at: Timestamp,
    /// When the one before it came to be.
    pub previous_rotated_at: Timestamp,
}

/// A session that is about to begin.
pub(crate) struct Beginning<'a> {
    pub(crate) id: SessionId,
    pub(crate) project: &'a ProjectId,
    pub(crate) dialect: &'a str,
    pub(crate) identity: IdentityId,
    pub(crate) device: Option<DeviceId>,
    pub(crate) method: &'a str,
    pub(crate) now: Timestamp,
}

impl Beginning<'_> {
    /// The session, with its first refresh token.
    pub(crate) fn session(self, terms: &SessionTerms) -> Session {
        Session {
            id: self.id,
            project: self.project.clone(),
            dialect: self.dialect.to_owned(),
            identity: self.identity,
            device: self.device,
            method: self.method.to_owned(),
            memo: terms.memo.clone(),
            issued_at: self.now,
            expires_at: self.now.plus(terms.life),
            ended_at: None,
            generation: 0,
            rotated_at: self.now,
            previous_rotated_at: self.now,
        }
    }
}

impl Session {
    /// Whether it stands at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && now < self.expires_at
    }

    /// Whether a refresh token of `generation` is the present one, or was until a moment ago. An old one is good for nothing else
    /// than a refresh either, where it ends the session.
    pub fn accepts(&self, generation: u32, now: Timestamp) -> bool {
        match self.generation.checked_sub(generation) {
            Some(0) => true,
            Some(1) => now < self.rotated_at.plus(GRACE),
            Some(_) | None => false,
        }
    }
}

/// A session together with whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The session.
    pub session: Session,
    /// Whose it is.
    pub account: Account,
}

impl Caller {
    /// Whether this is a live session of `dialect` in `project`, of somebody who may be signed in.
    ///
    /// # Refusals
    /// `SessionEnded`, `IdentityInactive`.
    pub fn check(&self, dialect: &str, project: &ProjectId, now: Timestamp) -> Result<(), Refusal> {
        let is_known_here = self.session.dialect == dialect && self.session.project == *project;
        if !is_known_here || !self.session.is_live(now) {
            return Err(Refusal::SessionEnded);
        }
        match self.account.identity.state {
            IdentityState::Active => Ok(()),
            IdentityState::Inactive => Err(Refusal::IdentityInactive),
        }
    }
}

/// For so long after its rotation an old refresh token does no harm: parallel calls and a lost answer are no theft.
pub const GRACE: Duration = Duration::from_secs(30);

/// What refreshing does to the refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// The token stays good as long as its session.
    Off,
    /// A new one takes its place.
    On,
}

/// Asks for a session to go on.
#[derive(Debug)]
pub struct Refresh {
    /// When.
    pub now: Timestamp,
    /// Whose tenant's the session must be.
    pub project: ProjectId,
    /// The surface it must have been opened at.
    pub dialect: &'static str,
    /// The session.
    pub session: SessionId,
    /// The generation of the token that was brought.
    pub generation: u32,
    /// What refreshing does to it.
    pub rotation: Rotation,
}

/// What came of it.
#[derive(Debug)]
pub enum RefreshOutcome {
    /// It goes on, with the session's present generation.
    Refreshed(Box<Caller>),
    /// It does not.
    Refused(Refusal),
}

impl Operation for Refresh {
    type Seen = Option<Caller>;
    type Outcome = RefreshOutcome;

    fn decide(&self, seen: Self::Seen) -> Decision<Self::Outcome> {
        let refused = |refusal| Decision { outcome: RefreshOutcome::Refused(refusal), writes: Vec::new() };
        let Some(mut caller) = seen else { return refused(Refusal::SessionEnded) };
        if let Err(refusal) = caller.check(self.dialect, &self.project, self.now) {
            return refused(refusal);
        }
        let session = &mut caller.session;
        let mut writes = Vec::new();
        match session.generation.checked_sub(self.generation) {
            // The present token.
            Some(0) => {
                if self.rotation == Rotation::On {
                    session.previous_rotated_at = session.rotated_at;
                    session.rotated_at = self.now;
                    session.generation = session.generation.saturating_add(1);
                    writes.push(Write::RotateSession(session.clone()));
                }
            }
            // The one before it, whose successor nobody has used yet: a parallel call, or an answer that was lost.
            Some(1) if self.is_recent(session.rotated_at) => {}
            // Older, but rotated only a moment ago: its holder is late, and no thief.
            Some(2) if self.is_recent(session.previous_rotated_at) => return refused(Refusal::TokenInvalid),
            Some(_) if self.is_recent(session.issued_at) => return refused(Refusal::TokenInvalid),
            // Two hold tokens of one session, and nobody can say which of them is its owner.
            Some(_) => {
                writes.push(Write::EndSession { id: session.id, at: self.now });
                return Decision { outcome: RefreshOutcome::Refused(Refusal::TokenReused), writes };
            }
            // A generation that was never made.
            None => return refused(Refusal::TokenInvalid),
        }
        Decision { outcome: RefreshOutcome::Refreshed(Box::new(caller)), writes }
    }
}

impl Refresh {
    fn is_recent(&self, rotated_at: Timestamp) -> bool {
        self.now < rotated_at.plus(GRACE)
    }
}

/// Which sessions to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sessions {
    /// The one that asks.
    This,
    /// All of the identity it belongs to, and the tickets by which there would be more.
    OfIdentity,
}

/// Ends sessions on behalf of one of them.
#[derive(Debug)]
pub struct EndSessions {
    /// When.
    pub now: Timestamp,
    /// Whose tenant's the session must be.
    pub project: ProjectId,
    /// The surface it must have been opened at.
    pub dialect: &'static str,
    /// The session that asks.
    pub session: SessionId,
    /// Which to end.
    pub which: Sessions,
}

impl Operation for EndSessions {
    type Seen = Option<Caller>;
    type Outcome = Result<(), Refusal>;

    fn decide(&self, seen: Self::Seen) -> Decision<Self::Outcome> {
        let checked = seen.ok_or(Refusal::SessionEnded).and_then(|caller| {
            // Who may not sign in may still sign out.
            match caller.check(self.dialect, &self.project, self.now) {
                Ok(()) | Err(Refusal::IdentityInactive) => Ok(caller),
                Err(refusal) => Err(refusal),
            }
        });
        match checked {
            Err(refusal) => Decision { outcome: Err(refusal), writes: Vec::new() },
            Ok(caller) => {
                let identity = caller.session.identity;
                let writes = match self.which {
                    Sessions::This => vec![Write::EndSession { id: self.session, at: self.now }],
                    Sessions::OfIdentity => {
                        vec![Write::EndSessions { identity, at: self.now }, Write::DropTickets(identity)]
                    }
                };
                Decision { outcome: Ok(()), writes }
            }
        }
    }
}
