//! The frame around surfaces, through the service itself and, where sockets matter, through `serve`.

use std::sync::Mutex;

use axum::extract::Extension;
use axum::routing::{get, post};
use http::{HeaderMap, Method};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::ServiceExt as _;
use web::{Accepts, Client, Peer, Received, RequestOrigin};

use super::*;
use crate::serve::{Limits, serve};

/// Longer than anything that shall happen takes, on a busy machine.
const AMPLE: Duration = Duration::from_secs(10);

/// Counts up: ids differ, and can be foretold.
#[derive(Default)]
struct Counting(Mutex<u8>);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        let mut next = self.0.lock().unwrap();
        *next += 1;
        bytes.fill(*next);
    }
}

type Heard = (&'static str, String, u16);

#[derive(Default)]
struct Hearing(Mutex<Vec<Heard>>);

impl AnswerObserver for Hearing {
    fn answered(&self, answered: &Answered<'_>) {
        self.0.lock().unwrap().push((answered.dialect, answered.route.to_owned(), answered.status));
    }
}

/// A surface with words of its own for each failure.
fn said(failure: Failure) -> Response {
    let status = neutral(failure).status();
    respond::json(status, &format!("the surface says {failure:?}"))
}

async fn echo(headers: HeaderMap, body: Body) -> Response {
    match Received::read(Accepts::Json, &headers, body).await {
        Ok(received) => respond::json(StatusCode::OK, &format!("{received:?}")),
        Err(error) => respond::json(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

async fn panics() -> Response {
    panic!("code 428193")
}

fn surface(name: &'static str, prefixes: &[&str]) -> Surface {
    let router = Router::new()
        .route("/v1/echo", post(echo))
        .route("/v1/things/{id}", get(|| async { "a thing" }))
        .route("/v1/panics", get(panics))
        .route("/v1/stuck", get(|| async { std::future::pending::<Response>().await }))
        .route("/v1/cached", get(|| async { respond::public(respond::JSON, "{}", Duration::from_mins(1)) }))
        .route("/v1/client", get(|Extension(client): Extension<Client>| async move { format!("{client:?}") }))
        .route("/v1/origin", get(|Extension(origin): Extension<RequestOrigin>| async move { origin.to_string() }))
        .route("/v1/id", get(|headers: HeaderMap| async move { format!("{:?}", headers.get("x-request-id")) }))
        .fallback(|| async { said(Failure::NotFound) })
        .method_not_allowed_fallback(|| async { said(Failure::WrongVerb) });
    Surface {
        shared: Vec::new(),
        name,
        prefixes: prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(),
        router,
        administration: None,
        failure: said,
    }
}

struct Fixture {
    application: Application,
    hearing: Arc<Hearing>,
}

fn fixture() -> Fixture {
    let hearing = Arc::new(Hearing::default());
    let settings = Settings {
        request_timeout: Duration::from_millis(300),
        trusted_proxies: TrustedProxies::parse(["127.0.0.1"]).unwrap(),
        ..Settings::new(Arc::new(Counting::default()), Arc::clone(&hearing) as Arc<dyn AnswerObserver>)
    };
    let application = Application::assemble(vec![surface("mine", &["/v1"])], &Arc::new(settings)).unwrap();
    Fixture { application, hearing }
}

fn request(method: Method, path: &str, body: impl Into<Body>) -> Request {
    Request::builder().method(method).uri(path).body(body.into()).unwrap()
}

struct Told {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Fixture {
    async fn ask(&self, request: Request) -> Told {
        let response = timeout(AMPLE, self.application.clone().oneshot(request)).await.expect("no answer").unwrap();
        let (parts, body) = response.into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Told { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn get(&self, path: &str) -> Told {
        self.ask(request(Method::GET, path, "")).await
    }
}

#[tokio::test]
async fn the_root_is_whose_the_operator_says() {
    let settings = Settings {
        root: Some("other".to_owned()),
        ..Settings::new(Arc::new(Counting::default()), Arc::new(Hearing::default()))
    };
    let mut other = surface("other", &["/other"]);
    other.router = Router::new().fallback(|| async { "the other" });
    let surfaces = vec![surface("mine", &["/", "/v1"]), other];
    let application = Application::assemble(surfaces, &Arc::new(settings)).unwrap();
    let fixture = Fixture { application, hearing: Arc::default() };
    assert_eq!(fixture.get("/v1/things/7").await.body, "a thing");
    assert_eq!(fixture.get("/").await.body, "the other");
    assert_eq!(fixture.get("/nothing").await.body, "the other");
}

#[tokio::test]
async fn a_panic_is_answered_in_the_surfaces_shape_and_the_server_lives_on() {
    let fixture = fixture();
    let told = fixture.get("/v1/panics").await;
    assert_eq!((told.status, told.body.as_str()), (500, r#""the surface says Panicked""#));
    assert_eq!(fixture.get("/v1/things/7").await.body, "a thing");
}

#[tokio::test]
async fn st_50_no_failure_tells_what_happened_inside() {
    let fixture = fixture();
    for path in ["/v1/panics", "/v1/stuck", "/v1/nowhere"] {
        let told = fixture.get(path).await;
        let everything = format!("{:?} {}", told.headers, told.body);
        for inside in ["428193", "panicked at", ".rs", "src/", "thread", "stack"] {
            assert!(!everything.contains(inside), "{path} tells {inside}: {everything}");
        }
    }
    for failure in Failure::ALL {
        let body = neutral(failure).into_body().collect().await.unwrap().to_bytes();
        assert!(body.starts_with(b"{\"error\":\"") && body.len() < 64);
    }
}

#[tokio::test]
async fn st_60_every_answer_is_no_store_unless_it_is_public() {
    let fixture = fixture();
    for path in ["/v1/things/7", "/v1/panics", "/v1/stuck", "/v1/nowhere", "/v1/echo", "/elsewhere"] {
        let told = fixture.get(path).await;
        assert_eq!(told.headers["cache-control"], "no-store", "{path}");
        assert_eq!(told.headers["x-content-type-options"], "nosniff", "{path}");
    }
    let told = fixture.ask(request(Method::POST, "/v1/echo", vec![b'x'; 100_000])).await;
    assert_eq!((told.status, &told.headers["cache-control"]), (413, &respond::NO_STORE));
    assert_eq!(fixture.get("/v1/cached").await.headers["cache-control"], "public, max-age=60");
}

#[tokio::test]
async fn every_answer_has_a_request_id_of_ours() {
    let fixture = fixture();
    let mut asked = request(Method::GET, "/v1/id", "");
    asked.headers_mut().insert("x-request-id", "theirs".parse().unwrap());
    let told = fixture.ask(asked).await;
    assert_eq!(told.body, "None", "somebody might log it");
    assert_eq!(told.headers["x-request-id"], "0101010101010101");
    assert_eq!(fixture.get("/v1/panics").await.headers["x-request-id"], "0202020202020202");
    assert_eq!(fixture.get("/elsewhere").await.headers["x-request-id"], "0303030303030303");
}

#[tokio::test]
async fn head_is_answered_where_get_is() {
    let told = fixture().ask(request(Method::HEAD, "/v1/things/7", "")).await;
    assert_eq!((told.status, told.body.as_str()), (200, ""));
    assert_eq!(told.headers["content-length"], "7");
}

#[tokio::test]
async fn unknown_paths_and_wrong_verbs_are_said_by_the_surface_and_unowned_paths_by_nobody() {
    let fixture = fixture();
    let told = fixture.get("/v1/nowhere").await;
    assert_eq!((told.status, told.body.as_str()), (404, r#""the surface says NotFound""#));
    let told = fixture.get("/v1/echo").await;
    assert_eq!((told.status, told.body.as_str()), (405, r#""the surface says WrongVerb""#));
    assert_eq!(told.headers["allow"], "POST");
    for path in ["/", "/v", "/v1x", "/v2/echo"] {
        let told = fixture.get(path).await;
        assert_eq!((told.status, told.body.as_str()), (404, r#"{"error":"not_found"}"#), "{path}");
        assert_eq!(told.headers["content-type"], "application/json; charset=utf-8");
    }
    let told = fixture.ask(request(Method::OPTIONS, "*", "")).await;
    assert_eq!(told.status, 404);
}

#[tokio::test]
async fn slashes_at_the_begin_of_a_path_are_one() {
    let fixture = fixture();
    for path in ["//v1/things/7", "///v1/things/7?a=//b", "http://localhost//v1/things/7"] {
        let told = fixture.get(path).await;
        assert_eq!((told.status, told.body.as_str()), (200, "a thing"), "{path}");
    }
    for path in ["//", "//v1//things/7", "//elsewhere/v1/things/7"] {
        assert_eq!(fixture.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn answers_are_heard_by_route_and_never_by_path() {
    let fixture = fixture();
    fixture.get("/v1/things/secret-token?code=428193").await;
    fixture.get("/v1/nowhere/428193").await;
    fixture.get("/v1/echo").await;
    fixture.get("/v1/panics").await;
    fixture.get("/elsewhere/428193").await;
    let heard: Vec<Heard> = std::mem::take(&mut *fixture.hearing.0.lock().unwrap());
    let expected = [
        ("mine", "/v1/things/{id}", 200),
        ("mine", "unmatched", 404),
        ("mine", "/v1/echo", 405),
        ("mine", "/v1/panics", 500),
        ("none", "unmatched", 404),
    ];
    assert_eq!(heard, expected.map(|(dialect, route, status)| (dialect, route.to_owned(), status)));
}

#[tokio::test]
async fn a_handler_that_takes_too_long_is_ours_to_regret() {
    let told = fixture().get("/v1/stuck").await;
    assert_eq!((told.status, told.body.as_str()), (503, r#""the surface says Unavailable""#));
}

#[tokio::test]
async fn handlers_know_the_client_behind_a_trusted_proxy() {
    let fixture = fixture();
    let mut asked = request(Method::GET, "/v1/client", "");
    asked.extensions_mut().insert(Peer::Network("127.0.0.1".parse().unwrap()));
    asked.headers_mut().insert("x-forwarded-for", "203.0.113.9".parse().unwrap());
    asked.headers_mut().insert("user-agent", "curl/8".parse().unwrap());
    assert_eq!(fixture.ask(asked).await.body, r#"Client { address: Some(203.0.113.9), user_agent: Some("curl/8") }"#);

    let mut asked = request(Method::GET, "/v1/origin", "");
    asked.extensions_mut().insert(Peer::Network("127.0.0.1".parse().unwrap()));
    asked.headers_mut().insert("x-forwarded-proto", "https".parse().unwrap());
    asked.headers_mut().insert("host", "Login.Example.com".parse().unwrap());
    assert_eq!(fixture.ask(asked).await.body, "https://login.example.com");
}

#[tokio::test]
async fn the_longest_prefix_wins() {
    let settings = Settings::new(Arc::new(Counting::default()), Arc::new(Hearing::default()));
    let named = |name: &'static str, prefixes: &[&str]| Surface {
        router: Router::new().fallback(move || async move { name }),
        ..surface(name, prefixes)
    };
    let surfaces =
        vec![named("root", &["/"]), named("v1", &["/v1", "/.well-known/jwks.json"]), named("login", &["/v1/login"])];
    let application = Application::assemble(surfaces, &Arc::new(settings)).unwrap();
    let fixture = Fixture { application, hearing: Arc::default() };
    let owners = [
        ("/", "root"),
        ("/v10", "root"),
        ("/.well-known", "root"),
        ("/.well-known/jwks.json", "v1"),
        ("/v1", "v1"),
        ("/v1/", "v1"),
        ("/v1/logins", "v1"),
        ("/v1/login", "login"),
        ("/v1/login/", "login"),
        ("/v1/login/email-code?x=/v1", "login"),
    ];
    for (path, owner) in owners {
        assert_eq!(fixture.get(path).await.body, owner, "{path}");
    }
}

#[tokio::test]
async fn what_several_share_is_of_who_claims_it_and_else_of_the_first() {
    let shares = |name: &'static str, prefixes: &[&str]| Surface {
        shared: vec!["/keys".to_owned()],
        router: Router::new().fallback(move || async move { name }),
        ..surface(name, prefixes)
    };
    let claims =
        Surface { router: Router::new().fallback(|| async { "claims" }), ..surface("claims", &["/v3", "/keys"]) };
    for (others, owner) in [(vec![claims], "claims"), (Vec::new(), "one")] {
        let settings = Settings::new(Arc::new(Counting::default()), Arc::new(Hearing::default()));
        let surfaces = [shares("one", &["/v1"]), shares("other", &["/v2"])].into_iter().chain(others).collect();
        let application = Application::assemble(surfaces, &Arc::new(settings)).unwrap();
        let fixture = Fixture { application, hearing: Arc::default() };
        assert_eq!(fixture.get("/keys").await.body, owner);
        assert_eq!(fixture.get("/v2").await.body, "other");
    }
}

#[test]
fn two_surfaces_with_one_prefix_do_not_start_and_both_are_named() {
    let settings = Arc::new(Settings::new(Arc::new(Counting::default()), Arc::new(Hearing::default())));
    let surfaces = vec![surface("one", &["/a", "/v1"]), surface("other", &["/v1"])];
    let error = Application::assemble(surfaces, &settings).unwrap_err();
    assert_eq!(error.to_string(), "dialects: the path prefix `/v1` is claimed by both `one` and `other`");
    for prefix in ["", "v1", "/v1/", "//", "/v1//x", "/{id}", "/*rest", "/a b"] {
        let error = Application::assemble(vec![surface("one", &[prefix])], &settings).unwrap_err();
        assert!(error.to_string().contains("is no path prefix"), "{prefix}");
    }
}

#[test]
fn what_surfaces_have_for_the_operator_is_taken_out_of_them() {
    let with = Surface {
        administration: Some(web::Administration { prefixes: vec!["/admin".to_owned()], router: Router::new() }),
        ..surface("one", &["/v1"])
    };
    let mut surfaces = [with, surface("other", &["/v2"])];
    let taken = administration(&mut surfaces);
    assert_eq!(taken.len(), 1);
    assert_eq!((taken[0].name, taken[0].prefixes.as_slice()), ("one", ["/admin".to_owned()].as_slice()));
    assert!(administration(&mut surfaces).is_empty());
}

/// Serves the fixture on a real socket.
async fn served(fixture: &Fixture) -> (TcpStream, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let mut task = JoinSet::new();
    task.spawn(serve(listener, fixture.application.clone(), Limits::default(), std::future::pending()));
    (stream, task)
}

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn st_46_a_chunked_body_of_a_mebibyte_is_refused_and_its_sender_hears_it() {
    let fixture = fixture();
    let (mut stream, _task) = served(&fixture).await;
    stream
        .write_all(
            b"POST /v1/echo HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n",
        )
        .await
        .unwrap();
    let chunk = [format!("{:x}\r\n", MIB / 16).as_bytes(), &vec![b'x'; MIB / 16], b"\r\n"].concat();
    for _ in 0..16 {
        stream.write_all(&chunk).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let mut received = String::new();
    timeout(AMPLE, stream.read_to_string(&mut received)).await.expect("no answer").unwrap();
    assert!(received.starts_with("HTTP/1.1 413 "), "{received}");
    assert!(received.contains("the surface says BodyTooLarge"), "{received}");
    assert!(received.contains("cache-control: no-store"), "{received}");
}

#[tokio::test]
async fn st_46_a_body_that_announces_too_much_is_refused_and_its_sender_hears_it() {
    // More of the second comes than anybody reads; the connection throws the rest away while it closes.
    for length in [MIB, 64 * MIB] {
        let fixture = fixture();
        let (mut stream, _task) = served(&fixture).await;
        let head = format!(
            "POST /v1/echo HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b'x'; length]).await.unwrap();
        let mut received = String::new();
        timeout(AMPLE, stream.read_to_string(&mut received)).await.expect("no answer").unwrap();
        let is_told = received.starts_with("HTTP/1.1 413 ") && received.contains("the surface says BodyTooLarge");
        assert!(is_told, "{received}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_is_not_asked_for() {
    let fixture = fixture();
    let (mut stream, _task) = served(&fixture).await;
    let head = "POST /v1/echo HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 1048576\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut received = String::new();
    timeout(AMPLE, stream.read_to_string(&mut received)).await.expect("the connection stays open").unwrap();
    assert!(received.starts_with("HTTP/1.1 413 "), "{received}");
}

#[tokio::test]
async fn st_46_a_body_longer_than_its_announcement_is_refused() {
    let fixture = fixture();
    let mut asked = request(Method::POST, "/v1/echo", vec![b'x'; MIB]);
    asked.headers_mut().insert("content-length", "2".parse().unwrap());
    let told = fixture.ask(asked).await;
    assert_eq!((told.status, told.body.as_str()), (413, r#""the surface says BodyTooLarge""#));
    let exact = vec![b'x'; web::body::LIMIT];
    assert_eq!(fixture.ask(request(Method::POST, "/v1/echo", exact)).await.status, 400);
    let longer = vec![b'x'; web::body::LIMIT + 1];
    assert_eq!(fixture.ask(request(Method::POST, "/v1/echo", longer)).await.status, 413);
}

#[tokio::test]
async fn st_46_half_a_body_is_refused_in_the_surfaces_shape_and_closed() {
    let fixture = fixture();
    let (mut stream, _task) = served(&fixture).await;
    stream
        .write_all(b"POST /v1/echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{\"email\": ")
        .await
        .unwrap();
    // No `connection: close` was asked for: the end is the server's doing.
    let mut received = String::new();
    timeout(AMPLE, stream.read_to_string(&mut received)).await.expect("the connection stays open").unwrap();
    assert!(received.starts_with("HTTP/1.1 408 "), "{received}");
    assert!(received.contains("the surface says TimedOut"), "{received}");
}
