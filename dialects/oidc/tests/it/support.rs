//! The surface mounted on an engine of its own, how it is asked, and the pages that it sends people to, played by hand.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use engine::{Address, Algorithm, Client as EngineClient, Context, Engine, IdentityId, Purpose};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use testkit::world::World;
use tower::ServiceExt as _;
use web::hand_over::{SignIn, SignedIn, sha256};
use web::{App, Client, ConfigError, Dialect as _, Surface};

/// The public origin of the tests, and so the issuer.
pub(crate) const ORIGIN: &str = "https://id.example.com";

/// Two applications without a secret, one with.
pub(crate) const CLIENTS: &str = r#"
[[clients]]
id = "app"
name = "The App"
redirect_uris = ["https://app.example/cb", "https://app.example/cb2", "http://127.0.0.1/cb", "com.example.app:/cb"]
post_logout_redirect_uris = ["https://app.example/bye"]
[[clients]]
id = "other"
redirect_uris = ["https://other.example/cb", "https://app.example/cb"]
[[clients]]
id = "web"
secret = "a secret of twenty:100% & more"
redirect_uris = ["https://web.example/cb"]
"#;

/// The secret of `web`.
pub(crate) const SECRET: &str = "a secret of twenty:100% & more";

/// A code verifier (RFC 7636, appendix B).
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// The browser of whoever is not said to have another.
pub(crate) const BROWSER: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

/// The scope that most tests ask for.
pub(crate) const SCOPE: &str = "openid email profile offline_access";

pub(crate) fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()))
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    /// The value of the header `name`; empty where it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self}"))
    }

    /// The text of the member `name`.
    pub(crate) fn text(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap_or_else(|| panic!("no {name}: {self}")).to_owned()
    }

    /// Where the browser is sent, without the query.
    pub(crate) fn target(&self) -> &str {
        assert_eq!(self.status, 303, "{self}");
        self.header("location").split('?').next().unwrap()
    }

    /// The parameters it takes along.
    pub(crate) fn parameters(&self) -> BTreeMap<String, String> {
        let (_, query) = self.header("location").split_once('?').unwrap_or_default();
        decoded(query)
    }

    /// One of them.
    pub(crate) fn parameter(&self, name: &str) -> String {
        self.parameters().remove(name).unwrap_or_else(|| panic!("no {name}: {self}"))
    }

    /// The status and the OAuth error.
    pub(crate) fn error(&self) -> (u16, String) {
        (self.status.as_u16(), self.text("error"))
    }

    /// That this is a page for people, and leads nowhere.
    pub(crate) fn assert_page(&self, status: u16, text: &str) {
        assert_eq!(self.status, status, "{self}");
        assert_eq!(self.header("content-type"), "text/html; charset=utf-8");
        assert_eq!(self.header("location"), "");
        assert!(self.body.contains(text), "{self}");
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {:?}\n{}", self.status, self.headers, self.body)
    }
}

fn decoded(query: &str) -> BTreeMap<String, String> {
    let uri: http::Uri = format!("/?{query}").parse().unwrap();
    web::body::query(&uri).unwrap()
}

/// The surface, and the world it stands in.
pub(crate) struct Mounted {
    pub(crate) world: World,
    pub(crate) surface: Surface,
}

impl Mounted {
    pub(crate) async fn new() -> Self {
        Self::with(CLIENTS, false).await
    }

    pub(crate) async fn with(section: &str, development: bool) -> Self {
        let world = World::new().await;
        world.engine.prepare_keys(world.project(), Algorithm::Rs256).await.unwrap();
        let surface = mount(&world.engine, section, development).unwrap();
        Self { world, surface }
    }

    pub(crate) async fn ask(&self, request: Request) -> Answer {
        ask(&self.surface, request).await
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask(request(Method::GET, path, headers, Body::empty())).await
    }

    /// `POST`s a form.
    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let mut headers = headers.to_vec();
        headers.push(("content-type", "application/x-www-form-urlencoded"));
        let body = web::hand_over::with_query("", form);
        self.ask(request(Method::POST, path, &headers, body.trim_start_matches('?').to_owned())).await
    }

    /// The engine's frame of a request to the pages.
    pub(crate) fn context(&self) -> Context<'_> {
        let engine = &self.world.engine;
        engine.context(engine.projects().default_project(), "pages", EngineClient::default())
    }

    /// Somebody who has proved an address.
    pub(crate) async fn person(&self, email: &str) -> IdentityId {
        let address = Address::email(email).unwrap();
        self.world.start(email, Purpose::SignInOrUp, &address).await.unwrap();
        let code = self.world.code(&address).await.unwrap();
        self.world.verify(email, &code).await.unwrap().identity.id
    }

    /// An authorization request of `app` with `changes`; a change to nothing leaves the parameter out.
    pub(crate) async fn authorize(&self, changes: &[(&str, &str)]) -> Answer {
        self.get(&authorize_path(changes), &[("cookie", &cookie(BROWSER))]).await
    }

    /// What the pages are asked for by `answer`.
    pub(crate) fn sign_in(&self, answer: &Answer) -> (SignIn, String) {
        assert_eq!(answer.target(), "https://id.example.com/sign-in", "{answer}");
        let sealed = answer.parameter("request");
        let sign_in = SignIn::open(&self.world.engine, &self.context(), &sealed).unwrap();
        (sign_in, sealed)
    }

    /// Plays the pages: `identity` signs in; the path that the browser is sent back to.
    pub(crate) async fn signed_in(&self, answer: &Answer, identity: IdentityId) -> String {
        let (sign_in, sealed) = self.sign_in(answer);
        let context = self.context();
        let signed_in = SignedIn { at: context.now };
        let who = (identity, "email");
        let url = sign_in.signed_in_url(&self.world.engine, &context, ORIGIN, &sealed, who, &signed_in).await.unwrap();
        url.strip_prefix(ORIGIN).unwrap().to_owned()
    }

    /// The way back, in the usual browser.
    pub(crate) async fn come_back(&self, path: &str) -> Answer {
        self.get(path, &[("cookie", &cookie(BROWSER))]).await
    }

    /// A code for Ada, asked for with `changes`.
    pub(crate) async fn code(&self, changes: &[(&str, &str)]) -> String {
        let ada = self.person("ada@example.com").await;
        let back = self.signed_in(&self.authorize(changes).await, ada).await;
        self.come_back(&back).await.parameter("code")
    }

    /// Brings a code of `app` to the token endpoint, with `changes`.
    pub(crate) async fn redeem(&self, code: &str, changes: &[(&str, &str)]) -> Answer {
        let usual = [
            ("grant_type", "authorization_code"),
            ("client_id", "app"),
            ("redirect_uri", "https://app.example/cb"),
            ("code_verifier", VERIFIER),
            ("code", code),
        ];
        self.post("/oauth/v2/token", &changed(&usual, changes), &[]).await
    }

    /// The tokens of a whole sign-in of Ada at `app`.
    pub(crate) async fn tokens(&self, scope: &str) -> Answer {
        let code = self.code(&[("scope", scope)]).await;
        let tokens = self.redeem(&code, &[]).await;
        assert_eq!(tokens.status, 200, "{tokens}");
        tokens
    }

    pub(crate) async fn refresh(&self, token: &str, changes: &[(&str, &str)]) -> Answer {
        let usual = [("grant_type", "refresh_token"), ("client_id", "app"), ("refresh_token", token)];
        self.post("/oauth/v2/token", &changed(&usual, changes), &[]).await
    }

    pub(crate) async fn user_info(&self, token: &str) -> Answer {
        self.get("/oidc/v1/userinfo", &[("authorization", &format!("Bearer {token}"))]).await
    }

    /// The claims of a JWT, verified by a stock library with the published keys.
    pub(crate) async fn claims(&self, token: &str) -> Value {
        let keys: jsonwebtoken::jwk::JwkSet =
            serde_json::from_str(&self.get("/oauth/v2/keys", &[]).await.body).unwrap();
        let kid = jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
        let key = jsonwebtoken::DecodingKey::from_jwk(keys.find(&kid).unwrap()).unwrap();
        let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
        validation.validate_exp = false; // the world has its own clock
        validation.validate_aud = false;
        jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap().claims
    }
}

/// The path of an authorization request of `app` with `changes`.
pub(crate) fn authorize_path(changes: &[(&str, &str)]) -> String {
    let challenge = challenge(VERIFIER);
    let usual = [
        ("client_id", "app"),
        ("redirect_uri", "https://app.example/cb"),
        ("response_type", "code"),
        ("scope", SCOPE),
        ("state", "a&b=c d"),
        ("nonce", "n"),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    web::hand_over::with_query("/oauth/v2/authorize", &changed(&usual, changes))
}

/// `usual` with `changes` in their places; a change to nothing leaves the parameter out.
fn changed<'a>(usual: &[(&'a str, &'a str)], changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = usual.to_vec();
    for (name, value) in changes {
        all.retain(|(other, _)| other != name);
        if !value.is_empty() {
            all.push((name, value));
        }
    }
    all
}

pub(crate) fn cookie(browser: &str) -> String {
    format!("__Host-countersign-browser={browser}")
}

/// `authorization: Basic` as RFC 6749 has it: encoded before it is encoded.
pub(crate) fn basic(id: &str, secret: &str) -> String {
    let escaped = web::hand_over::with_query("", &[("x", secret)]).replacen("?x=", "", 1);
    format!("Basic {}", STANDARD.encode(format!("{id}:{escaped}")))
}

pub(crate) fn mount(engine: &Arc<Engine>, section: &str, development: bool) -> Result<Surface, ConfigError> {
    let project = Arc::clone(engine.projects().default_project());
    let app = App { engine: Arc::clone(engine), project, origin: ORIGIN.to_owned(), development };
    countersign_oidc::Oidc.mount(app, section.parse().unwrap())
}

pub(crate) async fn ask(surface: &Surface, mut request: Request) -> Answer {
    request.extensions_mut().insert(Client::default());
    Answer::of(surface.router.clone().oneshot(request).await.unwrap()).await
}

pub(crate) fn request(method: Method, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Request {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.into()).unwrap()
}
