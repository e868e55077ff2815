//! Who asks: the access token of a request, and the session it names.

use std::time::Duration;

use engine::{Caller, Context, DeviceProof, Refusal, SessionId};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use web::hand_over;

use crate::error::{Method, Status};
use crate::{ALGORITHM, NAME, Shared};

/// Names an organisation; here there is one for each project, and it is called as that is.
const ORGANISATION: HeaderName = HeaderName::from_static("x-zitadel-orgid");
/// The scope that the API is documented with.
const OPENID: &str = "openid";
/// The scope with which a client asks for a token for this API, and no other.
const API_SCOPE: &str = "urn:zitadel:iam:org:project:id:zitadel:aud";

/// How often it is looked for a key that is being made, and how often at most: for five seconds.
const KEY_POLL: Duration = Duration::from_millis(10);
const KEY_POLLS: u32 = 500;

/// A call whose token is good.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// Where and when, and that it comes from where the token's session was opened.
    pub(crate) context: Context<'a>,
    /// Who.
    pub(crate) caller: Caller,
}

impl Shared {
    /// Judges the headers of a call, or its metadata, which are the same: one read of the store.
    pub(crate) async fn authenticate<'a>(&self, context: Context<'a>, headers: &HeaderMap) -> Result<Call<'a>, Status> {
        let token = bearer(headers)?;
        self.wait_for_keys(&context).await?;
        let claims = hand_over::access_claims(&self.engine, &context, &self.issuer, token);
        let claims = claims.map_err(|error| Status::of(Method::Read, error))?;
        let is_enough = |scope| scope == API_SCOPE || (scope == OPENID && !self.require_api_audience);
        if !claims.scope.split(' ').any(is_enough) {
            return Err(Status::token_invalid());
        }
        let caller = self.engine.caller(&context, SessionId::new(claims.sid)).await;
        let caller = caller.map_err(|error| Status::of(Method::Read, error))?;
        if caller.account.identity.id.get() != claims.sub {
            return Err(Status::of(Method::Read, Refusal::TokenInvalid.into()));
        }
        if headers.get(header::ORIGIN).is_some_and(|origin| !self.origins.allows(origin)) {
            return Err(Status::origin_not_allowed());
        }
        let organisation = headers.get(ORGANISATION).map(HeaderValue::as_bytes).filter(|id| !id.is_empty());
        if organisation.is_some_and(|id| id != context.project.id.as_str().as_bytes()) {
            return Err(Status::no_such_organisation());
        }
        let context = Context { proof: Some(DeviceProof::Session(caller.session.id)), ..context };
        Ok(Call { context, caller })
    }

    /// Waits until the project's key is there: a server that has just started loads it, or makes it, in the background, and a token
    /// must not be called worthless because nobody can judge it yet.
    async fn wait_for_keys(&self, context: &Context<'_>) -> Result<(), Status> {
        for _ in 0..KEY_POLLS {
            if self.engine.can_sign(&context.project.id, ALGORITHM) {
                return Ok(());
            }
            tokio::time::sleep(KEY_POLL).await;
        }
        tracing::error!(dialect = NAME, project = %context.project.id, "the project has no RSA key");
        Err(Status::internal())
    }
}

/// The token of `authorization: Bearer <token>`. The scheme may be written in any case (RFC 9110, 11.1).
fn bearer(headers: &HeaderMap) -> Result<&str, Status> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().filter(|value| !value.as_bytes().trim_ascii().is_empty());
    let value = value.ok_or_else(Status::token_missing)?;
    if values.next().is_some() {
        return Err(Status::no_bearer());
    }
    let parts = value.to_str().ok().and_then(|value| value.trim().split_once(' '));
    let (scheme, token) = parts.ok_or_else(Status::no_bearer)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Status::no_bearer());
    }
    Ok(token.trim())
}
