//! The surface mounted on an engine of its own, who has a token for it, and how it is asked.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use engine::{
    Address, Algorithm, Attempt, Context, Engine, IdentityId, Policy, Purpose, SealedKey, SessionId, SessionTerms,
    Store as _,
};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use testkit::world::{LIFE, World, unlimited};
use tokio::sync::OnceCell;
use tower::ServiceExt as _;
use web::hand_over::{AUTHORIZATION_SERVER, AccessClaims, AccessKind};
use web::{App, Client, ConfigError, Dialect as _, Surface};

/// The project of a [`World`].
pub(crate) const PROJECT: &str = "P1";
/// The public origin, and so the issuer of tokens.
pub(crate) const ORIGIN: &str = "https://login.example.com";
/// Who has a token.
pub(crate) const ADA: &str = "ada@example.com";
/// Another address of hers, or somebody else's.
pub(crate) const BOB: &str = "bob@example.com";
/// One more.
pub(crate) const EVE: &str = "eve@example.com";

/// How long sessions live.
const SESSION_LIFE: std::time::Duration = std::time::Duration::from_hours(48);

/// The paths.
pub(crate) const ME: &str = "/auth/v1/users/me";
pub(crate) const EMAIL: &str = "/auth/v1/users/me/email";
pub(crate) const RESEND: &str = "/auth/v1/users/me/email/_resend_verification";
pub(crate) const VERIFY: &str = "/auth/v1/users/me/email/_verify";

/// The address `email`.
pub(crate) fn address(email: &str) -> Address {
    Address::email(email).unwrap()
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

    /// The status, the gRPC code and the id of the detail; an empty one where there is none.
    pub(crate) fn error(&self) -> (u16, u64, String) {
        let body = self.json();
        let id = body["details"][0]["id"].as_str().unwrap_or_default().to_owned();
        (self.status.as_u16(), body["code"].as_u64().unwrap_or_default(), id)
    }

    /// Fails unless this is a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.status, 200, "{self}");
        self
    }

    /// Fails unless this is the error `code`, with `status` and `id`.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: u64, id: &str) -> Self {
        assert_eq!(self.error(), (status, code, id.to_owned()), "{self}");
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

/// The surface, and the world it stands in.
pub(crate) struct Mounted {
    pub(crate) world: World,
    surface: Surface,
}

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub(crate) struct SignedIn {
    pub(crate) token: String,
    pub(crate) session: SessionId,
    pub(crate) identity: IdentityId,
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
        Self::without_keys(world, section)
    }

    /// The surface on a project that has no key yet.
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

    /// The frame of a request of the authorization server.
    pub(crate) fn context(&self) -> Context<'_> {
        self.context_of(AUTHORIZATION_SERVER)
    }

    /// The frame of a request of the surface `dialect`.
    pub(crate) fn context_of(&self, dialect: &'static str) -> Context<'_> {
        self.engine().context(self.engine().projects().default_project(), dialect, engine::Client::default())
    }

    /// Signs `email` in, or up, at the authorization server.
    pub(crate) async fn signed_in(&self, email: &str) -> SignedIn {
        self.signed_in_at(AUTHORIZATION_SERVER, email).await
    }

    /// The same at another surface.
    pub(crate) async fn signed_in_at(&self, dialect: &'static str, email: &str) -> SignedIn {
        let context = self.context_of(dialect);
        let challenge = self.world.challenge(email, Purpose::SignInOrUp, &address(email));
        self.engine().start_challenge(&context, challenge).await.unwrap();
        let code = self.code(email).await;
        let handles = [self.world.handle(email)];
        let attempt = Attempt { handles: &handles, code: &code, session: Some(SessionTerms::of(SESSION_LIFE)) };
        let verified = self.engine().verify(&context, attempt).await.unwrap();
        let (session, identity) = (verified.session.unwrap().id, verified.identity.id);
        SignedIn { token: self.sign(&self.claims(session, identity)), session, identity }
    }

    /// What an access token of `session` says.
    pub(crate) fn claims(&self, session: SessionId, identity: IdentityId) -> AccessClaims {
        let now = self.engine().now();
        AccessClaims {
            typ: AccessKind::AccessToken,
            iss: ORIGIN.to_owned(),
            sub: identity.get(),
            aud: vec![PROJECT.to_owned()],
            client_id: "app".to_owned(),
            scope: "openid".to_owned(),
            exp: now.plus(LIFE).seconds(),
            iat: now.seconds(),
            auth_time: now.seconds(),
            jti: "7c1a3b1e-5c7e-4a53-9c52-0e1f6a6d9c10".to_owned(),
            sid: session.get(),
        }
    }

    /// A new token of the same session.
    pub(crate) fn renewed(&self, user: &SignedIn) -> String {
        self.sign(&self.claims(user.session, user.identity))
    }

    /// Signs whatever `claims` are.
    pub(crate) fn sign<C: serde::Serialize>(&self, claims: &C) -> String {
        self.engine().sign(&self.context(), Algorithm::Rs256, claims).unwrap()
    }

    /// Asks, as somebody whom the server has introduced.
    pub(crate) async fn ask(&self, request: Request) -> Answer {
        ask(&self.surface.router, request).await
    }

    /// `GET`s with a token.
    pub(crate) async fn get(&self, token: &str, path: &str) -> Answer {
        self.ask(request(Method::GET, path, token, "")).await
    }

    /// `POST`s JSON with a token.
    pub(crate) async fn post(&self, token: &str, path: &str, body: &str) -> Answer {
        self.ask(request(Method::POST, path, token, body)).await
    }

    /// `GetMyEmail`
    pub(crate) async fn email(&self, token: &str) -> Answer {
        self.get(token, EMAIL).await
    }

    /// The address that `GetMyEmail` shows, and whether it is verified.
    pub(crate) async fn shown(&self, token: &str) -> (String, bool) {
        let body = self.email(token).await.ok().json();
        let email = body["email"]["email"].as_str().unwrap_or_default().to_owned();
        (email, body["email"]["isEmailVerified"].as_bool().unwrap_or_default())
    }

    /// `SetMyEmail`
    pub(crate) async fn set(&self, token: &str, email: &str) -> Answer {
        self.ask(request(Method::PUT, EMAIL, token, &json!({"email": email}).to_string())).await
    }

    /// `ResendMyEmailVerification`
    pub(crate) async fn resend(&self, token: &str) -> Answer {
        self.post(token, RESEND, "").await
    }

    /// `VerifyMyEmail`
    pub(crate) async fn verify(&self, token: &str, code: &str) -> Answer {
        self.post(token, VERIFY, &json!({"code": code}).to_string()).await
    }

    /// The code that was sent last to `email`.
    pub(crate) async fn code(&self, email: &str) -> String {
        self.world.code(&address(email)).await.unwrap()
    }

    /// Lets `seconds` go by.
    pub(crate) fn pass(&self, seconds: u64) {
        self.world.clock.advance(std::time::Duration::from_secs(seconds));
    }
}

/// Gives the project of `world` a key. Making one takes a while, so all worlds have the same.
pub(crate) async fn prepare_key(world: &World) {
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
        origin: ORIGIN.to_owned(),
        development: false,
    };
    countersign_zitadel::Zitadel.mount(app, section.parse().unwrap())
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

/// A request of JSON with a token.
pub(crate) fn request(method: Method, path: &str, token: &str, body: &str) -> Request {
    let authorization = format!("Bearer {token}");
    let headers = [("content-type", "application/json"), ("authorization", authorization.as_str())];
    with_headers(method, path, &headers, body.to_owned())
}
