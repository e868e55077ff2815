//! Sessions.

use super::{Context, Engine};
use crate::error::{Refusal, Result};
use crate::id::{IdentityId, SessionId};
use crate::session::{Caller, EndSessions, Refresh, RefreshOutcome, Rotation, Session, Sessions};

impl Engine {
    /// A live session that counts at this surface, and whose it is.
    ///
    /// # Refusals
    /// `SessionEnded`, `IdentityInactive`.
    pub async fn caller(&self, context: &Context<'_>, session: SessionId) -> Result<Caller> {
        let caller = self.store.caller(session).await?.ok_or(Refusal::SessionEnded)?;
        caller.check(context.sessions_of, &context.project.id, context.now)?;
        Ok(caller)
    }

    /// The live sessions of an identity that count at this surface, the oldest first.
    pub async fn sessions(&self, context: &Context<'_>, identity: IdentityId) -> Result<Vec<Session>> {
        let mut sessions = self.store.sessions(identity, context.now).await?;
        sessions.retain(|session| session.dialect == context.sessions_of && session.project == context.project.id);
        Ok(sessions)
    }

    /// Has a session go on: one operation of the store. The answer's session has the generation that the next token must name.
    ///
    /// # Refusals
    /// `SessionEnded`, `IdentityInactive`, `TokenInvalid` (the session lives on), `TokenReused` (it has been ended).
    pub async fn refresh(
        &self,
        context: &Context<'_>,
        session: SessionId,
        generation: u32,
        rotation: Rotation,
    ) -> Result<Caller> {
        let project = context.project.id.clone();
        let operation =
            Refresh { now: context.now, project, dialect: context.sessions_of, session, generation, rotation };
        match self.store.refresh(operation).await? {
            RefreshOutcome::Refreshed(caller) => Ok(*caller),
            RefreshOutcome::Refused(refusal) => Err(refusal.into()),
        }
    }

    /// Ends a session, or all of whom it belongs to: one operation of the store.
    ///
    /// # Refusals
    /// `SessionEnded`.
    pub async fn end_sessions(&self, context: &Context<'_>, session: SessionId, which: Sessions) -> Result<()> {
        let project = context.project.id.clone();
        let operation = EndSessions { now: context.now, project, dialect: context.sessions_of, session, which };
        Ok(self.store.end_sessions(operation).await??)
    }
}
