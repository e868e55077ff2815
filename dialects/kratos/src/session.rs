//! Sessions: how they are shown, by whom they are presented, listed and ended.

mod list;
mod presented;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{delete, get};
use engine::{Account, Caller, Engine, Session, SessionId, SessionTerms};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use web::cookie::{self, Life};
use web::respond;

use crate::Shared;
use crate::error::Status;
use crate::identity::{Audience, IdentityBody};
use crate::request::Asked;
use crate::routes::only;
use crate::token;

pub(crate) use presented::{Presented, session_cookie};

/// Keep the public ids of sessions and of devices apart from all others.
const SESSION: &str = "kratos.session";
const DEVICE: &str = "kratos.device";

/// Whose session it is, for proxies that look at headers only.
const IDENTITY_ID: HeaderName = HeaderName::from_static("x-kratos-authenticated-identity-id");

/// The routes of who is signed in.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/sessions", only("DELETE, GET, HEAD", get(list::mine).delete(list::end_others)))
        .route("/sessions/whoami", only("GET, HEAD", get(whoami)))
        .route("/sessions/{id}", only("DELETE", delete(list::end_one)))
}

/// `GET /sessions/whoami`
async fn whoami(State(shared): State<Arc<Shared>>, asked: Asked) -> Response {
    let context = shared.context(&asked.client);
    match shared.signed_in(&context, &asked).await {
        Ok(caller) => {
            let body = SessionBody::of_caller(&shared, &caller, Audience::Itself);
            let mut response = respond::json(StatusCode::OK, &body);
            let identity = crate::identity::public_id(&shared.engine, caller.account.identity.id);
            if let Ok(value) = HeaderValue::try_from(identity.to_string()) {
                response.headers_mut().insert(IDENTITY_ID, value);
            }
            response
        }
        Err(status) => status.into_response(),
    }
}

/// What is noted of a session when it begins: where it was begun.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Memo {
    #[serde(skip_serializing_if = "String::is_empty")]
    address: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    user_agent: String,
}

/// What a session is like that whoever sends `asked` begins.
pub(crate) fn terms(shared: &Shared, asked: &Asked) -> Result<SessionTerms, Status> {
    let memo = Memo {
        address: asked.client.address.map(|address| address.to_string()).unwrap_or_default(),
        user_agent: asked.client.user_agent.as_deref().unwrap_or_default().to_owned(),
    };
    let memo = serde_json::to_string(&memo).map_err(|_| Status::internal())?;
    Ok(SessionTerms { life: shared.config.session.lifespan, memo: Some(memo) })
}

/// Sets the cookie that signs a browser in.
pub(crate) fn put_cookie(shared: &Shared, session: &Session, response: &mut Response) {
    let config = &shared.config.session;
    let life = Life::Until { now: session.issued_at, end: session.expires_at };
    let life = if config.is_persistent { life } else { Life::Browser };
    let value = token::cookie_value(&shared.engine, session.id);
    // The name and the scope were checked when the configuration was read.
    if let Ok(header) = cookie::set(&config.cookie_name, value.expose(), life, &config.scope) {
        response.headers_mut().append(http::header::SET_COOKIE, header);
    }
}

/// Takes the cookie away that signs a browser in.
pub(crate) fn clear_cookie(shared: &Shared, response: &mut Response) {
    let config = &shared.config.session;
    if let Ok(header) = cookie::set(&config.cookie_name, "", Life::Over, &config.scope) {
        response.headers_mut().append(http::header::SET_COOKIE, header);
    }
}

/// The session that `text` names, if it is one of our ids at all.
fn read_public_id(engine: &Engine, text: &str) -> Option<SessionId> {
    engine.read_public_id(SESSION, Uuid::try_parse(text).ok()?).map(SessionId::new)
}

/// A session.
#[derive(Debug, Serialize)]
pub(crate) struct SessionBody {
    id: Uuid,
    active: bool,
    expires_at: String,
    authenticated_at: String,
    authenticator_assurance_level: &'static str,
    authentication_methods: [Factor; 1],
    issued_at: String,
    identity: IdentityBody,
    devices: [DeviceBody; 1],
}

/// How somebody showed who it is.
#[derive(Debug, Serialize)]
struct Factor {
    #[serde(rename = "method")]
    name: &'static str,
    aal: &'static str,
    completed_at: String,
}

/// Where somebody signed in.
#[derive(Debug, Serialize)]
struct DeviceBody {
    id: Uuid,
    ip_address: String,
    user_agent: String,
    /// Nobody is looked up.
    location: &'static str,
}

/// One factor: a code that was mailed.
const ONE_FACTOR: &str = "aal1";

impl SessionBody {
    /// A session of `account`, which is live.
    pub(crate) fn new(shared: &Shared, session: &Session, account: &Account, audience: Audience) -> Self {
        let memo: Memo = session.memo.as_deref().and_then(|memo| serde_json::from_str(memo).ok()).unwrap_or_default();
        let issued_at = session.issued_at.rfc3339();
        Self {
            id: shared.engine.public_id(SESSION, session.id.get()),
            active: true,
            expires_at: session.expires_at.rfc3339(),
            authenticated_at: issued_at.clone(),
            authenticator_assurance_level: ONE_FACTOR,
            authentication_methods: [Factor { name: "code", aal: ONE_FACTOR, completed_at: issued_at.clone() }],
            issued_at,
            identity: IdentityBody::new(shared, account, audience),
            devices: [DeviceBody {
                id: shared.engine.public_id(DEVICE, session.id.get()),
                ip_address: memo.address,
                user_agent: memo.user_agent,
                location: "",
            }],
        }
    }

    fn of_caller(shared: &Shared, caller: &Caller, audience: Audience) -> Self {
        Self::new(shared, &caller.session, &caller.account, audience)
    }
}
