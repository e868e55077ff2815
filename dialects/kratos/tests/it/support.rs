//! The surface mounted on an engine of its own, and the clients that ask it: native, a script in a browser, a browser.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use engine::{Address, Engine, Handle, IdentityId, Policy, Registered, Shown};
use http::header::{ACCEPT, CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, Method};
use http_body_util::BodyExt as _;
use serde_json::Value;
use testkit::folder::TempFolder;
use testkit::world::{World, unlimited};
use tower::ServiceExt as _;
use uuid::Uuid;
use web::{App, Client, Dialect as _, Surface};

/// Who verifies an address.
pub(crate) const ADA: &str = "ada@example.org";
/// Somebody else.
pub(crate) const BOB: &str = "bob@example.org";
/// Whom nobody knows.
pub(crate) const NOBODY: &str = "nobody@example.org";

/// The name of the anti-CSRF cookie of [`FILE`].
pub(crate) const CSRF_COOKIE: &str = "csrf_token_5151374eff7febb00c92e761fe91cc49451b8110da2ecbfc5f44e908acdf03ba";

/// The configuration that tests begin with.
pub(crate) const FILE: &str = r#"
version: v26.2.0
serve:
  public: {base_url: "https://accounts.test/"}
  admin: {base_url: "http://admin.test/"}
selfservice:
  default_browser_return_url: https://ui.test/
  allowed_return_urls: [https://ui.test, https://app.test/inside]
  methods:
    password: {enabled: false}
    link: {enabled: false}
    code: {enabled: true, passwordless_enabled: true, config: {}}
  flows:
    error: {ui_url: https://ui.test/error}
    login: {ui_url: https://ui.test/login}
    registration: {ui_url: https://ui.test/registration}
    verification: {enabled: true, ui_url: https://ui.test/verification}
"#;

/// The address `email`.
pub(crate) fn address(email: &str) -> Address {
    Address::email(email).unwrap()
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// Reads a response to its end.
    async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        Self { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// The value of the header `name`; empty where it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self}"))
    }

    /// The id of the flow that this is.
    #[track_caller]
    pub(crate) fn id(&self) -> String {
        self.json()["id"].as_str().unwrap_or_else(|| panic!("no flow: {self}")).to_owned()
    }

    /// The id of the error that this is, or an empty one; and the flow that it points to.
    pub(crate) fn error(&self) -> (u16, String, String) {
        let body = self.json();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        assert_eq!(body["error"]["code"], self.status, "{self}");
        (self.status, text(&body["error"]["id"]), text(&body["use_flow_id"]))
    }

    /// The state of the flow that this is.
    pub(crate) fn state(&self) -> String {
        self.json()["state"].as_str().unwrap_or_default().to_owned()
    }

    /// The numbers of what is said about the whole.
    pub(crate) fn messages(&self) -> Vec<u64> {
        numbers(&self.json()["ui"]["messages"])
    }

    /// The form: `name:type=value!` and the numbers of what is said about each field. A token is `*`.
    pub(crate) fn nodes(&self) -> Vec<String> {
        let body = self.json();
        body["ui"]["nodes"].as_array().unwrap_or_else(|| panic!("no form: {self}")).iter().map(outline).collect()
    }

    /// The value of the field `name`.
    pub(crate) fn value_of(&self, name: &str) -> String {
        let body = self.json();
        let nodes = body["ui"]["nodes"].as_array().unwrap();
        let node = nodes.iter().find(|node| node["attributes"]["name"] == name).unwrap();
        node["attributes"]["value"].as_str().unwrap_or_default().to_owned()
    }

    /// Where this leads.
    pub(crate) fn location(&self) -> &str {
        self.header(LOCATION.as_str())
    }

    /// The flow that this leads to.
    pub(crate) fn leads_to(&self) -> String {
        let location = self.location();
        let id = location.rsplit_once("flow=").or(location.rsplit_once("id=")).unwrap().1;
        id.parse::<Uuid>().unwrap().to_string()
    }

    /// The cookies that this sets: name and value.
    pub(crate) fn cookies(&self) -> Vec<(String, String)> {
        let lines = self.headers.get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap());
        lines.map(|line| line.split(';').next().unwrap().split_once('=').unwrap()).map(owned).collect()
    }

    /// Fails unless the status is `status`.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn numbers(messages: &Value) -> Vec<u64> {
    messages.as_array().into_iter().flatten().map(|message| message["id"].as_u64().unwrap()).collect()
}

fn outline(node: &Value) -> String {
    let attributes = &node["attributes"];
    let name = attributes["name"].as_str().or(attributes["id"].as_str()).unwrap();
    let kind = attributes["type"].as_str().or(node["type"].as_str()).unwrap();
    let value = attributes["value"].as_str().map_or(String::new(), |value| match name {
        "csrf_token" if !value.is_empty() => "=*".to_owned(),
        _ => format!("={value}"),
    });
    let required = if attributes["required"] == true { "!" } else { "" };
    let said = numbers(&node["messages"]).iter().fold(String::new(), |said, number| format!("{said} {number}"));
    format!("{name}:{kind}{value}{required}{said}")
}

/// The whole answer as text: status, headers in the order of their names, an empty line, the body.
impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.status)?;
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
    _folder: TempFolder,
}

impl Mounted {
    /// The surface with [`FILE`], in a world that limits no messages.
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// The surface with [`FILE`] in which each first text is replaced by its second.
    pub(crate) async fn with(changes: &[(&str, &str)]) -> Self {
        Self::under(unlimited(), changes).await
    }

    /// The same in a world under `policy`.
    pub(crate) async fn under(policy: Policy, changes: &[(&str, &str)]) -> Self {
        let world = World::with(policy).await;
        let folder = TempFolder::new();
        let surface = mount(&world.engine, &folder, changes);
        world.calls.take_calls();
        Self { world, surface, _folder: folder }
    }

    pub(crate) fn surface(&self) -> &Surface {
        &self.surface
    }

    pub(crate) fn router(&self) -> Router {
        self.surface.router.clone()
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.world.engine
    }

    /// An identity that has `email` and has not proved it.
    pub(crate) async fn person(&self, email: &str) -> IdentityId {
        match self.engine().register(self.world.project(), address(email)).await.unwrap() {
            Registered::Added(account) => account.identity.id,
            Registered::Taken(owner) => owner.identity.id,
        }
    }

    /// Whether `email` is proved.
    pub(crate) async fn is_verified(&self, email: &str) -> bool {
        let owner = self.engine().owner(self.world.project(), &address(email)).await.unwrap();
        owner.address.verified_at.is_some()
    }

    /// The messages to `email`, the newest first.
    pub(crate) async fn mails(&self, email: &str) -> Vec<Shown> {
        self.engine().inbox(Some(address(email))).await.unwrap()
    }

    /// The code that was sent last to `email`.
    pub(crate) async fn code(&self, email: &str) -> String {
        self.world.code(&address(email)).await.unwrap()
    }

    /// How the engine finds the verification `id`.
    pub(crate) fn handle(&self, id: &str) -> Handle {
        Handle::new("kratos", self.world.project(), "verification", id.parse::<Uuid>().unwrap().as_bytes())
    }

    /// A native client: it wants JSON, and keeps no cookies.
    pub(crate) fn native(&self) -> Visitor<'_> {
        Visitor { mounted: self, accept: "application/json", cookies: None }
    }

    /// A script in a browser.
    pub(crate) fn script(&self) -> Visitor<'_> {
        Visitor { mounted: self, accept: "application/json", cookies: Some(Mutex::default()) }
    }

    /// A browser that shows pages and sends forms.
    pub(crate) fn browser(&self) -> Visitor<'_> {
        let accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        Visitor { mounted: self, accept, cookies: Some(Mutex::default()) }
    }
}

/// Mounts the surface on `engine` with [`FILE`], changed.
pub(crate) fn mount(engine: &Arc<Engine>, folder: &TempFolder, changes: &[(&str, &str)]) -> Surface {
    let text = changes.iter().fold(FILE.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "{old}");
        text.replace(old, new)
    });
    let file = folder.path().join("kratos.yml");
    fs::write(&file, text).unwrap();
    let app = App {
        engine: Arc::clone(engine),
        project: Arc::clone(engine.projects().default_project()),
        origin: "https://login.example.com".to_owned(),
        development: true,
    };
    let section = toml::Table::from_iter([("config".to_owned(), file.to_str().unwrap().into())]);
    countersign_kratos::Kratos.mount(app, section).unwrap()
}

/// Asks `router`, as somebody whom the server has introduced.
pub(crate) async fn ask(router: Router, mut request: Request) -> Answer {
    request.extensions_mut().insert(Client::default());
    ask_as_is(router, request).await
}

/// Asks `router`, as whom the request itself says.
pub(crate) async fn ask_as_is(router: Router, request: Request) -> Answer {
    Answer::of(router.oneshot(request).await.unwrap()).await
}

/// Somebody who asks, and what his client does with cookies.
pub(crate) struct Visitor<'a> {
    mounted: &'a Mounted,
    accept: &'static str,
    cookies: Option<Mutex<BTreeMap<String, String>>>,
}

impl Visitor<'_> {
    /// The same client with the cookies it has, wanting something else.
    pub(crate) fn accepting(mut self, accept: &'static str) -> Self {
        self.accept = accept;
        self
    }

    /// The cookie `name` that this client has.
    pub(crate) fn cookie(&self, name: &str) -> Option<String> {
        let cookies = self.cookies.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        cookies.get(name).cloned()
    }

    /// Has the cookie `name` from now on.
    pub(crate) fn take_cookie(&self, name: &str, value: &str) {
        let cookies = self.cookies.as_ref().unwrap();
        cookies.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value.to_owned());
    }

    /// A request with `headers` besides.
    pub(crate) fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Request {
        let mut request = Request::builder().method(method).uri(path);
        if !self.accept.is_empty() && !headers.iter().any(|(name, _)| *name == "accept") {
            request = request.header(ACCEPT, self.accept);
        }
        if let Some(cookies) = &self.cookies {
            let cookies = cookies.lock().unwrap_or_else(PoisonError::into_inner);
            let pairs: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            if !pairs.is_empty() {
                request = request.header(COOKIE, pairs.join("; "));
            }
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(body.into()).unwrap()
    }

    /// Asks, and keeps the cookies that come back.
    pub(crate) async fn ask(&self, request: Request) -> Answer {
        let answer = ask(self.mounted.router(), request).await;
        if let Some(cookies) = &self.cookies {
            cookies.lock().unwrap_or_else(PoisonError::into_inner).extend(answer.cookies());
        }
        answer
    }

    /// `GET`
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(self.request(Method::GET, path, &[], Body::empty())).await
    }

    /// `POST` of JSON.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_text(path, "application/json", &body.to_string()).await
    }

    /// `POST` of a form.
    pub(crate) async fn post_form(&self, path: &str, body: &str) -> Answer {
        self.post_text(path, "application/x-www-form-urlencoded", body).await
    }

    /// `POST` of anything.
    pub(crate) async fn post_text(&self, path: &str, content_type: &str, body: &str) -> Answer {
        let headers = [(CONTENT_TYPE.as_str(), content_type)];
        self.ask(self.request(Method::POST, path, &headers, body.to_owned())).await
    }
}
