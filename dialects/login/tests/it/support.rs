//! The surface mounted on an engine of its own, and how it is asked.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use engine::{Address, Algorithm, Engine, Policy};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt as _;
use testkit::world::{World, unlimited};
use tower::ServiceExt as _;
use web::{App, Client, ConfigError, Dialect as _, Failure, Surface};

/// The public origin of the tests.
pub(crate) const ORIGIN: &str = "https://login.example.com";

/// Who signs in.
pub(crate) const EMAIL: &str = "ada@example.com";

/// The flow token that a fresh world gives first, and the second.
pub(crate) const FIRST_TOKEN: &str = "a83d7e35-de18-4749-9667-61748e5c43cb";
pub(crate) const SECOND_TOKEN: &str = "c05daa4b-8acf-4674-8aa2-d790d641b387";

/// A flow token that nobody was given.
pub(crate) const NOBODYS_TOKEN: &str = "001c8d33-f179-47fb-9db8-4caa31962e87";

/// The address of [`EMAIL`].
pub(crate) fn ada() -> Address {
    Address::email(EMAIL).unwrap()
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

    /// The flow token of a start, however its name is spelled.
    pub(crate) fn token(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        let token = body.get("auth_flow_token").or_else(|| body.get("authFlowToken"));
        token.unwrap().as_str().unwrap().to_owned()
    }

    /// The JWT of a success.
    pub(crate) fn jwt(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        body["success"]["token"].as_str().unwrap().to_owned()
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
        let mounted = Self::without_keys(world, section);
        mounted.world.engine.prepare_keys(mounted.world.project(), Algorithm::Es256).await.unwrap();
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

    /// Asks, as somebody whom the server has introduced.
    pub(crate) async fn ask(&self, request: Request) -> Answer {
        ask(&self.surface.router, request).await
    }

    /// `POST`s JSON.
    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.ask(post(path, body)).await
    }

    /// Asks for a code for `email`.
    pub(crate) async fn start(&self, email: &str) -> Answer {
        self.post("/v1/login", &format!(r#"{{"email":"{email}"}}"#)).await
    }

    /// Brings a code back.
    pub(crate) async fn email_code(&self, token: &str, code: &str) -> Answer {
        self.post("/v1/login/email-code", &format!(r#"{{"auth_flow_token":"{token}","code":"{code}"}}"#)).await
    }

    /// The code that was sent last to [`EMAIL`].
    pub(crate) async fn code(&self) -> String {
        self.world.code(&ada()).await.unwrap()
    }

    /// What the surface says in its own shape of `failure`.
    pub(crate) async fn failure(&self, failure: Failure) -> Answer {
        Answer::of((self.surface.failure)(failure)).await
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
    countersign_login::Login.mount(app, section.parse().unwrap())
}

/// Asks `router`, as somebody whom the server has introduced.
pub(crate) async fn ask(router: &Router, mut request: Request) -> Answer {
    request.extensions_mut().insert(Client::default());
    Answer::of(router.clone().oneshot(request).await.unwrap()).await
}

/// A `POST` of JSON.
pub(crate) fn post(path: &str, body: &str) -> Request {
    with_headers(Method::POST, path, &[("content-type", "application/json")], body.to_owned())
}

/// A request with `headers` and nothing else.
pub(crate) fn with_headers(method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}

/// A request that is only a verb and a path.
pub(crate) fn bare(method: Method, path: &str) -> Request {
    with_headers(method, path, &[], Body::empty())
}

/// The headers that every answer to a message has, besides its length.
pub(crate) const EXPOSED: &str = "\
access-control-allow-origin: *
access-control-expose-headers: grpc-status,grpc-message,grpc-status-details-bin,retry-after
cache-control: no-store
";

/// A whole answer of the API: these are all its headers, `more` among them.
pub(crate) fn whole(status: u16, grpc_status: u16, more: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{status}\n{EXPOSED}content-length: {length}\ncontent-type: application/json; charset=utf-8\n\
         grpc-status: {grpc_status}\n{more}\n{body}"
    )
}

/// The body of an error without details.
pub(crate) fn error(code: u16, name: &str, message: &str) -> String {
    format!(r#"{{"code":{code},"grpc-code":"{name}","message":"{message}"}}"#)
}

/// The body of an error that one field is to blame for.
pub(crate) fn blamed(field: &str, message: &str) -> String {
    format!(
        r#"{{"code":3,"grpc-code":"INVALID_ARGUMENT","message":"{message}","details":[{{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{{"field":"{field}"}}]}}]}}"#
    )
}

/// The body of a code that was not right, for whatever reason.
pub(crate) fn invalid_code(token: &str) -> String {
    format!(r#"{{"auth_flow_token":"{token}","failure":{{"reason":"INVALID_CODE"}}}}"#)
}
