//! Bodies of all three kinds, and what becomes of them beside a query.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde_json::json;

use super::*;

async fn read_with(
    query: &str,
    content_type: Option<&'static str>,
    body: impl Into<Body>,
) -> Result<Submission, Status> {
    let mut headers = HeaderMap::new();
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    Submission::read(&Submission::of_query(query), &headers, body.into()).await
}

async fn json(body: &'static str) -> Submission {
    read_with("", Some("application/json"), body).await.unwrap()
}

const FORM: Option<&str> = Some("application/x-www-form-urlencoded");
const MULTIPART: Option<&str> = Some("multipart/form-data; boundary=b");

fn parts(fields: &[(&str, &str)]) -> String {
    let part = |(name, value): &(&str, &str)| {
        format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    fields.iter().map(part).collect::<String>() + "--b--\r\n"
}

#[tokio::test]
async fn values_are_taken_as_text() {
    let read = json(r#"{"a": "x", "b": 123456, "c": true, "d": {"e": 1}, "f": null, "g": ""}"#).await;
    assert_eq!(read.get("a").as_deref(), Some("x"));
    assert_eq!(read.get("b").as_deref(), Some("123456"));
    assert_eq!(read.get("c").as_deref(), Some("true"));
    assert_eq!(read.get("d").as_deref(), Some(r#"{"e":1}"#));
    assert_eq!((read.get("f"), read.get("g"), read.get("h")), (None, None, None));
}

#[tokio::test]
async fn of_a_name_given_twice_the_last_counts() {
    let read = json(r#"{"email": "a", "email": "b", "traits": {"x": 1}, "traits": {"y": 2}}"#).await;
    assert_eq!(read.get("email").as_deref(), Some("b"));
    let read = read_with("", FORM, "email=a&email=b").await.unwrap();
    assert_eq!(read.get("email").as_deref(), Some("b"));
    let read = read_with("", MULTIPART, parts(&[("email", "a"), ("email", "b")])).await.unwrap();
    assert_eq!(read.get("email").as_deref(), Some("b"));
}

#[tokio::test]
async fn dots_and_objects_mean_the_same() {
    let expected = json!({"email": "a@b.c", "name": {"first": "Ada", "last": "L"}});
    let nested = json(r#"{"traits": {"email": "a@b.c", "name": {"first": "Ada", "last": "L"}}}"#).await;
    let dotted = json(r#"{"traits.email": "a@b.c", "traits": {"name.first": "Ada", "name": {"last": "L"}}}"#).await;
    let form = read_with("", FORM, "traits.email=a%40b.c&traits.name.first=Ada&traits.name.last=L").await.unwrap();
    let fields = [("traits.email", "a@b.c"), ("traits.name.first", "Ada"), ("traits.name.last", "L")];
    let multipart = read_with("", MULTIPART, parts(&fields)).await.unwrap();
    for read in [nested, form, multipart] {
        assert_eq!(read.object("traits").unwrap(), expected.as_object());
    }
    assert_eq!(dotted.0.get("traits").unwrap()["email"], "a@b.c");
    let odd = read_with("", FORM, ".=1&a.=2&.b=3&c..d=4").await.unwrap();
    assert_eq!(odd.get("a.").as_deref(), Some("2"));
}

#[tokio::test]
async fn a_name_cannot_be_nested_without_end() {
    let name = "a.".repeat(20_000);
    let read = read_with("", FORM, format!("{name}=1")).await.unwrap();
    assert!(read.0.get("a").is_none_or(|value| value.to_string().len() < 50_000));
}

#[tokio::test]
async fn query_and_body_are_one() {
    let query = "flow=1&code=query";
    let read = read_with(query, Some("application/json"), r#"{"code": "body", "email": "e"}"#).await.unwrap();
    assert_eq!((read.get("code").as_deref(), read.get("email").as_deref()), (Some("query"), Some("e")));
    for (content_type, body) in [(FORM, "code=body".to_owned()), (MULTIPART, parts(&[("code", "body")]))] {
        let read = read_with(query, content_type, body).await.unwrap();
        assert_eq!((read.get("code").as_deref(), read.get("flow").as_deref()), (Some("body"), Some("1")));
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_a_bad_request() {
    let cases: [(Option<&'static str>, &'static str); 8] = [
        (Some("application/json"), ""),
        (Some("application/json"), r#"{"method":"code""#),
        (Some("application/json"), "[]"),
        (Some("application/json"), r#""code""#),
        (Some("text/plain"), "{}"),
        (None, "{}"),
        (MULTIPART, "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nx"),
        (FORM, "a=%ff"),
    ];
    for (content_type, body) in cases {
        let status = read_with("", content_type, body).await.unwrap_err();
        assert!(status.is_shown_in_flow(), "{content_type:?} {body}: {status:?}");
    }
}

#[tokio::test]
async fn what_is_too_long_is_said_to_be() {
    let long = "x".repeat(web::body::LIMIT + 1);
    let bodies = [(FORM, format!("a={long}")), (MULTIPART, parts(&[("a", &long)]))];
    for (content_type, body) in bodies {
        let status = read_with("", content_type, body).await.unwrap_err();
        assert_eq!(status.http, StatusCode::PAYLOAD_TOO_LARGE);
    }
}

#[tokio::test]
async fn a_field_that_must_be_an_object_is_one_or_nothing() {
    let read = json(r#"{"a": {"b": 1}, "c": "text", "d": null}"#).await;
    assert!(read.object("a").unwrap().is_some());
    assert!(read.object("d").unwrap().is_none() && read.object("e").unwrap().is_none());
    assert!(read.object("c").unwrap_err().is_shown_in_flow());
}

#[tokio::test]
async fn files_are_refused() {
    let body = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\n\r\ncontent\r\n--b--\r\n";
    assert_eq!(read_with("", MULTIPART, body).await.unwrap_err().http, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn no_value_is_printed() {
    let read = json(r#"{"code": "428193"}"#).await;
    assert_eq!(format!("{read:?}"), r#"{"code"}"#);
}
