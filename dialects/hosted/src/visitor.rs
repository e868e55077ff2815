//! What a browser brings along: who signed in with it, who did before, and the flow it is in.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::{Caller, Context, DeviceProof, Error, Handle, IdentityId, KNOWN_FOR, Session, SessionId, Timestamp};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use web::Client;
use web::hand_over::{PATIENCE, open, seal};

use crate::{NAME, Shared};

/// Keeps the tokens of these sessions apart from all others.
const SESSION: &str = "hosted.session";

/// What a flow is called by its browser: drawn by chance, sealed in a cookie, and never written down.
#[derive(Clone, Copy)]
pub(crate) struct FlowKey([u8; 16]);

impl FlowKey {
    pub(crate) fn new(shared: &Shared) -> Self {
        Self(shared.engine.random())
    }

    /// Of the browser that sends `headers`.
    pub(crate) fn of(shared: &Shared, context: &Context<'_>, headers: &HeaderMap) -> Option<Self> {
        let sealed = shared.flow_cookie.read(headers)?;
        open(&shared.engine, &place(context), sealed).map(Self)
    }

    pub(crate) fn handle(&self, context: &Context<'_>) -> Handle {
        Handle::new(NAME, &context.project.id, "flow", &self.0)
    }

    /// The cookie that keeps it.
    pub(crate) fn cookie(&self, shared: &Shared, context: &Context<'_>) -> engine::Result<Option<HeaderValue>> {
        let sealed = seal(&shared.engine, &place(context), &self.0)?;
        Ok(shared.flow_cookie.set(&sealed, Some(PATIENCE)))
    }
}

fn place(context: &Context<'_>) -> String {
    format!("hosted.flow/{}", context.project.id)
}

/// Who signed in with a browser last, and when. It stays when he signs out, and opens nothing: it says no more than that the browser
/// is not a stranger's.
#[derive(Serialize, Deserialize)]
struct Device {
    identity: i64,
    proved_at: Timestamp,
}

fn device_place(context: &Context<'_>) -> String {
    format!("hosted.device/{}", context.project.id)
}

impl Shared {
    /// Who signed in with this browser, if that still counts. A fault is a fault: nobody is asked again for it.
    pub(crate) async fn visitor(&self, context: &Context<'_>, headers: &HeaderMap) -> engine::Result<Option<Caller>> {
        let session = self.session_cookie.read(headers).and_then(|token| {
            let token = URL_SAFE_NO_PAD.decode(token).ok()?;
            self.engine.read_bearer(SESSION, &token)
        });
        let Some(session) = session else { return Ok(None) };
        match self.engine.caller(context, SessionId::new(session)).await {
            Ok(caller) => Ok(Some(caller)),
            Err(Error::Refused { .. }) => Ok(None),
            Err(fault @ Error::Failed(_)) => Err(fault),
        }
    }

    /// The context of a request that asks for a code or brings one: it may come from a browser that the address knows.
    pub(crate) fn known_context<'a>(&'a self, client: &'a Client, headers: &HeaderMap) -> Context<'a> {
        let context = self.context(client);
        let sealed = self.device_cookie.read(headers);
        let device = sealed.and_then(|sealed| open(&self.engine, &device_place(&context), sealed));
        let proof = device.map(|Device { identity, proved_at }| DeviceProof::Identity {
            identity: IdentityId::new(identity),
            proved_at,
        });
        Context { proof, ..context }
    }

    /// The cookie by which the browser is known from now on to whoever opened `session` in it.
    pub(crate) fn device_cookie(
        &self,
        context: &Context<'_>,
        session: &Session,
    ) -> engine::Result<Option<HeaderValue>> {
        let device = Device { identity: session.identity.get(), proved_at: session.issued_at };
        let sealed = seal(&self.engine, &device_place(context), &device)?;
        Ok(self.device_cookie.set(&sealed, Some(KNOWN_FOR)))
    }

    /// The cookie that names `session`.
    pub(crate) fn session_cookie(&self, session: &Session) -> Option<HeaderValue> {
        let token = URL_SAFE_NO_PAD.encode(self.engine.bearer(SESSION, session.id.get()).expose());
        self.session_cookie.set(&token, Some(self.session_life))
    }
}
