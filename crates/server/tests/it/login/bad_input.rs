//! Everything that is no request: each gets the documented error, nothing is written, and the server lives.

use serde_json::{Value, json};
use testkit::server::{Answer, Request, Server};

use super::journey::{START, VERIFY, code_to, start, verify};
use crate::support::BINARY;

const MIB: usize = 1024 * 1024;

/// A UUID of no flow.
const TOKEN: &str = "00000000-0000-4000-8000-000000000000";

/// A request and what must be said to it.
struct Case {
    request: Request,
    status: u16,
    code: u16,
    name: &'static str,
    message: &'static str,
    field: Option<&'static str>,
}

impl Case {
    fn new(request: Request, message: &'static str) -> Self {
        Self { request, status: 400, code: 3, name: "INVALID_ARGUMENT", message, field: None }
    }

    /// With a JSON body.
    fn json(route: &str, body: impl Into<Vec<u8>>, message: &'static str) -> Self {
        Self::new(Request::post(route, body), message)
    }

    /// One field is to blame.
    fn field(self, field: &'static str) -> Self {
        Self { field: Some(field), ..self }
    }

    fn is(self, status: u16, code: u16, name: &'static str) -> Self {
        Self { status, code, name, ..self }
    }

    /// ST-50: nothing but this is said.
    fn check(&self, answer: &Answer) {
        let (head, body) = self.request.bytes(([127, 0, 0, 1], 80).into());
        let body = body.get(..200).unwrap_or(&body);
        let sent = [head.as_slice(), body].concat();
        let whole = format!("{}\n\n{}", String::from_utf8_lossy(&sent), answer.whole());
        assert_eq!(answer.status, self.status, "{whole}");
        let mut expected = json!({ "code": self.code, "grpc-code": self.name, "message": self.message });
        if let Some(field) = self.field {
            let kind = "type.googleapis.com/google.rpc.BadRequest";
            expected["details"] = json!([{ "@type": kind, "fieldViolations": [{ "field": field }] }]);
        }
        let mut said = answer.json();
        said["message"] = without_numbers(said["message"].as_str().unwrap()).into();
        assert_eq!(said, expected, "{whole}");
        assert_eq!(answer.header("grpc-status"), Some(self.code.to_string().as_str()), "{whole}");
        assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"), "{whole}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{whole}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{whole}");
    }
}

/// `message` with `(line, column)` where it says at which line and column.
fn without_numbers(message: &str) -> String {
    match message.split_once(" (line ") {
        Some((before, place)) => {
            let numbers = place.strip_suffix(')').unwrap().split(", column ").filter(|it| it.parse::<u32>().is_ok());
            assert_eq!(numbers.count(), 2, "{message}");
            format!("{before} (line, column)")
        }
        None => message.to_owned(),
    }
}

/// Sends all of `cases`, over connections that are kept and over fresh ones.
async fn check(server: &Server, cases: &[Case]) {
    let mut kept = server.client();
    for case in cases {
        case.check(&kept.send(&case.request).await);
        case.check(&server.client().send(&case.request).await);
    }
    // Nothing came of any of it.
    let metrics = server.metrics().await;
    for operation in ["start", "verify", "register", "resend"] {
        let count = metrics.sum("countersign_store_seconds_count", &[&format!("op=\"{operation}\"")]);
        assert_eq!(count, 0, "{operation}");
    }
    assert_eq!(metrics.sum("countersign_outbox_depth", &[]), 0);
    assert_eq!(kept.get("/dev/messages").await.json(), json!([]));
    // And it lives.
    let flow = start(&mut kept, "ada@example.com").await;
    let code = code_to(&mut kept, "ada@example.com").await;
    assert!(matches!(verify(&mut kept, &flow, &code).await, super::journey::Verdict::Token(_)));
}

/// What is wrong with a body, whatever the route.
fn bodies(route: &str) -> Vec<Case> {
    let nested = |open: &str, close: &str, depth: usize| format!("{}{}", open.repeat(depth), close.repeat(depth));
    let form = "application/x-www-form-urlencoded";
    let of_type = |kind: &str, body: &str| Request::new("POST", route).header("content-type", kind).body(body);
    let no_type = "the content type is not one that is read here";
    let no_object = "the body is not a JSON object";
    let too_deep = "the body is nested deeper than 32 levels";
    let too_large = "the body is longer than 65536 bytes";
    let large = |body: Vec<u8>| Case::json(route, body, too_large).is(413, 8, "RESOURCE_EXHAUSTED");
    let large_object = || {
        let mut body = br#"{"email":"eve@example.com","more":""#.to_vec();
        body.resize(MIB - 2, b'a');
        body.extend_from_slice(b"\"}");
        body
    };
    let mut cases = vec![
        // No object.
        Case::json(route, "[]", no_object),
        Case::json(route, "null", no_object),
        Case::json(route, "true", no_object),
        Case::json(route, "12", no_object),
        Case::json(route, r#""ada@example.com""#, no_object),
        Case::json(route, r#"[{"email":"ada@example.com"}]"#, no_object),
        // No JSON.
        Case::json(route, "{", "the body is not valid JSON (line, column)"),
        Case::json(route, "}", "the body is not valid JSON (line, column)"),
        Case::json(route, "{\"email\":\"a@example.com\"}{}", "the body is not valid JSON (line, column)"),
        Case::json(route, "{\"email\":\n\"a@example.com\",}", "the body is not valid JSON (line, column)"),
        Case::json(route, "{'email':'a@example.com'}", "the body is not valid JSON (line, column)"),
        Case::json(route, "email=ada@example.com", "the body is not valid JSON (line, column)"),
        Case::json(route, "{\"email\":NaN}", "the body is not valid JSON (line, column)"),
        Case::json(route, "{\"email\":\"a\0b\"}", "the body is not valid JSON (line, column)"),
        // No UTF-8.
        Case::json(route, b"{\"email\":\"\xff@example.com\"}".to_vec(), "the body is not UTF-8"),
        Case::json(route, b"\xff\xfe{\0}\0".to_vec(), "the body is not UTF-8"),
        Case::json(route, b"{\"email\":\"\xed\xa0\x80@example.com\"}".to_vec(), "the body is not UTF-8"),
        // Too deep, whether it ends or not.
        Case::json(route, nested("[", "]", 10_000), too_deep),
        Case::json(route, nested(r#"{"email":"#, "}", 5_000), too_deep),
        Case::json(route, "[".repeat(60_000), too_deep),
        Case::json(route, format!(r#"{{"more":{}}}"#, nested("[", "]", 10_000)), too_deep),
        // Too long, whether it says so or not.
        large(vec![b' '; MIB]),
        large(large_object()),
        large(vec![b' '; 65_537]),
        Case { request: Request::post(route, large_object()).chunked(), ..large(Vec::new()) },
        Case { request: Request::post(route, vec![b'['; MIB]).chunked(), ..large(Vec::new()) },
        // Of another kind.
        Case::new(of_type(form, "email=ada@example.com&code=1"), no_type),
        Case::new(of_type("text/plain", r#"{"email":"ada@example.com"}"#), no_type),
        Case::new(of_type("multipart/form-data; boundary=x", "--x--"), no_type),
        Case::new(of_type("application/json; charset=latin1", "{}"), no_type),
        Case::new(of_type("application/xml", "<email>ada@example.com</email>"), no_type),
        Case::new(of_type("", "{}"), no_type),
        Case::new(Request::new("POST", route).body("{}"), no_type),
        Case::new(of_type("application/json", "{}").header("content-type", "text/plain"), no_type),
    ];
    for encoding in ["gzip", "br", "identity, gzip"] {
        let request = Request::post(route, "{}").header("content-encoding", encoding);
        let case = Case::new(request, "compressed bodies are not read here");
        cases.push(case.is(415, 3, "INVALID_ARGUMENT"));
    }
    let request = Request::post(route, "{}").header("grpc-encoding", "identity");
    cases.push(Case::new(request, "grpc-encoding does not go with JSON").is(415, 3, "INVALID_ARGUMENT"));
    cases
}

#[tokio::test]
async fn a_body_that_cannot_be_read_gets_the_documented_error() {
    let server = Server::dev(BINARY, &[]).await;
    let mut cases = bodies(START);
    cases.extend(bodies(VERIFY));
    check(&server, &cases).await;
    server.stop().await;
}

#[tokio::test]
async fn st_15_an_address_that_is_not_exactly_one_string_is_refused() {
    let server = Server::dev(BINARY, &[]).await;
    let required = "email is required";
    let no_address = "email must be an e-mail address";
    let twice = "the field email is given more than once";
    let cases = [
        Case::new(Request::new("POST", START), required).field("email"),
        Case::new(Request::new("POST", START).header("content-type", "text/plain"), required).field("email"),
        Case::json(START, "{}", required).field("email"),
        Case::json(START, r#"{"mail":"ada@example.com"}"#, required).field("email"),
        Case::json(START, r#"{"EMAIL":"ada@example.com"}"#, required).field("email"),
        Case::json(START, r#"{"email":null}"#, required).field("email"),
        Case::json(START, r#"{"email":""}"#, required).field("email"),
        Case::json(START, r#"{"email":" \t\n"}"#, required).field("email"),
        // In the query it would stand in access logs, so it is not read.
        Case::json(&format!("{START}?email=ada@example.com"), "{}", required).field("email"),
        Case::json(START, r#"{"email":["ada@example.com"]}"#, "a field has the wrong type (line, column)"),
        Case::json(
            START,
            r#"{"email":["a@example.com","b@example.com"]}"#,
            "a field has the wrong type (line, column)",
        ),
        Case::json(START, r#"{"email":{"0":"a@example.com"}}"#, "a field has the wrong type (line, column)"),
        Case::json(START, r#"{"email":5}"#, "a field has the wrong type (line, column)"),
        Case::json(START, "{\"email\":\"\\ud800\"}", "the body is not valid JSON (line, column)"),
        Case::json(START, r#"{"email":true}"#, "a field has the wrong type (line, column)"),
        Case::json(START, r#"{"email":"a@example.com","email":"b@example.com"}"#, twice),
        Case::json(START, r#"{"email":"a@example.com","email":null}"#, twice),
        Case::json(START, r#"{"email":null,"email":"a@example.com"}"#, twice),
        Case::json(START, r#"{"email":"a@example.com","\u0065mail":"b@example.com"}"#, twice),
        Case::json(START, r#"{"email":"a@x.example,b@y.example"}"#, no_address).field("email"),
        Case::json(START, r#"{"email":"a@x.example b@y.example"}"#, no_address).field("email"),
        Case::json(START, r#"{"email":"a@x.example;b@y.example"}"#, no_address).field("email"),
        Case::json(START, r#"{"email":"a@x.example\u0000"}"#, no_address).field("email"),
        Case::json(START, r#"{"email":"ada"}"#, no_address).field("email"),
        Case::json(START, format!(r#"{{"email":"{}@example.com"}}"#, "a".repeat(60_000)), no_address).field("email"),
        Case::json(START, format!(r#"{{"email":"a@{}"}}"#, "a.".repeat(30_000)), no_address).field("email"),
        Case::json(START, format!(r#"{{"email":"{}"}}"#, "@".repeat(60_000)), no_address).field("email"),
    ];
    check(&server, &cases).await;
    server.stop().await;
}

#[tokio::test]
async fn a_verification_needs_one_token_and_one_code() {
    let server = Server::dev(BINARY, &[]).await;
    let no_token = "auth_flow_token is required";
    let no_code = "code is required";
    let no_uuid = "auth_flow_token must be a UUID";
    let with = |rest: &str| format!(r#"{{"auth_flow_token":"{TOKEN}",{rest}}}"#);
    let cases = [
        Case::new(Request::new("POST", VERIFY), no_token).field("auth_flow_token"),
        Case::json(VERIFY, "{}", no_token).field("auth_flow_token"),
        Case::json(VERIFY, r#"{"code":"000000"}"#, no_token).field("auth_flow_token"),
        Case::json(VERIFY, r#"{"auth_flow_token":null,"code":"000000"}"#, no_token).field("auth_flow_token"),
        Case::json(VERIFY, r#"{"auth_flow_token":"","code":"000000"}"#, no_token).field("auth_flow_token"),
        Case::json(VERIFY, r#"{"authflowtoken":"x","code":"000000"}"#, no_token).field("auth_flow_token"),
        Case::json(&format!("{VERIFY}?auth_flow_token={TOKEN}&code=000000"), "{}", no_token).field("auth_flow_token"),
        Case::json(VERIFY, r#"{"auth_flow_token":"x","code":"000000"}"#, no_uuid).field("auth_flow_token"),
        Case::json(VERIFY, r#"{"authFlowToken":"x","code":"000000"}"#, no_uuid).field("auth_flow_token"),
        Case::json(VERIFY, with(r#""code":"""#).replace("4000", "4000-"), no_uuid).field("auth_flow_token"),
        Case::json(VERIFY, with(r#""code":null"#), no_code).field("code"),
        Case::json(VERIFY, with(r#""code":"""#), no_code).field("code"),
        Case::json(VERIFY, with(r#""code":"  ""#), no_code).field("code"),
        Case::json(VERIFY, format!(r#"{{"auth_flow_token":"{TOKEN}"}}"#), no_code).field("code"),
        Case::json(VERIFY, with(r#""code":123456"#), "a field has the wrong type (line, column)"),
        Case::json(VERIFY, with(r#""code":["123456"]"#), "a field has the wrong type (line, column)"),
        Case::json(VERIFY, with(r#""code":{}"#), "a field has the wrong type (line, column)"),
        Case::json(VERIFY, with(r#""code":false"#), "a field has the wrong type (line, column)"),
        Case::json(VERIFY, with(r#""code":"1","code":"2""#), "the field code is given more than once"),
        Case::json(
            VERIFY,
            with(&format!(r#""auth_flow_token":"{TOKEN}","code":"1""#)),
            "the field auth_flow_token is given more than once",
        ),
        Case::json(
            VERIFY,
            with(&format!(r#""authFlowToken":"{TOKEN}","code":"1""#)),
            "the field auth_flow_token is given more than once",
        ),
        Case::json(
            VERIFY,
            format!(r#"{{"authFlowToken":null,"auth_flow_token":"{TOKEN}","code":"1"}}"#),
            "the field auth_flow_token is given more than once",
        ),
    ];
    check(&server, &cases).await;
    server.stop().await;
}

#[tokio::test]
async fn unknown_paths_and_wrong_verbs_get_the_documented_error() {
    let server = Server::dev(BINARY, &[]).await;
    let mut client = server.client();
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/login/",
        "/v1//login",
        "/v1/login/email-code/x",
        "/v2/login",
        "/V1/LOGIN",
        "/%00",
        "/v1/login%2Femail-code",
        "/v1/../v1/login/x",
        "/favicon.ico",
    ] {
        for method in ["GET", "POST", "PATCH"] {
            let request = Request::new(method, path);
            let case = Case::new(request, "no such path").is(404, 5, "NOT_FOUND");
            case.check(&client.send(&case.request).await);
        }
    }
    for (path, allowed, wrong) in [
        (START, "POST", &["GET", "PUT", "DELETE", "PATCH", "TRACE", "BREW"][..]),
        (VERIFY, "POST", &["GET", "PUT", "DELETE", "PATCH"]),
    ] {
        for method in wrong {
            let case =
                Case::new(Request::new(method, path), "the path does not have this verb").is(405, 12, "UNIMPLEMENTED");
            let answer = client.send(&case.request).await;
            case.check(&answer);
            assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
        }
    }
    // HEAD is an answer without its body.
    let head = client.send(&Request::new("HEAD", START)).await;
    assert_eq!((head.status, head.header("allow"), head.body.len()), (405, Some("POST"), 0));
    let head = client.send(&Request::new("HEAD", "/.well-known/jwks.json")).await;
    let get = client.get("/.well-known/jwks.json").await;
    assert_eq!((head.status, head.header("content-length")), (200, get.header("content-length")));
    assert_eq!(client.get("/dev/messages").await.json(), Value::Array(Vec::new()));
    server.stop().await;
}

#[tokio::test]
async fn a_body_of_the_longest_length_is_read() {
    let server = Server::dev(BINARY, &[]).await;
    let mut body = br#"{"email":"ada@example.com"}"#.to_vec();
    body.resize(64 * 1024, b' ');
    for request in [Request::post(START, body.clone()), Request::post(START, body.clone()).chunked()] {
        super::journey::flow_of(&server.client().send(&request).await);
    }
    server.stop().await;
}
