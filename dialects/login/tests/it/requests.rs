//! What strangers send: bodies that cannot be read, headers that do not go with them, and what browsers ask before.

use http::Method;
use testkit::world::other_than;

use crate::support::{EMAIL, Mounted, NOBODYS_TOKEN, bare, error, whole, with_headers};

const PATHS: [&str; 2] = ["/v1/login", "/v1/login/email-code"];

fn invalid(message: &str) -> (u16, String) {
    (400, error(3, "INVALID_ARGUMENT", message))
}

#[tokio::test]
async fn st_46_a_body_that_cannot_be_read_is_refused_and_nothing_is_written() {
    let mounted = Mounted::new().await;
    let nested =
        |open: &str, close: &str, times: usize| format!(r#"{{"x":{}1{}}}"#, open.repeat(times), close.repeat(times));
    let cases: Vec<(Vec<u8>, (u16, String))> = vec![
        (b"hello".to_vec(), invalid("the body is not valid JSON (line 1, column 1)")),
        (b" ".to_vec(), invalid("the body is not valid JSON (line 1, column 1)")),
        (br#"{"email":"a@example.com""#.to_vec(), invalid("the body is not valid JSON (line 1, column 24)")),
        (br#"{"email":"a@example.com"} {"#.to_vec(), invalid("the body is not valid JSON (line 1, column 27)")),
        (b"{'email':'a'}".to_vec(), invalid("the body is not valid JSON (line 1, column 2)")),
        (b"{\n \"email\":}".to_vec(), invalid("the body is not valid JSON (line 2, column 10)")),
        (b"[]".to_vec(), invalid("the body is not a JSON object")),
        (br#"[{"email":"a@example.com"}]"#.to_vec(), invalid("the body is not a JSON object")),
        (br#""a@example.com""#.to_vec(), invalid("the body is not a JSON object")),
        (b"null".to_vec(), invalid("the body is not a JSON object")),
        (b"7".to_vec(), invalid("the body is not a JSON object")),
        (b"{\"email\":\"\xff@example.com\"}".to_vec(), invalid("the body is not UTF-8")),
        (b"\xef\xbb\xbf{}".to_vec(), invalid("the body is not valid JSON (line 1, column 1)")),
        (nested("[", "]", 32).into_bytes(), invalid("the body is nested deeper than 32 levels")),
        (nested(r#"{"x":"#, "}", 10_000).into_bytes(), invalid("the body is nested deeper than 32 levels")),
        (
            format!(r#"{{"email":"{}"}}"#, "a".repeat(64 * 1024)).into_bytes(),
            (413, error(8, "RESOURCE_EXHAUSTED", "the body is longer than 65536 bytes")),
        ),
        (vec![b' '; 1024 * 1024], (413, error(8, "RESOURCE_EXHAUSTED", "the body is longer than 65536 bytes"))),
    ];
    for path in PATHS {
        for (body, (status, said)) in &cases {
            let code = if *status == 413 { 8 } else { 3 };
            let request = with_headers(Method::POST, path, &[("content-type", "application/json")], body.clone());
            let shown = String::from_utf8_lossy(&body[..body.len().min(40)]);
            assert_eq!(mounted.ask(request).await.to_string(), whole(*status, code, "", said), "{path} {shown}");
        }
    }
    assert!(mounted.world.calls.take_calls().is_empty());
}

#[tokio::test]
async fn st_15_a_field_that_is_no_string_or_is_there_twice_is_refused_and_nothing_is_written() {
    let mounted = Mounted::new().await;
    let wrong = |column: usize| format!("a field has the wrong type (line 1, column {column})");
    let cases = [
        (PATHS[0], r#"{"email":7}"#, wrong(10)),
        (PATHS[0], r#"{"email":true}"#, wrong(13)),
        (PATHS[0], r#"{"email":["a@example.com"]}"#, wrong(9)),
        (PATHS[0], r#"{"email":{"value":"a@example.com"}}"#, wrong(9)),
        (
            PATHS[0],
            r#"{"email":"a@example.com","email":"b@example.com"}"#,
            "the field email is given more than once".to_owned(),
        ),
        (PATHS[1], r#"{"code":123456}"#, wrong(14)),
        (PATHS[1], r#"{"code":["123456"]}"#, wrong(8)),
        (PATHS[1], r#"{"auth_flow_token":[]}"#, wrong(19)),
        (PATHS[1], r#"{"code":"1","code":"2"}"#, "the field code is given more than once".to_owned()),
        (
            PATHS[1],
            r#"{"auth_flow_token":"1","authFlowToken":"1"}"#,
            "the field auth_flow_token is given more than once".to_owned(),
        ),
    ];
    for (path, body, message) in cases {
        let (status, said) = invalid(&message);
        assert_eq!(mounted.post(path, body).await.to_string(), whole(status, 3, "", &said), "{body}");
    }
    assert!(mounted.world.calls.take_calls().is_empty());
}

#[tokio::test]
async fn a_body_is_json_by_its_content_type_or_refused() {
    let mounted = Mounted::new().await;
    let body = format!(r#"{{"email":"{EMAIL}"}}"#);
    for content_type in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
        "application/problem+json",
    ] {
        let request = with_headers(Method::POST, PATHS[0], &[("content-type", content_type)], body.clone());
        assert_eq!(mounted.ask(request).await.status, 200, "{content_type}");
    }
    let (_, said) = invalid("the content type is not one that is read here");
    let refused: [&[(&str, &str)]; 7] = [
        &[],
        &[("content-type", "")],
        &[("content-type", "text/plain")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "application/grpc")],
        &[("content-type", "application/json; charset=iso-8859-1")],
        &[("content-type", "application/json"), ("content-type", "application/json")],
    ];
    for headers in refused {
        let request = with_headers(Method::POST, PATHS[0], headers, body.clone());
        assert_eq!(mounted.ask(request).await.to_string(), whole(400, 3, "", &said), "{headers:?}");
    }
}

#[tokio::test]
async fn an_empty_body_is_an_empty_message_whatever_its_content_type() {
    let mounted = Mounted::new().await;
    let expected = mounted.post(PATHS[0], "{}").await;
    assert_eq!(expected.status, 400);
    for headers in [&[][..], &[("content-type", "application/json")], &[("content-type", "text/plain")]] {
        assert_eq!(mounted.ask(with_headers(Method::POST, PATHS[0], headers, "")).await, expected, "{headers:?}");
    }
}

#[tokio::test]
async fn compression_does_not_go_with_json() {
    let mounted = Mounted::new().await;
    let body = format!(r#"{{"email":"{EMAIL}"}}"#);
    let json = ("content-type", "application/json");
    for path in PATHS {
        let said = error(3, "INVALID_ARGUMENT", "grpc-encoding does not go with JSON");
        for encoding in ["gzip", "identity", ""] {
            let request = with_headers(Method::POST, path, &[json, ("grpc-encoding", encoding)], body.clone());
            assert_eq!(mounted.ask(request).await.to_string(), whole(415, 3, "", &said), "{path} {encoding}");
        }
        let said = error(3, "INVALID_ARGUMENT", "compressed bodies are not read here");
        let request = with_headers(Method::POST, path, &[json, ("content-encoding", "gzip")], body.clone());
        assert_eq!(mounted.ask(request).await.to_string(), whole(415, 3, "", &said), "{path}");
    }
    assert!(mounted.world.calls.take_calls().is_empty());
    let request = with_headers(Method::POST, PATHS[0], &[json, ("content-encoding", "identity")], body);
    assert_eq!(mounted.ask(request).await.status, 200);
}

#[tokio::test]
async fn a_query_changes_nothing() {
    let mounted = Mounted::new().await;
    let token = mounted.start(EMAIL).await.token();
    let code = mounted.code().await;
    let path = format!("/v1/login/email-code?code={code}");
    let answer =
        mounted.post(&path, &format!(r#"{{"auth_flow_token":"{token}","code":"{}"}}"#, other_than(&code))).await;
    assert_eq!(answer.body, crate::support::invalid_code(&token));
    let answer = mounted.post(&path, &format!(r#"{{"auth_flow_token":"{token}"}}"#)).await;
    assert_eq!(answer.status, 400);
    assert_eq!(mounted.post("/v1/login?email=ada%40example.com", "{}").await.status, 400);
}

#[tokio::test]
async fn a_browser_that_asks_first_may_ask_from_anywhere() {
    let mounted = Mounted::new().await;
    // `allow` is what the router says of a path that has no OPTIONS; browsers do not look at it.
    for (path, allow) in [
        (PATHS[0], "allow: POST\n"),
        (PATHS[1], "allow: POST\n"),
        ("/.well-known/jwks.json", "allow: GET,HEAD\n"),
        ("/v1/unknown", ""),
    ] {
        let request = with_headers(
            Method::OPTIONS,
            path,
            &[
                ("origin", "https://app.example.com"),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "content-type,authorization"),
            ],
            "",
        );
        assert_eq!(
            mounted.ask(request).await.to_string(),
            format!(
                "200\n\
                 access-control-allow-headers: content-type,authorization,x-grpc-web,x-user-agent\n\
                 access-control-allow-methods: GET,POST,PATCH\n\
                 access-control-allow-origin: *\n\
                 access-control-max-age: 7200\n\
                 {allow}content-length: 0\n\n"
            ),
            "{path}"
        );
    }
    assert!(mounted.world.calls.take_calls().is_empty());
}

#[tokio::test]
async fn a_page_of_another_origin_may_read_answers_but_sends_no_cookies() {
    let mounted = Mounted::new().await;
    let headers = [("content-type", "application/json"), ("origin", "https://app.example.com"), ("cookie", "a=b")];
    let bodies = [
        format!(r#"{{"email":"{EMAIL}"}}"#),
        format!(r#"{{"auth_flow_token":"{NOBODYS_TOKEN}","code":"1"}}"#),
        "broken".to_owned(),
    ];
    for (path, body) in [(PATHS[0], &bodies[0]), (PATHS[1], &bodies[1]), (PATHS[1], &bodies[2])] {
        let answer = mounted.ask(with_headers(Method::POST, path, &headers, body.clone())).await;
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("access-control-allow-credentials"), "");
        assert_eq!(answer.header("set-cookie"), "");
    }
}

#[tokio::test]
async fn st_60_nobody_keeps_an_answer_except_the_keys() {
    let mounted = Mounted::new().await;
    let token = mounted.start(EMAIL).await.token();
    let code = mounted.code().await;
    let answers = [
        mounted.start(EMAIL).await,
        mounted.start("x").await,
        mounted.email_code(&token, &other_than(&code)).await,
        mounted.email_code(&token, &code).await,
        mounted.post(PATHS[0], "broken").await,
        mounted.ask(bare(Method::GET, PATHS[0])).await,
        mounted.ask(bare(Method::GET, "/nowhere")).await,
    ];
    for answer in answers {
        assert_eq!(answer.header("cache-control"), "no-store", "{answer}");
    }
}
