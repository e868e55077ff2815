//! Forms in parts, as browsers send them and as nobody should.

use proptest::prelude::*;
use serde::Deserialize;
use web::body::{Kind, LIMIT};
use web::{Accepts, BodyError, Received, Text};

const MULTIPART: Option<&str> = Some("multipart/form-data; boundary=----formdata-undici-0123456789");

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Request<'a> {
    #[serde(borrow)]
    email: Option<Text<'a>>,
    #[serde(borrow, alias = "verification_code")]
    code: Option<Text<'a>>,
    count: Option<u8>,
}

/// A body of `parts`, each of which is a header and a text.
fn body(parts: &[(&str, &str)]) -> String {
    let mut body = String::new();
    for (disposition, text) in parts {
        body += "------formdata-undici-0123456789\r\nContent-Disposition: form-data";
        body += disposition;
        body += "\r\n\r\n";
        body += text;
        body += "\r\n";
    }
    body + "------formdata-undici-0123456789--\r\n"
}

fn received(bytes: &[u8]) -> Result<Received, BodyError> {
    Received::from_bytes(Accepts::JsonOrAnyForm, MULTIPART, bytes)
}

#[test]
fn fields_are_read_as_those_of_a_form_are() {
    let parts = [("; name=\"email\"", "a+b%40@example.com"), ("; name=\"other\"", ""), ("; name=\"count\"", "7")];
    let received = received(body(&parts).as_bytes()).unwrap();
    assert_eq!(received.kind(), Kind::Multipart);
    let request: Request<'_> = received.decode().unwrap();
    assert_eq!(request.email.as_deref(), Some("a+b%40@example.com"), "nothing in it is escaped");
    assert_eq!((request.code, request.count), (None, Some(7)));
}

#[test]
fn an_empty_form_is_an_empty_object() {
    for empty in [body(&[]), body(&[]).trim_end().to_owned()] {
        let received = received(empty.as_bytes()).unwrap();
        assert_eq!(received.decode::<Request<'_>>().unwrap(), Request::default());
    }
    assert!(received(b"").unwrap().decode::<Request<'_>>().is_ok());
}

#[test]
fn st_15_a_field_given_twice_is_refused_under_whichever_names() {
    for second in ["code", "verification_code"] {
        let second = format!("; name=\"{second}\"");
        let received = received(body(&[("; name=\"code\"", "1"), (&second, "2")]).as_bytes()).unwrap();
        let refused = received.decode::<Request<'_>>().unwrap_err();
        assert_eq!(refused, BodyError::Duplicate { field: "code".into() });
    }
}

#[test]
fn what_is_no_text_field_is_refused() {
    let wrong = BodyError::WrongType { position: None };
    for part in ["; name=\"email\"; filename=\"a.txt\"", "; name=\"email\"; filename=\"\"", "", "; filename=\"a\""] {
        assert_eq!(received(body(&[(part, "x")]).as_bytes()).unwrap_err(), wrong, "{part:?}");
    }
    let latin = body(&[("; name=\"email\"", "J?rgen")]).replace('?', "\u{1}").into_bytes();
    let latin: Vec<_> = latin.into_iter().map(|byte| if byte == 1 { 0xfc } else { byte }).collect();
    assert_eq!(received(&latin).unwrap_err(), BodyError::Encoding);
}

#[test]
fn a_body_that_stops_anywhere_is_refused() {
    let whole = body(&[("; name=\"email\"", "a@example.com"), ("; name=\"code\"", "428193")]);
    let whole = whole.trim_end();
    for end in 1..whole.len() {
        let cut = received(&whole.as_bytes()[..end]);
        assert!(matches!(cut, Err(BodyError::Interrupted | BodyError::WrongType { .. })), "{end}: {cut:?}");
    }
}

#[test]
fn it_is_read_only_where_it_is_asked_for_and_has_a_boundary() {
    let body = body(&[("; name=\"code\"", "1")]);
    for accepts in [Accepts::Json, Accepts::Form, Accepts::JsonOrForm] {
        let refused = Received::from_bytes(accepts, MULTIPART, body.as_bytes());
        assert_eq!(refused.unwrap_err(), BodyError::ContentType, "{accepts:?}");
    }
    for content_type in ["multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=x"] {
        let refused = Received::from_bytes(Accepts::JsonOrAnyForm, Some(content_type), body.as_bytes());
        assert_eq!(refused.unwrap_err(), BodyError::ContentType, "{content_type}");
    }
    let charset = "multipart/form-data; charset=latin1; boundary=----formdata-undici-0123456789";
    let refused = Received::from_bytes(Accepts::JsonOrAnyForm, Some(charset), body.as_bytes());
    assert_eq!(refused.unwrap_err(), BodyError::ContentType);
    for (content_type, bytes) in
        [("application/json", r#"{"code":"1"}"#), ("application/x-www-form-urlencoded", "code=1")]
    {
        let received = Received::from_bytes(Accepts::JsonOrAnyForm, Some(content_type), bytes.as_bytes()).unwrap();
        assert_eq!(received.decode::<Request<'_>>().unwrap().code.as_deref(), Some("1"));
    }
}

#[test]
fn it_is_bounded_as_every_body_is() {
    let long = body(&[("; name=\"code\"", &"1".repeat(LIMIT))]);
    assert_eq!(received(long.as_bytes()).unwrap_err(), BodyError::TooLarge);
    let many: Vec<_> = std::iter::repeat_n(("; name=\"a\"", ""), 700).collect();
    assert!(received(body(&many).as_bytes()).unwrap().decode::<Request<'_>>().is_ok());
}

#[test]
fn nothing_it_says_holds_what_was_sent() {
    for bytes in [body(&[("; name=\"428193\"; filename=\"428193\"", "428193")]), body(&[("; name=\"code\"", "428193")])]
    {
        let told = match received(bytes.as_bytes()) {
            Ok(received) => format!("{received:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!told.contains("428193"), "{told}");
    }
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), part in ".{0,40}") {
        if let Ok(received) = received(&bytes) {
            let _ = received.decode::<Request<'_>>();
        }
        if let Ok(received) = received(body(&[(&part, "x")]).as_bytes()) {
            let _ = received.decode::<Request<'_>>();
        }
    }
}
