//! By what a request shows that somebody is signed in: a token in a header, the cookie, or a bearer token, in this order.

use engine::{Caller, Context, DeviceProof, Error, Refusal, SessionId};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use web::{Client, cookie};

use crate::Shared;
use crate::error::Status;
use crate::request::Asked;
use crate::token;

/// A session, as far as a request says. Whether it stands is the engine's to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Presented {
    /// The session.
    pub(crate) session: SessionId,
}

impl Presented {
    /// What `headers` show. A token that is not ours is not made up for by a cookie: whoever shows a token means it.
    pub(crate) fn of(shared: &Shared, headers: &HeaderMap) -> Option<Self> {
        let engine = &shared.engine;
        let token = headers.get("x-session-token").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let session = if token.is_empty() {
            session_cookie(shared, headers)
                .or_else(|| bearer(headers).and_then(|token| token::read_session_token(engine, token)))
        } else {
            token::read_session_token(engine, token)
        };
        session.map(|session| Self { session })
    }
}

/// The session that the cookie of a browser names.
pub(crate) fn session_cookie(shared: &Shared, headers: &HeaderMap) -> Option<SessionId> {
    let name = &shared.config.session.cookie_name;
    cookie::values(headers, name).find_map(|value| token::read_cookie_value(&shared.engine, value))
}

/// The token of `Authorization: Bearer`, the scheme in any case.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

impl Shared {
    /// The context of a request that may come from a device that an address knows: one that presents a session, over or not.
    pub(crate) fn known_context<'a>(&'a self, client: &'a Client, presented: Option<Presented>) -> Context<'a> {
        let proof = presented.map(|presented| DeviceProof::Session(presented.session));
        Context { proof, ..self.context(client) }
    }

    /// Who is signed in.
    ///
    /// # Errors
    /// 401 where nobody is.
    pub(crate) async fn signed_in(&self, context: &Context<'_>, asked: &Asked) -> Result<Caller, Status> {
        let caller = self.caller(context, Presented::of(self, &asked.headers)).await?;
        caller.ok_or_else(|| Status::unauthorized("No valid session credentials were found in the request"))
    }

    /// Whose live session is presented; nothing where it is nobody's.
    pub(crate) async fn caller(
        &self,
        context: &Context<'_>,
        presented: Option<Presented>,
    ) -> Result<Option<Caller>, Status> {
        let Some(Presented { session }) = presented else { return Ok(None) };
        match self.engine.caller(context, session).await {
            Ok(caller) => Ok(Some(caller)),
            Err(Error::Refused { refusal: Refusal::SessionEnded | Refusal::IdentityInactive, flow: _ }) => Ok(None),
            Err(error) => Err(Status::of(error)),
        }
    }
}
