//! The surface mounted on an engine of its own, browsers that keep cookies, and the authorization server, played by hand.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use engine::{Address, Client as EngineClient, Context, Engine, Policy};
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt as _;
use testkit::world::{World, unlimited};
use tower::ServiceExt as _;
use web::hand_over::{Browser, SignIn, SignOut, with_query};
use web::{App, Client, ConfigError, Dialect as _, Surface};

/// The public origin of the tests.
pub(crate) const ORIGIN: &str = "https://id.example.com";

/// Where the authorization server of the tests wants people back.
pub(crate) const BACK: &str = "https://id.example.com/back";

/// Who signs in.
pub(crate) const EMAIL: &str = "ada@example.com";

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
    pub(crate) async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Self { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    /// The value of the header `name`; empty where it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Where the browser is sent, without the query.
    pub(crate) fn target(&self) -> &str {
        assert_eq!(self.status, 303, "{self}");
        self.header("location").split('?').next().unwrap()
    }

    /// A parameter that it takes along.
    pub(crate) fn parameter(&self, name: &str) -> String {
        let uri: http::Uri = self.header("location").parse().unwrap();
        let mut parameters: BTreeMap<String, String> = web::body::query(&uri).unwrap();
        parameters.remove(name).unwrap_or_else(|| panic!("no {name}: {self}"))
    }

    /// The value of the page's hidden field `name`.
    pub(crate) fn hidden(&self, name: &str) -> String {
        let before = format!(r#"<input type="hidden" name="{name}" value=""#);
        let rest = self.body.split_once(&before).unwrap_or_else(|| panic!("no {name}: {self}")).1;
        rest.split_once('"').unwrap().0.to_owned()
    }

    /// That this is a page that says `text`, and leads nowhere.
    pub(crate) fn assert_page(&self, status: u16, text: &str) {
        assert_eq!(self.status, status, "{self}");
        assert_eq!(self.header("content-type"), "text/html; charset=utf-8");
        assert!(self.body.contains(text), "no `{text}`: {self}");
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {:?}\n{}", self.status, self.headers, self.body)
    }
}

/// The surface, and the world it stands in.
pub(crate) struct Mounted {
    pub(crate) world: World,
    pub(crate) surface: Surface,
}

impl Mounted {
    /// In a world that signs anybody up and limits no messages.
    pub(crate) async fn new() -> Self {
        Self::with(unlimited(), "").await
    }

    pub(crate) async fn with(policy: Policy, section: &str) -> Self {
        let world = World::with(policy).await;
        let surface = mount(&world.engine, section, ORIGIN).unwrap();
        Self { world, surface }
    }

    /// The engine's frame of a request to the authorization server.
    pub(crate) fn context(&self) -> Context<'_> {
        let engine = &self.world.engine;
        engine.context(engine.projects().default_project(), "server", EngineClient::default())
    }

    /// Somebody at a browser, to whom the authorization server has given a name.
    pub(crate) fn visitor(&self) -> Visitor<'_> {
        let browser = Browser::new(&self.world.engine);
        let cookies = BTreeMap::from([browser_cookie(&browser)]);
        Visitor { mounted: self, browser, cookies }
    }

    /// The code that was sent last to `address`.
    pub(crate) async fn code_to(&self, address: &Address) -> String {
        self.world.code(address).await.unwrap()
    }

    pub(crate) async fn code(&self) -> String {
        self.code_to(&ada()).await
    }
}

/// The cookie that names `browser`, as the browser sends it.
fn browser_cookie(browser: &Browser) -> (String, String) {
    let header = browser.cookie(ORIGIN).unwrap();
    let (name, value) = header.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
    (name.to_owned(), value.to_owned())
}

/// Somebody at a browser.
#[derive(Clone)]
pub(crate) struct Visitor<'a> {
    mounted: &'a Mounted,
    pub(crate) browser: Browser,
    pub(crate) cookies: BTreeMap<String, String>,
}

impl Visitor<'_> {
    /// What the authorization server asks for, unless a test wants something else.
    pub(crate) fn sign_in(&self) -> SignIn {
        SignIn {
            answer_to: "/back".to_owned(),
            browser: self.browser.clone(),
            begun_at: self.mounted.context().now,
            application: "The App".to_owned(),
            leads_to: "https://app.example".to_owned(),
            login_hint: None,
            locales: None,
            is_silent: false,
            max_age: None,
            identity: None,
            note: "a note".to_owned(),
        }
    }

    /// The path on which `sign_in` begins.
    pub(crate) fn path_of(&self, sign_in: &SignIn) -> String {
        let url = sign_in.url(&self.mounted.world.engine, &self.mounted.context(), ORIGIN).unwrap();
        url.strip_prefix(ORIGIN).unwrap().to_owned()
    }

    /// The path on which `sign_out` begins.
    pub(crate) fn path_of_sign_out(&self, sign_out: &SignOut) -> String {
        let url = sign_out.url(&self.mounted.world.engine, &self.mounted.context(), ORIGIN).unwrap();
        url.strip_prefix(ORIGIN).unwrap().to_owned()
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.ask(request(Method::GET, path, &[], Body::empty())).await
    }

    pub(crate) async fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Answer {
        let body = with_query("", form).trim_start_matches('?').to_owned();
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
        self.ask(request(Method::POST, path, &headers, body)).await
    }

    /// Asks with the cookies there are, and keeps those that come.
    pub(crate) async fn ask(&mut self, mut request: Request) -> Answer {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        request.headers_mut().insert("cookie", cookies.join("; ").parse().unwrap());
        let answer = ask(&self.mounted.surface, request).await;
        for line in answer.headers.get_all("set-cookie") {
            let line = line.to_str().unwrap();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            if line.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// The page that asks for an address.
    pub(crate) async fn begin(&mut self) -> Answer {
        let path = self.path_of(&self.sign_in());
        let page = self.get(&path).await;
        page.assert_page(200, "Your e-mail address");
        page
    }

    /// Types an address on `page`.
    pub(crate) async fn type_address(&mut self, page: &Answer, email: &str) -> Answer {
        let (request, token) = (page.hidden("request"), page.hidden("token"));
        self.post("/sign-in", &[("request", &request), ("token", &token), ("email", email)]).await
    }

    /// Begins with `email`, up to the page that asks for the code.
    pub(crate) async fn asked(&mut self, email: &str) -> Answer {
        let page = self.begin().await;
        let sent = self.type_address(&page, email).await;
        assert_eq!(sent.target(), "https://id.example.com/sign-in/code");
        let page = self.get("/sign-in/code").await;
        page.assert_page(200, "Code from the mail");
        page
    }

    /// Types a code on `page`.
    pub(crate) async fn type_code(&mut self, page: &Answer, code: &str) -> Answer {
        self.post("/sign-in/code", &[("token", &page.hidden("token")), ("code", code)]).await
    }

    /// Signs Ada in, all the way.
    pub(crate) async fn signed_in(&mut self) -> Answer {
        let page = self.asked(EMAIL).await;
        let code = self.mounted.code().await;
        let answer = self.type_code(&page, &code).await;
        assert_eq!(answer.target(), BACK);
        answer
    }

    /// Plays the authorization server: whom the ticket of `answer` names, and how long ago he signed in.
    pub(crate) async fn taken(&self, answer: &Answer) -> (engine::IdentityId, Duration) {
        assert_eq!(answer.target(), BACK, "{answer}");
        let (engine, context) = (&self.mounted.world.engine, self.mounted.context());
        let sealed = answer.parameter("request");
        let sign_in = SignIn::open(engine, &context, &sealed).unwrap();
        assert_eq!(sign_in.note, "a note");
        let (taken, signed_in) = sign_in.take(engine, &context, &sealed, &answer.parameter("ticket")).await.unwrap();
        assert_eq!(taken.method, "email");
        (taken.account.unwrap().identity.id, context.now.since(signed_in.at))
    }
}

pub(crate) fn mount(engine: &Arc<Engine>, section: &str, origin: &str) -> Result<Surface, ConfigError> {
    let project = Arc::clone(engine.projects().default_project());
    let app = App { engine: Arc::clone(engine), project, origin: origin.to_owned(), development: false };
    countersign_hosted::Hosted.mount(app, section.parse().unwrap())
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
