//! The decoder against tables of bad bodies, and against anything.

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Uri};
use proptest::prelude::*;
use serde::Deserialize;
use web::body::{Bounded, LIMIT, query};
use web::{Accepts, BodyError, Position, Received, Text};

const JSON: Option<&str> = Some("application/json");
const FORM: Option<&str> = Some("application/x-www-form-urlencoded");

/// What a surface's request looks like: two spellings, lenient about absence, strict about types.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Lenient<'a> {
    #[serde(borrow, alias = "authFlowToken")]
    auth_flow_token: Option<Text<'a>>,
    #[serde(borrow)]
    code: Option<Text<'a>>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Strict<'a> {
    #[serde(borrow)]
    code: Text<'a>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Method {
    Code,
    Link(String),
}

#[derive(Debug, PartialEq, Deserialize)]
struct Typed {
    count: u8,
    wide: Option<i64>,
    resend: bool,
    method: Method,
    ratio: f64,
}

/// Decodes into [`Lenient`] and throws the result away.
fn refusal(content_type: Option<&str>, bytes: &[u8]) -> BodyError {
    let received = match Received::from_bytes(Accepts::JsonOrForm, content_type, bytes) {
        Ok(received) => received,
        Err(error) => return error,
    };
    let decoded: Result<Lenient<'_>, BodyError> = received.decode();
    decoded.err().unwrap_or_else(|| panic!("{} was accepted", String::from_utf8_lossy(bytes)))
}

fn code_of(content_type: Option<&str>, bytes: &[u8]) -> Option<String> {
    let received = Received::from_bytes(Accepts::JsonOrForm, content_type, bytes).unwrap();
    let decoded: Lenient<'_> = received.decode().unwrap();
    decoded.code.map(|code| code.to_string())
}

fn at(line: usize, column: usize) -> Position {
    Position { line, column }
}

#[test]
fn a_body_is_an_object_or_empty() {
    for empty in [b"".as_slice(), b"{}", b" {} \r\n\t"] {
        assert_eq!(code_of(JSON, empty), None);
    }
    for content_type in [None, FORM, Some("text/plain"), Some("nonsense")] {
        assert_eq!(code_of(content_type, b""), None, "empty is an empty object whatever it is called");
    }
    for no_object in [&b"[]"[..], b"null", b"7", b"\"{}\"", b"true", b" [{}]"] {
        assert_eq!(refusal(JSON, no_object), BodyError::NotAnObject);
    }
}

#[test]
fn null_is_unset_and_unknown_fields_are_ignored() {
    assert_eq!(code_of(JSON, br#"{"code": null, "other": [1, {"code": "7"}]}"#), None);
    assert_eq!(code_of(JSON, br#"{"code": "012345"}"#).unwrap(), "012345");
    assert_eq!(code_of(FORM, b"other=1&code=012345").unwrap(), "012345");
    assert_eq!(code_of(FORM, b"code=").unwrap(), "");
    assert_eq!(code_of(FORM, b"code").unwrap(), "");
}

#[test]
fn st_15_only_a_string_is_a_string() {
    for wrong in ["7", "7.5", "true", "[]", r#"["a@example.com"]"#, "{}", r#"{"code":"1"}"#] {
        let body = format!(r#"{{"code": {wrong}}}"#);
        let refused = refusal(JSON, body.as_bytes());
        assert!(matches!(refused, BodyError::WrongType { position: Some(_) }), "{wrong}: {refused:?}");
    }
}

#[test]
fn st_15_a_field_given_twice_is_refused_under_whichever_names() {
    let twice = |field: &str| BodyError::Duplicate { field: field.into() };
    assert_eq!(refusal(JSON, br#"{"code": "1", "code": "2"}"#), twice("code"));
    assert_eq!(refusal(JSON, br#"{"code": "1", "code": null}"#), twice("code"));
    assert_eq!(refusal(JSON, br#"{"code": "1", "\u0063ode": "1"}"#), twice("code"));
    assert_eq!(refusal(JSON, br#"{"auth_flow_token": "1", "authFlowToken": "2"}"#), twice("auth_flow_token"));
    assert_eq!(refusal(FORM, b"code=1&code=2"), twice("code"));
    assert_eq!(refusal(FORM, b"code=1&c%6fde=1"), twice("code"));
    assert_eq!(refusal(FORM, b"auth_flow_token=1&authFlowToken=2"), twice("auth_flow_token"));
    let uri: Uri = "/v1/login?code=1&x=2&code=3".parse().unwrap();
    assert_eq!(query::<Lenient<'_>>(&uri).unwrap_err(), twice("code"));
}

#[test]
fn a_missing_field_is_named() {
    let missing = BodyError::Missing { field: "code".into() };
    for (content_type, body) in [(JSON, &b"{}"[..]), (JSON, b"{\"other\":1}"), (FORM, b"other=1"), (None, b"")] {
        let received = Received::from_bytes(Accepts::JsonOrForm, content_type, body).unwrap();
        assert_eq!(received.decode::<Strict<'_>>().unwrap_err(), missing);
    }
}

#[test]
fn broken_json_is_refused_with_its_place() {
    let table: [(&[u8], Position); 7] = [
        (b"{", at(1, 1)),
        (b"{\"code\": \"1\"", at(1, 12)),
        (b"{\"code\":\n}", at(2, 1)),
        (b"{\"code\": \"1\",}", at(1, 14)),
        (b"{} {}", at(1, 4)),
        (b"hello", at(1, 1)),
        (b"  ", at(1, 2)),
    ];
    for (body, position) in table {
        assert_eq!(refusal(JSON, body), BodyError::Syntax(position), "{}", String::from_utf8_lossy(body));
    }
    for body in [
        &b"{\"code\": '1'}"[..],
        b"{code: \"1\"}",
        b"{\"code\": \"\\ud800\"}",
        b"{\"code\": \"a\nb\"}",
        b"\xef\xbb\xbf{}",
    ] {
        assert!(matches!(refusal(JSON, body), BodyError::Syntax(_)), "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn st_46_deep_nesting_is_refused_however_it_is_written() {
    let deep = |depth: usize, open: &str, close: &str| {
        format!(r#"{{"other": {}{}}}"#, open.repeat(depth), close.repeat(depth))
    };
    assert_eq!(code_of(JSON, deep(31, "[", "]").as_bytes()), None);
    assert_eq!(refusal(JSON, deep(32, "[", "]").as_bytes()), BodyError::TooDeep);
    assert_eq!(refusal(JSON, deep(10_000, "[", "]").as_bytes()), BodyError::TooDeep);
    assert_eq!(refusal(JSON, "[".repeat(10_000).as_bytes()), BodyError::TooDeep);
    assert_eq!(refusal(JSON, r#"{"a":"#.repeat(10_000).as_bytes()), BodyError::TooDeep);
    // Brackets in strings are no nesting, also behind an escaped quote.
    let body = format!(r#"{{"code": "\"\\{}"}}"#, "[".repeat(100));
    assert_eq!(code_of(JSON, body.as_bytes()).unwrap().len(), 102);
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    for body in [&b"{\"code\": \"\xff\"}"[..], b"\xff", b"{\"code\": \"\xc3\"}", b"{\"\xed\xa0\x80\": 1}"] {
        assert_eq!(refusal(JSON, body), BodyError::Encoding);
    }
    for body in [&b"code=\xff"[..], b"code=%ff", b"code=%C3", b"%ff=1", b"other=%ed%a0%80", b"a+b=\xff"] {
        assert_eq!(refusal(FORM, body), BodyError::Encoding, "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn forms_are_unescaped_as_browsers_escape_them() {
    let table = [
        ("code=a+b", "a b"),
        ("code=a%2Bb%40example.com", "a+b@example.com"),
        ("code=%C3%BC", "ü"),
        ("code=ü", "ü"),
        ("code=a=b=c", "a=b=c"),
        ("&&code=1&&", "1"),
        ("c%6Fde=1", "1"),
        ("code=100%", "100%"),
        ("code=%zz%2", "%zz%2"),
        ("code=%00", "\0"),
    ];
    for (body, code) in table {
        assert_eq!(code_of(FORM, body.as_bytes()).as_deref(), Some(code), "{body}");
    }
}

#[test]
fn numbers_booleans_and_names_are_read_from_forms() {
    let uri: Uri = "/?count=7&resend=true&method=code&ratio=0.5".parse().unwrap();
    let typed: Typed = query(&uri).unwrap();
    assert_eq!(typed, Typed { count: 7, wide: None, resend: true, method: Method::Code, ratio: 0.5 });
    let uri: Uri = "/?count=7&wide=-9&resend=false&method=code&ratio=1".parse().unwrap();
    assert_eq!(query::<Typed>(&uri).unwrap().wide, Some(-9));
    let wrong = [
        "/?count=256&resend=true&method=code&ratio=1",
        "/?count=&resend=true&method=code&ratio=1",
        "/?count=7&resend=yes&method=code&ratio=1",
        "/?count=7&resend=true&method=sms&ratio=1",
        "/?count=7&resend=true&method=link&ratio=1",
        "/?count=7&wide=x&resend=true&method=code&ratio=1",
    ];
    for uri in wrong {
        let uri: Uri = uri.parse().unwrap();
        assert_eq!(query::<Typed>(&uri).unwrap_err(), BodyError::WrongType { position: None }, "{uri}");
    }
    assert_eq!(query::<Lenient<'_>>(&Uri::from_static("/")).unwrap(), Lenient::default());
    let linked =
        Received::from_bytes(Accepts::Json, JSON, br#"{"count":1,"resend":true,"method":{"link":"x"},"ratio":1}"#);
    assert_eq!(linked.unwrap().decode::<Typed>().unwrap().method, Method::Link("x".to_owned()));
}

#[test]
fn the_content_type_decides_and_must_be_one_of_the_routes() {
    use Accepts::{Form, Json, JsonOrForm};
    let table = [
        (Json, "application/json", true),
        (Json, "Application/JSON; Charset=\"UTF-8\"", true),
        (Json, "application/problem+json", true),
        (Json, "application/json;charset=utf-8;x=y", true),
        (Json, "application/json; charset=utf-16", false),
        (Json, "application/json5", false),
        (Json, "text/json", false),
        (Json, "text/plain", false),
        (Json, "", false),
        (Json, "application/x-www-form-urlencoded", false),
        (Form, "application/x-www-form-urlencoded", true),
        (Form, "application/x-www-form-urlencoded; charset=utf-8", true),
        (Form, "application/x-www-form-urlencoded; charset=latin1", false),
        (Form, "application/json", false),
        (Form, "multipart/form-data; boundary=x", false),
        (JsonOrForm, "application/json", true),
        (JsonOrForm, "application/x-www-form-urlencoded", true),
        (JsonOrForm, "application/grpc", false),
    ];
    for (accepts, content_type, accepted) in table {
        let received = Received::from_bytes(accepts, Some(content_type), b"{}");
        assert_eq!(received.is_ok(), accepted, "{accepts:?} {content_type}");
    }
    for accepts in [Json, Form, JsonOrForm] {
        assert_eq!(Received::from_bytes(accepts, None, b"{}").unwrap_err(), BodyError::ContentType);
        assert!(Received::from_bytes(accepts, None, b"").is_ok());
    }
}

#[test]
fn text_is_borrowed_where_it_can_be_and_never_printed() {
    let body = br#"{"auth_flow_token": "428193", "code": "4\u00328193"}"#;
    let received = Received::from_bytes(Accepts::Json, JSON, body).unwrap();
    let decoded: Lenient<'_> = received.decode().unwrap();
    let (token, code) = (decoded.auth_flow_token.clone().unwrap(), decoded.code.clone().unwrap());
    assert!(matches!(token.0, std::borrow::Cow::Borrowed("428193")));
    assert_eq!(&*code, "428193");
    assert!(!format!("{decoded:?} {received:?} {token:?}").contains("428193"));

    let received = Received::from_bytes(Accepts::Form, FORM, b"code=428193").unwrap();
    let decoded: Lenient<'_> = received.decode().unwrap();
    assert!(matches!(decoded.code.unwrap().0, std::borrow::Cow::Borrowed(_)));
}

#[test]
fn no_refusal_quotes_what_was_sent() {
    let bodies = [
        (JSON, r#"{"code": 428193}"#),
        (JSON, r#"{"code": ["428193"]}"#),
        (JSON, r#"{"code": "428193", "code": "428193"}"#),
        (JSON, r#"{"code": "428193"#),
        (JSON, r#"{"428193"}"#),
        (JSON, "428193"),
        (FORM, "code=428193&code=428193"),
        (FORM, "428193=%ff"),
        (None, "428193"),
    ];
    for (content_type, body) in bodies {
        let refused = refusal(content_type, body.as_bytes());
        assert!(!format!("{refused} {refused:?}").contains("428193"), "{body}");
    }
    let received = Received::from_bytes(Accepts::Json, JSON, br#"{"count": "428193"}"#).unwrap();
    let refused = received.decode::<Typed>().unwrap_err();
    assert!(!format!("{refused} {refused:?}").contains("428193"));
}

fn headers(content_type: &[&'static str]) -> HeaderMap {
    content_type.iter().map(|value| (http::header::CONTENT_TYPE, HeaderValue::from_static(value))).collect()
}

#[tokio::test]
async fn st_46_no_more_than_64_kib_are_read() {
    let json = headers(&["application/json"]);
    let fitting = format!(r#"{{"code": "{}"}}"#, "x".repeat(LIMIT - 12));
    assert_eq!(fitting.len(), LIMIT);
    let received = Received::read(Accepts::Json, &json, Body::from(fitting.clone())).await.unwrap();
    assert_eq!(received.decode::<Strict<'_>>().unwrap().code.len(), LIMIT - 12);
    for body in [format!("{fitting} "), "x".repeat(1024 * 1024)] {
        let (bounded, progress) = Bounded::new(Body::from(body.clone()), LIMIT);
        let read = Received::read(Accepts::Json, &json, Body::new(bounded)).await;
        assert_eq!(read.unwrap_err(), BodyError::TooLarge);
        assert!(progress.exceeded() && !progress.is_awaited());
        let read = Received::read(Accepts::Json, &json, Body::from(body.clone())).await;
        assert_eq!(read.unwrap_err(), BodyError::TooLarge);
        assert_eq!(Received::from_bytes(Accepts::Json, JSON, body.as_bytes()).unwrap_err(), BodyError::TooLarge);
    }
}

#[tokio::test]
async fn what_is_compressed_or_called_two_things_is_refused() {
    let body = || Body::from("{}");
    assert!(Received::read(Accepts::Json, &headers(&["application/json"]), body()).await.is_ok());
    let twice = headers(&["application/json", "text/plain"]);
    assert_eq!(Received::read(Accepts::Json, &twice, body()).await.unwrap_err(), BodyError::ContentType);
    for (encoding, expected) in [("gzip", Err(BodyError::ContentEncoding)), ("identity", Ok(()))] {
        let mut encoded = headers(&["application/json"]);
        encoded.insert("content-encoding", HeaderValue::from_static(encoding));
        assert_eq!(Received::read(Accepts::Json, &encoded, body()).await.map(drop), expected);
        assert!(Received::read(Accepts::Json, &encoded, Body::empty()).await.is_ok());
    }
}

proptest! {
    #[test]
    fn nothing_makes_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        for content_type in [JSON, FORM, None] {
            if let Ok(received) = Received::from_bytes(Accepts::JsonOrForm, content_type, &bytes) {
                let _ = received.decode::<Lenient<'_>>();
                let _ = received.decode::<Strict<'_>>();
                let _ = received.decode::<Typed>();
            }
        }
    }

    #[test]
    fn almost_json_does_not_make_it_panic_and_is_never_quoted(
        body in r#"[{}\[\]",:\\u ]{0,12}("code"|"c\\u006fde"|code)[:=" ]{0,3}("428193"|428193|\[428193)[{}\[\]",:\\ ]{0,12}"#,
    ) {
        for content_type in [JSON, FORM] {
            let received = Received::from_bytes(Accepts::JsonOrForm, content_type, body.as_bytes()).unwrap();
            if let Err(refused) = received.decode::<Strict<'_>>() {
                let said = format!("{refused} {refused:?}");
                prop_assert!(!said.contains("428193"));
            }
        }
    }

    #[test]
    fn any_text_survives_json_and_form(text in any::<String>()) {
        let json = serde_json::to_vec(&serde_json::json!({ "code": text })).unwrap();
        prop_assert_eq!(code_of(JSON, &json).unwrap(), text.clone());
        let escaped: Vec<String> = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let form = format!("code={}", escaped.concat());
        prop_assert_eq!(code_of(FORM, form.as_bytes()).unwrap(), text);
    }
}
