//! The surface mounted on an engine of its own, and how it is asked.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::{Address, Algorithm, Context, Engine, Policy, Project, SealedKey, SessionId, Store as _};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use testkit::world::{World, unlimited};
use tokio::sync::OnceCell;
use tower::ServiceExt as _;
use web::{App, Client, ConfigError, Dialect as _, Surface};

/// The project of a [`World`].
pub(crate) const PROJECT: &str = "P1";
/// Who signs in.
pub(crate) const ADA: &str = "ada@example.com";
/// Another address of hers, or somebody else's.
pub(crate) const BOB: &str = "bob@example.com";

/// The address `email`.
pub(crate) fn address(email: &str) -> Address {
    Address::email(email).unwrap()
}

/// A policy that tells who has an account, as `dev` does.
pub(crate) fn telling() -> Policy {
    Policy { reveals_accounts: true, ..unlimited() }
}

/// A policy under which nobody signs up.
pub(crate) fn closed() -> Policy {
    Policy { sign_up: false, ..unlimited() }
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

    /// The status and the `errorCode`; an empty one where there is none.
    pub(crate) fn error(&self) -> (u16, String) {
        let code = self.json()["errorCode"].as_str().unwrap_or_default().to_owned();
        (self.status.as_u16(), code)
    }

    /// A text of the body.
    pub(crate) fn text(&self, name: &str) -> String {
        let Value::String(text) = &self.json()[name] else { panic!("no {name} in {}", self.body) };
        text.clone()
    }

    pub(crate) fn refresh_jwt(&self) -> String {
        self.text("refreshJwt")
    }

    pub(crate) fn session_jwt(&self) -> String {
        self.text("sessionJwt")
    }

    /// Fails unless this is a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{self}");
        self
    }

    /// Fails unless this is the error `code` with `status`.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!(self.error(), (status, code.to_owned()), "{self}");
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

/// Header and claims of a JWT, whoever signed it.
pub(crate) fn jwt(token: &str) -> (Value, Value) {
    let parts: Vec<_> = token.split('.').collect();
    let read = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    assert_eq!(parts.len(), 3);
    (read(parts[0]), read(parts[1]))
}

/// The surface, and the world it stands in.
pub(crate) struct Mounted {
    pub(crate) world: World,
    surface: Surface,
}

impl Mounted {
    /// The surface as it comes, in a world that signs anybody up and limits no messages.
    pub(crate) async fn new() -> Self {
        Self::with(unlimited(), "").await
    }

    /// The surface with `section` as its part of the configuration, under `policy`.
    pub(crate) async fn with(policy: Policy, section: &str) -> Self {
        let world = World::with(policy).await;
        prepare_key(&world).await;
        let mounted = Self::without_keys(world, section);
        mounted.world.calls.take_calls();
        mounted
    }

    /// The surface on a project that has no key to sign with.
    pub(crate) fn without_keys(world: World, section: &str) -> Self {
        let surface = mount(&world.engine, section).unwrap();
        Self { world, surface }
    }

    pub(crate) fn surface(&self) -> &Surface {
        &self.surface
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.world.engine
    }

    pub(crate) fn project(&self) -> &Project {
        self.world.engine.projects().default_project()
    }

    /// The frame of a request of the surface.
    pub(crate) fn context(&self) -> Context<'_> {
        self.engine().context(self.project(), "descope", engine::Client::default())
    }

    /// Asks, as somebody whom the server has introduced.
    pub(crate) async fn ask(&self, request: Request) -> Answer {
        ask(&self.surface.router, request).await
    }

    /// `POST`s JSON as the project.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.ask(post(path, PROJECT, body)).await
    }

    /// `POST`s JSON with a token.
    pub(crate) async fn post_as(&self, token: &str, path: &str, body: &str) -> Answer {
        self.ask(post(path, &format!("{PROJECT}:{token}"), body)).await
    }

    /// `GET /v1/auth/me`
    pub(crate) async fn me(&self, token: &str) -> Answer {
        self.ask(get("/v1/auth/me", &format!("{PROJECT}:{token}"))).await
    }

    /// Asks for a code: `which` is `signin`, `signup` or `signup-in`.
    pub(crate) async fn start(&self, which: &str, email: &str) -> Answer {
        self.post(&format!("/v1/auth/otp/{which}/email"), &json!({"loginId": email}).to_string()).await
    }

    /// Asks for a change of address.
    pub(crate) async fn update(&self, token: &str, login_id: &str, email: &str) -> Answer {
        let body = json!({"loginId": login_id, "email": email}).to_string();
        self.post_as(token, "/v1/auth/otp/update/email", &body).await
    }

    /// The same, to have both.
    pub(crate) async fn add(&self, token: &str, login_id: &str, email: &str) -> Answer {
        let body = json!({"loginId": login_id, "email": email, "addToLoginIDs": true}).to_string();
        self.post_as(token, "/v1/auth/otp/update/email", &body).await
    }

    /// Brings a code back.
    pub(crate) async fn verify(&self, login_id: &str, code: &str) -> Answer {
        self.post("/v1/auth/otp/verify/email", &json!({"loginId": login_id, "code": code}).to_string()).await
    }

    /// `POST /v1/auth/refresh`
    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        self.post_as(token, "/v1/auth/refresh", "").await
    }

    /// The code that was sent last to `email`.
    pub(crate) async fn code(&self, email: &str) -> String {
        self.world.code(&address(email)).await.unwrap()
    }

    /// Signs `email` in, or up.
    pub(crate) async fn signed_in(&self, email: &str) -> Answer {
        self.start("signup-in", email).await.ok();
        self.verify(email, &self.code(email).await).await.ok()
    }

    /// The session of a token.
    pub(crate) fn session_of(&self, token: &str) -> SessionId {
        let sid = jwt(token).1["sid"].as_str().unwrap().parse().unwrap();
        SessionId::new(self.engine().read_public_id("descope.session", sid).unwrap())
    }
}

/// Gives the project of `world` a key. Making one takes a while, so all worlds have the same.
async fn prepare_key(world: &World) {
    static KEY: OnceCell<SealedKey> = OnceCell::const_new();
    let mut is_mine = false;
    let key = KEY.get_or_init(async || {
        is_mine = true;
        world.engine.prepare_keys(world.project(), Algorithm::Rs256).await.unwrap();
        world.calls.signing_keys(world.project().clone()).await.unwrap().remove(0)
    });
    let key = key.await.clone();
    if !is_mine {
        world.calls.add_signing_key(key).await.unwrap();
        world.engine.prepare_keys(world.project(), Algorithm::Rs256).await.unwrap();
    }
}

/// Mounts the surface on `engine`.
pub(crate) fn mount(engine: &Arc<Engine>, section: &str) -> Result<Surface, ConfigError> {
    let app = App {
        engine: Arc::clone(engine),
        project: Arc::clone(engine.projects().default_project()),
        origin: "https://login.example.com".to_owned(),
        development: false,
    };
    countersign_descope::Descope.mount(app, section.parse().unwrap())
}

/// Asks `router`, as somebody whom the server has introduced.
pub(crate) async fn ask(router: &Router, mut request: Request) -> Answer {
    request.extensions_mut().insert(Client::default());
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
pub(crate) fn post(path: &str, bearer: &str, body: &str) -> Request {
    let authorization = format!("Bearer {bearer}");
    let headers = [("content-type", "application/json"), ("authorization", authorization.as_str())];
    with_headers(Method::POST, path, &headers, body.to_owned())
}

/// A `GET`.
pub(crate) fn get(path: &str, bearer: &str) -> Request {
    let authorization = format!("Bearer {bearer}");
    with_headers(Method::GET, path, &[("authorization", authorization.as_str())], Body::empty())
}
