//! The surface mounted on an engine of its own, and browsers that ask it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use engine::{Address, Algorithm, Engine, Policy};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use testkit::world::{World, unlimited};
use tower::ServiceExt as _;
use web::{App, Client, ConfigError, Dialect as _, Surface};

/// Who signs in.
pub(crate) const ADA: &str = "ada@example.com";
/// Somebody else, or nobody.
pub(crate) const BOB: &str = "bob@example.com";
/// The public origin.
pub(crate) const ORIGIN: &str = "https://frontend.example.com";

/// The address `email`.
pub(crate) fn address(email: &str) -> Address {
    Address::email(email).unwrap()
}

/// A policy that tells who has an account, as `dev` does.
pub(crate) fn telling() -> Policy {
    Policy { reveals_accounts: true, ..unlimited() }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// Reads a response to its end.
    pub(crate) async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    /// The value of the header `name`; empty where it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The session it shows.
    pub(crate) fn session(&self) -> Value {
        self.json()["session"].clone()
    }

    /// The token it carries, in either mode.
    pub(crate) fn token(&self) -> Option<String> {
        let cookie = self.headers.get("set-cookie").map(|cookie| {
            let cookie = cookie.to_str().unwrap();
            cookie.strip_prefix("__session=").unwrap().split(';').next().unwrap().to_owned()
        });
        cookie.or_else(|| Some(self.headers.get("x-development-session")?.to_str().unwrap().to_owned()))
    }

    /// The id of the last attempt of a kind: that is where the kit looks.
    pub(crate) fn attempt(&self, kind: Kind) -> Attempt {
        let attempts = self.json()["data"][kind.list()].clone();
        let id = attempts.as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned();
        Attempt { kind, id }
    }

    /// Who is signed in and active: his e-mail address.
    pub(crate) fn active(&self) -> Option<String> {
        let email = &self.session()["active_signin"]["user"]["primary_email_address"]["email"];
        email.as_str().map(str::to_owned)
    }

    /// Fails unless this is a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{self}");
        let json = self.json();
        assert_eq!(
            (&json["status"], &json["message"], &json["errors"]),
            (&json!(200), &json!(""), &json!([])),
            "{self}"
        );
        self
    }

    /// Fails unless this is the error `code` with `status`.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        let json = self.json();
        assert_eq!((self.status.as_u16(), json["errors"][0]["code"].as_str()), (status, Some(code)), "{self}");
        assert_eq!((&json["status"], &json["data"]), (&json!(status), &Value::Null), "{self}");
        assert_eq!(json["message"], json["errors"][0]["message"], "{self}");
        self
    }
}

/// The whole answer as text: status, headers in the order of their names, an empty line, the body.
impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.status.as_u16())?;
        let mut headers: Vec<_> = self.headers.iter().map(|(name, value)| (name.as_str(), value.to_str())).collect();
        headers.sort_unstable_by_key(|(name, _)| *name);
        for (name, value) in headers {
            writeln!(formatter, "{name}: {}", value.unwrap_or("(not text)"))?;
        }
        write!(formatter, "\n{}", self.body)
    }
}

/// What an attempt is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    SignIn,
    SignUp,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::SignIn, Self::SignUp];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SignIn => "signin",
            Self::SignUp => "signup",
        }
    }

    pub(crate) fn list(self) -> &'static str {
        match self {
            Self::SignIn => "signin_attempts",
            Self::SignUp => "signup_attempts",
        }
    }
}

/// How an attempt is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) kind: Kind,
    pub(crate) id: String,
}

/// In which shape somebody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// JSON, as documented.
    Documented,
    /// Forms in parts and the query, as the kit does.
    Kit,
}

impl Shape {
    pub(crate) const ALL: [Self; 2] = [Self::Documented, Self::Kit];
}

/// The surface, and the world it stands in.
pub(crate) struct Mounted {
    pub(crate) world: World,
    surface: Surface,
}

impl Mounted {
    /// The surface in staging, in a world that signs anybody up and limits no messages.
    pub(crate) async fn new() -> Self {
        Self::with(unlimited(), r#"mode = "staging""#).await
    }

    /// The surface in production, where one other page may ask.
    pub(crate) async fn production() -> Self {
        Self::with(unlimited(), r#"pages = ["https://app.example.com"]"#).await
    }

    /// The surface with `section` as its part of the configuration, under `policy`.
    pub(crate) async fn with(policy: Policy, section: &str) -> Self {
        let world = World::with(policy).await;
        world.engine.prepare_keys(world.project(), Algorithm::Es256).await.unwrap();
        let surface = mount(&world.engine, section).unwrap();
        world.calls.take_calls();
        Self { world, surface }
    }

    pub(crate) fn surface(&self) -> &Surface {
        &self.surface
    }

    /// Asks, as somebody whom the server has introduced.
    pub(crate) async fn ask(&self, request: Request) -> Answer {
        ask(&self.surface.router, request).await
    }

    /// A browser that has not been here, and asks as the kit does.
    pub(crate) fn browser(&self) -> Browser<'_> {
        self.browser_that_speaks(Shape::Kit)
    }

    /// A browser that has not been here.
    pub(crate) fn browser_that_speaks(&self, shape: Shape) -> Browser<'_> {
        Browser { mounted: self, shape, token: Mutex::default() }
    }

    /// The code that was sent last to `email`.
    pub(crate) async fn code(&self, email: &str) -> String {
        self.world.code(&address(email)).await.unwrap()
    }

    /// Signs `email` up, in a browser of its own.
    pub(crate) async fn has_account(&self, email: &str) {
        self.browser().signs(Kind::SignUp, email).await;
        self.world.clock.advance(std::time::Duration::from_secs(5));
        self.world.calls.take_calls();
    }
}

/// Somebody's browser: it keeps the token that it was given last.
pub(crate) struct Browser<'a> {
    mounted: &'a Mounted,
    shape: Shape,
    token: Mutex<Option<String>>,
}

impl Browser<'_> {
    /// The token it keeps.
    pub(crate) fn token(&self) -> String {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
    }

    /// Keeps another token.
    pub(crate) fn keep(&self, token: &str) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.to_owned());
    }

    /// Asks with its token, in the query and in a cookie, and keeps the one that it is given.
    pub(crate) async fn ask(&self, mut request: Request) -> Answer {
        let token = self.token();
        let between = if request.uri().query().is_some() { '&' } else { '?' };
        *request.uri_mut() = format!("{}{between}__dev_session__={token}", request.uri()).parse().unwrap();
        if !token.is_empty() {
            request.headers_mut().insert("cookie", format!("__session={token}").parse().unwrap());
        }
        let answer = self.mounted.ask(request).await;
        if let Some(token) = answer.token() {
            self.keep(&token);
        }
        answer
    }

    /// `GET`s.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(with_headers(Method::GET, path, &[], "")).await
    }

    /// `POST`s fields, in its shape.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let request = match self.shape {
            Shape::Documented => post_json(path, &fields.iter().copied().collect()),
            Shape::Kit => post_form(path, fields),
        };
        self.ask(request).await
    }

    /// Opens an attempt.
    pub(crate) async fn open(&self, kind: Kind, email: &str) -> Answer {
        match kind {
            Kind::SignIn => self.post("/auth/signin", &[("strategy", "email_otp"), ("email", email)]).await,
            Kind::SignUp => self.post("/auth/signup", &[("email", email), ("first_name", "Ada")]).await,
        }
    }

    /// Asks for a code.
    pub(crate) async fn prepare(&self, attempt: &Attempt) -> Answer {
        let Attempt { kind, id } = attempt;
        let path = "/auth/prepare-verification";
        match self.shape {
            Shape::Documented => {
                self.post(path, &[(&format!("{}_attempt_id", kind.name()), id), ("method", "email")]).await
            }
            Shape::Kit => {
                let query = format!("attempt_identifier={id}&strategy=email_otp&identifier_type={}", kind.name());
                self.post(&format!("{path}?{query}"), &[]).await
            }
        }
    }

    /// Brings a code back.
    pub(crate) async fn verify(&self, attempt: &Attempt, code: &str) -> Answer {
        let Attempt { kind, id } = attempt;
        let path = "/auth/attempt-verification";
        match self.shape {
            Shape::Documented => self.post(path, &[(&format!("{}_attempt_id", kind.name()), id), ("code", code)]).await,
            Shape::Kit => {
                let query = format!("attempt_identifier={id}&identifier_type={}", kind.name());
                self.post(&format!("{path}?{query}"), &[("verification_code", code)]).await
            }
        }
    }

    /// Opens an attempt and has a code sent.
    pub(crate) async fn prepared(&self, kind: Kind, email: &str) -> Attempt {
        let attempt = self.open(kind, email).await.ok().attempt(kind);
        self.prepare(&attempt).await.ok();
        attempt
    }

    /// Signs somebody in or up.
    pub(crate) async fn signs(&self, kind: Kind, email: &str) -> Answer {
        let attempt = self.prepared(kind, email).await;
        self.verify(&attempt, &self.mounted.code(email).await).await.ok()
    }
}

/// Mounts the surface on `engine`.
pub(crate) fn mount(engine: &Arc<Engine>, section: &str) -> Result<Surface, ConfigError> {
    let app = App {
        engine: Arc::clone(engine),
        project: Arc::clone(engine.projects().default_project()),
        origin: ORIGIN.to_owned(),
        development: false,
    };
    countersign_wacht::Wacht.mount(app, section.parse().unwrap())
}

/// Asks `router`, as somebody whom the server has introduced.
pub(crate) async fn ask(router: &Router, mut request: Request) -> Answer {
    let user_agent = Some("Mozilla/5.0".into());
    request.extensions_mut().insert(Client { address: Some([192, 0, 2, 7].into()), user_agent });
    Answer::of(router.clone().oneshot(request).await.unwrap()).await
}

/// A request with `headers` and nothing else.
pub(crate) fn with_headers(method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

/// A `POST` of JSON.
pub(crate) fn post_json(path: &str, body: &Value) -> Request {
    with_headers(Method::POST, path, &[("content-type", "application/json")], body.to_string())
}

/// A `POST` of a form in parts, as `FormData` makes it.
pub(crate) fn post_form(path: &str, fields: &[(&str, &str)]) -> Request {
    let mut body = String::new();
    for (name, value) in fields {
        let part = format!("------boundary\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.push_str(&part);
    }
    body += "------boundary--\r\n";
    with_headers(Method::POST, path, &[("content-type", "multipart/form-data; boundary=----boundary")], body)
}
