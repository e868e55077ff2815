//! Who asks: the session that a request carries, or a new one.
//!
//! A session is a device of the engine. It is there before anybody signs in, and until something is done at it, it is an id and
//! nothing else: a visit writes no row. Its token names device, generation and when it was issued, and all are in what nobody else can
//! make. The engine rotates a device whenever what it may do changes; the token of before is then worth nothing.
//!
//! The kit asks in parallel, and answers overtake each other: one that was on its way while somebody signed in must not put the token
//! of before in the place of the new one. So a token is only carried where it must be: to whom has none, after a rotation, and
//! once a day to who is signed in.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::{Caller, Context, Device, DeviceId, DeviceProof, DeviceView, Flow, FlowState, Timestamp};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use serde::Serialize;
use web::{Client, respond};

use crate::cookie::{Cookie, KEPT};
use crate::envelope::{Envelope, Session, active};
use crate::error::{Call, Status};
use crate::identifier::{Availability, Strategy};
use crate::session::SessionToken;
use crate::user::{Nothing, User};
use crate::wire::{SessionQuery, given};
use crate::{Mode, NAME, Shared};

/// Carries a session in staging, in answers and, for older kits, in requests.
pub(crate) const DEVELOPMENT_SESSION: HeaderName = HeaderName::from_static("x-development-session");

/// For so long after a rotation the token of before is answered as nobody's, and is given no other.
const GRACE: Duration = Duration::from_mins(1);

/// After so long a token is issued anew, so that a session that is used does not end.
const RENEWED: Duration = Duration::from_hours(24);

/// What the token that came is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// None came, or one that is nothing: this is a new session.
    New,
    /// It is the session's.
    Present(Presented),
    /// It was, until a moment ago.
    Superseded,
}

/// A token of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Presented {
    device: DeviceId,
    generation: u32,
    issued_at: Timestamp,
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
        let mut standing = Standing::New;
        let mut known = None;
        if let Some(presented) = shared.presented(&parts.uri, &parts.headers, now) {
            let view = shared.engine.device(&context, presented.device).await;
            let view = view.map_err(|error| Status::of(Call::Session, now, error))?;
            let (generation, rotated_at) = (view.device.generation, view.device.rotated_at);
            if presented.generation == generation {
                standing = Standing::Present(presented);
                known = Some(view);
            } else if presented.generation < generation && now < rotated_at.plus(GRACE) {
                standing = Standing::Superseded;
            }
        }
        let view = known.unwrap_or_else(|| {
            let device = Device::new(shared.engine.new_device_id(&context), &shared.project.id, NAME);
            DeviceView { device, flows: Vec::new(), callers: Vec::new() }
        });
        Ok(Self { shared: Arc::clone(shared), client, now, view, standing, touched: None })
    }
}

impl Visit {
    /// The frame of the request. Who shows the token that a session has now is at a device that whoever was signed in at it knows; until
    /// somebody was, there is nobody to look for.
    pub(crate) fn context(&self) -> Context<'_> {
        let context = self.shared.engine.context(&self.shared.project, NAME, self.client.for_engine());
        let Device { id, generation, .. } = self.view.device;
        let proof = (generation > 0).then_some(DeviceProof::Device(id));
        Context { now: self.now, proof, ..context }
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
        active(&self.view).ok_or_else(Status::unauthenticated)
    }

    /// Refuses to begin or end anything for a token that was replaced a moment ago: its holder would never see what came of it.
    pub(crate) fn must_be_present(&self) -> Result<(), Status> {
        match self.standing {
            Standing::New | Standing::Present(_) => Ok(()),
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
        if self.is_token_due() {
            self.shared.carry(&self.view.device, self.now, response.headers_mut());
        }
        response
    }

    /// Whether the answer carries a token.
    fn is_token_due(&self) -> bool {
        match self.standing {
            Standing::New => true,
            Standing::Superseded => false,
            Standing::Present(presented) if presented.generation != self.view.device.generation => true,
            // Whoever is about to sign in is left alone, and a session that nobody is signed in at may end.
            Standing::Present(presented) => {
                let is_signed_in = !self.view.callers.is_empty();
                is_signed_in && self.now >= presented.issued_at.plus(RENEWED) && self.open_attempts().next().is_none()
            }
        }
    }

    /// The flows of the session that are not over yet.
    pub(crate) fn open_attempts(&self) -> impl Iterator<Item = &Flow> {
        self.view.flows.iter().filter(|flow| flow.state != FlowState::Passed && self.now < flow.expires_at)
    }
}

/// An answer that is no error.
pub(crate) fn success<D: Serialize + ?Sized, S: Serialize>(data: &D, session: Option<&S>) -> Response {
    let status = StatusCode::OK;
    respond::json(status, &Envelope { status: status.as_u16(), message: "", data: Some(data), session, errors: &[] })
}

impl Shared {
    /// The token that a request brings, if it is one of ours.
    fn presented(&self, uri: &Uri, headers: &HeaderMap, now: Timestamp) -> Option<Presented> {
        match self.mode {
            Mode::Production => Cookie::read(headers).find_map(|token| self.read_token(token, now)),
            Mode::Staging => {
                let query: SessionQuery<'_> = web::body::query(uri).unwrap_or_default();
                let header = || headers.get(DEVELOPMENT_SESSION).and_then(|token| token.to_str().ok());
                self.read_token(given(query.session.as_ref()).or_else(header)?.trim(), now)
            }
        }
    }

    /// Puts a token of `device` into an answer.
    fn carry(&self, device: &Device, now: Timestamp, headers: &mut HeaderMap) {
        let token = self.token(device, now);
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

    /// A token of a device as it is now: its generation and the second, and a bearer that is good for these alone.
    fn token(&self, device: &Device, now: Timestamp) -> String {
        let (generation, second) = (device.generation, now.seconds());
        let mut token = generation.to_be_bytes().to_vec();
        token.extend_from_slice(&second.to_be_bytes());
        token.extend_from_slice(self.engine.bearer(&self.token_kind(generation, second), device.id.get()).expose());
        URL_SAFE_NO_PAD.encode(token)
    }

    /// What a token says; `None` if it is none of ours, or nothing was done with it for too long.
    fn read_token(&self, token: &str, now: Timestamp) -> Option<Presented> {
        let token = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (generation, rest) = token.split_first_chunk::<4>()?;
        let (second, bearer) = rest.split_first_chunk::<8>()?;
        let (generation, second) = (u32::from_be_bytes(*generation), i64::from_be_bytes(*second));
        let device = self.engine.read_bearer(&self.token_kind(generation, second), bearer)?;
        let issued_at = Timestamp::from_millis(second.saturating_mul(1000));
        (now < issued_at.plus(KEPT)).then_some(Presented { device: DeviceId::new(device), generation, issued_at })
    }

    /// Keeps the tokens of projects, generations and moments apart.
    fn token_kind(&self, generation: u32, second: i64) -> String {
        format!("wacht session {generation} {second} {}", self.project.id)
    }
}
