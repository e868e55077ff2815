//! Who asks: the session that a request carries, or a new one.
//!
//! A session is a device of the engine. It is there before anybody signs in, and until something is done at it, it is an id and
//! nothing else: a visit writes no row. Its token names device and generation, and both are in what nobody else can make. The engine
//! rotates a device whenever what it may do changes; the token of before is then worth nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::{Caller, Context, Device, DeviceId, DeviceView, Flow, Timestamp};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use serde::Serialize;
use web::{Client, respond};

use crate::cookie::Cookie;
use crate::envelope::{Envelope, Session, active};
use crate::error::{Call, Status};
use crate::identifier::{Availability, Strategy};
use crate::session::SessionToken;
use crate::user::{Nothing, User};
use crate::wire::{SessionQuery, given};
use crate::{Mode, NAME, Shared};

/// Carries a session in staging, in answers and, for older kits, in requests.
pub(crate) const DEVELOPMENT_SESSION: HeaderName = HeaderName::from_static("x-development-session");

/// For so long after a rotation the token of before is answered as nobody's, and is given no other: the kit asks in parallel, and a
/// new token in such an answer would take the place of the one that somebody signed in with.
const GRACE: Duration = Duration::from_mins(1);

/// What a token is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is the session's; or there was none, and this is a new session. The answer carries its token.
    Present,
    /// It was, until a moment ago. The answer carries none.
    Superseded,
}

/// A request's session, as it is and as it becomes.
pub(crate) struct Visit {
    pub(crate) shared: Arc<Shared>,
    pub(crate) client: Client,
    pub(crate) now: Timestamp,
    view: DeviceView,
    standing: Standing,
    touched: Option<Flow>,
}

/// What an answer has as its data.
pub(crate) enum Data {
    /// The session.
    Session,
    /// The session, and that a code is on its way.
    Prepared,
    /// Who is signed in.
    Me,
    /// A JWT for him.
    Token(SessionToken),
    /// Whether somebody has an identifier.
    Availability(Availability),
    /// How somebody signs in.
    Strategy(Strategy),
    /// Organisations and workspaces: there are none.
    Memberships,
    /// What the kit is configured with.
    Deployment,
}

/// The session and what was sent.
#[derive(Serialize)]
struct Prepared<'a> {
    #[serde(flatten)]
    session: &'a Session<'a>,
    otp_sent: bool,
    verification_method: &'static str,
}

impl FromRequestParts<Arc<Shared>> for Visit {
    type Rejection = Status;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Status> {
        if shared.pages.is_strange(&parts.headers) {
            return Err(Status::strange_page());
        }
        let client = parts.extensions.get::<Client>().cloned().unwrap_or_default();
        let context = shared.engine.context(&shared.project, NAME, client.for_engine());
        let now = context.now;
        let mut standing = Standing::Present;
        let view = match shared.presented(&parts.uri, &parts.headers) {
            None => None,
            Some((device, generation)) => {
                let view = shared.engine.device(&context, device).await;
                let view = view.map_err(|error| Status::of(Call::Session, now, error))?;
                let is_superseded = generation < view.device.generation && now < view.device.rotated_at.plus(GRACE);
                if is_superseded {
                    standing = Standing::Superseded;
                }
                (generation == view.device.generation).then_some(view)
            }
        };
        let view = view.unwrap_or_else(|| {
            let device = Device::new(shared.engine.new_device_id(&context), &shared.project.id, NAME);
            DeviceView { device, flows: Vec::new(), callers: Vec::new() }
        });
        Ok(Self { shared: Arc::clone(shared), client, now, view, standing, touched: None })
    }
}

impl Visit {
    /// The frame of the request.
    pub(crate) fn context(&self) -> Context<'_> {
        Context { now: self.now, ..self.shared.engine.context(&self.shared.project, NAME, self.client.for_engine()) }
    }

    /// The session that the request carries: a device.
    pub(crate) fn device(&self) -> DeviceId {
        self.view.device.id
    }

    /// What it holds.
    pub(crate) const fn view(&self) -> &DeviceView {
        &self.view
    }

    /// Who is signed in and active.
    pub(crate) fn active(&self) -> Result<&Caller, Status> {
        match active(&self.view) {
            Some(caller) => Ok(caller),
            // There is one, and an operator disabled him.
            None if self.view.callers.iter().any(|caller| Some(caller.session.id) == self.view.device.active) => {
                Err(Status::disabled())
            }
            None => Err(Status::unauthenticated()),
        }
    }

    /// Refuses to begin or end anything for a token that was replaced a moment ago: its holder would never see what came of it.
    pub(crate) fn must_be_present(&self) -> Result<(), Status> {
        match self.standing {
            Standing::Present => Ok(()),
            Standing::Superseded => Err(Status::state("The session has just changed. Try again")),
        }
    }

    /// Remembers that `flow` of this session was acted on.
    pub(crate) fn touch(&mut self, flow: Flow) {
        self.view.flows.retain(|other| other.id != flow.id);
        self.view.flows.push(flow.clone());
        self.touched = Some(flow);
    }

    /// Looks again what the session holds: it was rotated.
    pub(crate) async fn look_again(&mut self) -> Result<(), Status> {
        let view = self.shared.engine.device(&self.context(), self.device()).await;
        self.view = view.map_err(|error| Status::of(Call::Session, self.now, error))?;
        if let Some(flow) = self.touched.take() {
            self.touch(flow);
        }
        Ok(())
    }

    /// The answer: the outcome, the session as it is now, and its token.
    pub(crate) fn respond(self, outcome: Result<Data, Status>) -> Response {
        let session = Session::new(&self.view, self.now, self.touched.as_ref().map(|flow| flow.id));
        let mut response = match outcome {
            Err(status) => status.with_session(Some(&session)),
            Ok(Data::Session) => success(&session, Some(&session)),
            Ok(Data::Prepared) => {
                let prepared = Prepared { session: &session, otp_sent: true, verification_method: "email_otp" };
                success(&prepared, Some(&session))
            }
            Ok(Data::Me) => match active(&self.view) {
                Some(caller) => success(&User::new(&caller.account), Some(&session)),
                None => Status::unauthenticated().with_session(Some(&session)),
            },
            Ok(Data::Token(token)) => success(&token, Some(&session)),
            Ok(Data::Availability(availability)) => success(&availability, Some(&session)),
            Ok(Data::Strategy(strategy)) => success(&strategy, Some(&session)),
            Ok(Data::Memberships) => success::<[Nothing; 0], _>(&[], Some(&session)),
            Ok(Data::Deployment) => success(&self.shared.deployment, Some(&session)),
        };
        if self.standing == Standing::Present {
            self.shared.carry(&self.view.device, self.now, response.headers_mut());
        }
        response
    }
}

/// An answer that is no error.
pub(crate) fn success<D: Serialize + ?Sized, S: Serialize>(data: &D, session: Option<&S>) -> Response {
    let status = StatusCode::OK;
    respond::json(status, &Envelope { status: status.as_u16(), message: "", data: Some(data), session, errors: &[] })
}

impl Shared {
    /// The device and generation that a request names, if it is a token of ours that does.
    fn presented(&self, uri: &Uri, headers: &HeaderMap) -> Option<(DeviceId, u32)> {
        match self.mode {
            Mode::Production => Cookie::read(headers).find_map(|token| self.read_token(token)),
            Mode::Staging => {
                let query: SessionQuery<'_> = web::body::query(uri).unwrap_or_default();
                let header = || headers.get(DEVELOPMENT_SESSION).and_then(|token| token.to_str().ok());
                self.read_token(given(query.session.as_ref()).or_else(header)?.trim())
            }
        }
    }

    /// Puts the token of `device` into an answer.
    fn carry(&self, device: &Device, now: Timestamp, headers: &mut HeaderMap) {
        let token = self.token(device.id, device.generation);
        match self.mode {
            Mode::Production => {
                if let Some(cookie) = self.cookie.set(&token, now) {
                    headers.insert(header::SET_COOKIE, cookie);
                }
            }
            Mode::Staging => {
                if let Ok(token) = HeaderValue::try_from(token) {
                    headers.insert(DEVELOPMENT_SESSION, token);
                }
            }
        }
    }

    /// The token of a device in a generation: that number, and a bearer that is good for it alone. The same every time.
    fn token(&self, device: DeviceId, generation: u32) -> String {
        let mut token = generation.to_be_bytes().to_vec();
        token.extend_from_slice(self.engine.bearer(&self.token_kind(generation), device.get()).expose());
        URL_SAFE_NO_PAD.encode(token)
    }

    fn read_token(&self, token: &str) -> Option<(DeviceId, u32)> {
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (generation, bearer) = token.split_first_chunk::<4>()?;
        let generation = u32::from_be_bytes(*generation);
        let device = self.engine.read_bearer(&self.token_kind(generation), bearer)?;
        Some((DeviceId::new(device), generation))
    }

    /// Keeps the tokens of projects and generations apart.
    fn token_kind(&self, generation: u32) -> String {
        format!("wacht session {generation} {}", self.project.id)
    }
}
