//! What strangers send: in either shape, in neither, and in both at once.

use http::Method;
use serde_json::{Value, json};
use testkit::world::unlimited;

use crate::support::{ADA, Browser, Kind, Mounted, Shape, post_form, post_json, telling, with_headers};

const SIGN_IN: &str = "/auth/signin";
const SIGN_UP: &str = "/auth/signup";
const PREPARE: &str = "/auth/prepare-verification";
const VERIFY: &str = "/auth/attempt-verification";

async fn json_to(browser: &Browser<'_>, path: &str, body: Value) -> crate::support::Answer {
    browser.ask(post_json(path, &body)).await
}

/// Fails unless a body is refused, in an envelope that shows the session.
async fn is_refused(browser: &Browser<'_>, path: &str, content_type: &str, body: &str, status: u16) {
    let request = with_headers(Method::POST, path, &[("content-type", content_type)], body.to_owned());
    let answer = browser.ask(request).await.refused(status, "BAD_REQUEST_BODY");
    assert!(answer.session()["id"].is_string(), "{path}: the session is shown");
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused_in_the_envelope() {
    const JSON: &str = "application/json";
    const FORM: &str = "application/x-www-form-urlencoded";
    const PARTS: &str = "multipart/form-data; boundary=x";
    let mounted = Mounted::new().await;
    let browser = mounted.browser();
    for path in [SIGN_IN, SIGN_UP, PREPARE, VERIFY, "/session/sign-out", "/auth/identify"] {
        for body in ["{", "[]", "null", "\"x\""] {
            is_refused(&browser, path, JSON, body, 400).await;
        }
        is_refused(&browser, path, FORM, "email=%ff", 400).await;
        is_refused(&browser, path, PARTS, "--x\r\n", 400).await;
        let file = "--x\r\nContent-Disposition: form-data; name=\"email\"; filename=\"a\"\r\n\r\n\r\n--x--";
        is_refused(&browser, path, PARTS, file, 400).await;
        for content_type in ["multipart/form-data", "text/plain", ""] {
            is_refused(&browser, path, content_type, "{}", 415).await;
        }
        is_refused(&browser, path, JSON, &json!({"email": "a".repeat(70_000)}).to_string(), 413).await;
        let compressed = [("content-type", JSON), ("content-encoding", "gzip")];
        browser.ask(with_headers(Method::POST, path, &compressed, "{}")).await.refused(415, "BAD_REQUEST_BODY");
    }
    for path in [SIGN_IN, SIGN_UP] {
        for body in [
            r#"{"email": 7}"#,
            r#"{"email": ["a@example.com"]}"#,
            r#"{"email": "a@example.com", "email": "b@example.com"}"#,
        ] {
            is_refused(&browser, path, JSON, body, 400).await;
        }
        is_refused(&browser, path, FORM, "email=a&email=b", 400).await;
    }
}

#[tokio::test]
async fn a_sign_in_needs_a_strategy_that_is_served_and_an_address() {
    let mounted = Mounted::new().await;
    for shape in Shape::ALL {
        let browser = mounted.browser_that_speaks(shape);
        for fields in [
            &[("email", ADA)][..],
            &[("strategy", ""), ("email", ADA)],
            &[("strategy", "undefined"), ("email", ADA)],
            &[("strategy", "phone_otp"), ("phone", "+4930123456")],
            &[("strategy", "magic_link"), ("email", ADA)],
            &[("strategy", "plain_email"), ("email", ADA), ("password", "x")],
            &[("strategy", "email_otp")],
            &[("strategy", "email_otp"), ("email", "undefined")],
            &[("strategy", "email_otp"), ("email", "nobody")],
            &[("strategy", "email_otp"), ("email", "a@example.com, b@example.com")],
        ] {
            browser.post(SIGN_IN, fields).await.refused(400, "VALIDATION_ERROR");
        }
        let fields = [
            ("strategy", "email_otp"),
            ("email", " ADA@Example.COM"),
            ("phone", "undefined"),
            ("challenge_token", "x"),
        ];
        let answer = browser.post(SIGN_IN, &fields).await.ok();
        assert_eq!(answer.session()["signin_attempts"][0]["email"], ADA);
    }
    let phones = mounted.browser().post(SIGN_IN, &[("strategy", "phone_otp")]).await;
    assert!(phones.json()["message"].as_str().unwrap().starts_with("Text messages are not sent here yet"));
}

#[tokio::test]
async fn a_sign_up_needs_an_address_and_refuses_what_it_would_not_keep() {
    let mounted = Mounted::new().await;
    for shape in Shape::ALL {
        let browser = mounted.browser_that_speaks(shape);
        browser.post(SIGN_UP, &[]).await.refused(400, "REQUIRED_FIELD");
        browser.post(SIGN_UP, &[("email", "undefined")]).await.refused(400, "REQUIRED_FIELD");
        browser.post(SIGN_UP, &[("email", "nobody")]).await.refused(400, "VALIDATION_ERROR");
        for field in ["password", "username", "phone_number"] {
            browser.post(SIGN_UP, &[("email", ADA), (field, "x")]).await.refused(400, "VALIDATION_ERROR");
            browser.post(SIGN_UP, &[("email", ADA), (field, "undefined")]).await.ok();
        }
        let long = "x".repeat(257);
        browser.post(SIGN_UP, &[("email", ADA), ("last_name", &long)]).await.refused(400, "VALIDATION_ERROR");
        let answer = browser.post(SIGN_UP, &[("email", ADA), ("first_name", "Ada"), ("last_name", "King")]).await.ok();
        let shown = answer.session()["signup_attempts"].as_array().unwrap().last().unwrap().clone();
        assert_eq!((&shown["first_name"], &shown["last_name"]), (&json!("Ada"), &json!("King")));
    }
    let closed = Mounted::with(engine::Policy { sign_up: false, ..unlimited() }, "").await;
    closed.browser().open(Kind::SignUp, ADA).await.refused(403, "SIGNUP_RESTRICTED");
    let deployment = closed.browser().get("/deployment").await.ok().json();
    assert_eq!(deployment["data"]["restrictions"]["sign_up_mode"], "restricted");
}

#[tokio::test]
async fn an_attempt_is_named_once_and_the_body_wins() {
    let mounted = Mounted::new().await;
    let browser = mounted.browser();
    let attempt = browser.prepared(Kind::SignUp, ADA).await;
    let code = mounted.code(ADA).await;
    let (id, other) = (&attempt.id, "123456789");
    for (query, body) in [
        (String::new(), json!({"code": code})),
        (String::new(), json!({"signup_attempt_id": id, "signin_attempt_id": id, "code": code})),
        (String::new(), json!({"signup_attempt_id": "", "code": code})),
        (format!("?attempt_identifier={id}"), json!({"code": code})),
        (format!("?attempt_identifier={id}&identifier_type=oauth"), json!({"code": code})),
        ("?attempt_identifier=&identifier_type=signup".to_owned(), json!({"code": code})),
        (format!("?attempt_identifier={id}&identifier_type=signup"), json!({"signup_attempt_id": other, "code": code})),
        (format!("?attempt_identifier={id}&identifier_type=signup"), json!({"signin_attempt_id": id, "code": code})),
    ] {
        json_to(&browser, &format!("{VERIFY}{query}"), body).await.refused(400, "INVALID_ATTEMPT");
    }
    for body in [
        json!({"signup_attempt_id": id}),
        json!({"signup_attempt_id": id, "code": null}),
        json!({"signup_attempt_id": id, "code": " "}),
    ] {
        json_to(&browser, VERIFY, body).await.refused(400, "CODE_REQUIRED");
    }
    for body in [
        json!({"signup_attempt_id": id, "code": 123_456}),
        json!({"signup_attempt_id": id, "code": [code]}),
        json!({"signup_attempt_id": [id], "code": code}),
        json!({"signup_attempt_id": id, "code": code, "verification_code": code}),
    ] {
        json_to(&browser, VERIFY, body).await.refused(400, "BAD_REQUEST_BODY");
    }
    let twice = format!("{VERIFY}?attempt_identifier={id}&attempt_identifier={id}&identifier_type=signup");
    json_to(&browser, &twice, json!({"code": code})).await.refused(400, "BAD_REQUEST_BODY");
    // A number, and the kit's word for the code, in the documented shape.
    let id: i64 = id.parse().unwrap();
    let query = format!("?attempt_identifier={other}&identifier_type=signin");
    json_to(&browser, &format!("{VERIFY}{query}"), json!({"signup_attempt_id": id, "verification_code": code}))
        .await
        .ok();
}

#[tokio::test]
async fn a_preparation_says_how_and_nothing_that_does_not_fit() {
    let mounted = Mounted::new().await;
    let browser = mounted.browser();
    for kind in Kind::ALL {
        let attempt = browser.open(kind, ADA).await.ok().attempt(kind);
        let named = format!("{PREPARE}?attempt_identifier={}&identifier_type={}", attempt.id, kind.name());
        browser.ask(post_form(&named, &[])).await.refused(400, "VERIFICATION_STRATEGY_REQUIRED");
        browser.ask(post_form(&format!("{named}&strategy="), &[])).await.refused(400, "VERIFICATION_STRATEGY_REQUIRED");
        for strategy in ["phone_otp", "sms", "magic_link", "authenticator", "x"] {
            browser.ask(post_form(&format!("{named}&strategy={strategy}"), &[])).await.refused(400, "INVALID_STATE");
            let body = json!({format!("{}_attempt_id", kind.name()): attempt.id, "method": strategy});
            json_to(&browser, PREPARE, body).await.refused(400, "INVALID_STATE");
        }
        for strategy in ["email_otp", "email", "verify_email"] {
            browser.ask(post_form(&format!("{named}&strategy={strategy}"), &[("challenge_token", "")])).await.ok();
        }
    }
}

#[tokio::test]
async fn forms_and_json_are_taken_on_the_same_route() {
    let mounted = Mounted::new().await;
    let browser = mounted.browser();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = "strategy=email_otp&email=ada%2Bx%40example.com";
    let answer = browser.ask(with_headers(Method::POST, SIGN_IN, &form, body)).await.ok();
    assert_eq!(answer.session()["signin_attempts"][0]["email"], "ada+x@example.com");
}

#[tokio::test]
async fn availability_tells_in_development_only() {
    for (policy, tells) in [(unlimited(), false), (telling(), true)] {
        let mounted = Mounted::with(policy, r#"mode = "staging""#).await;
        mounted.has_account(ADA).await;
        let browser = mounted.browser();
        let path = "/auth/identifier-availability";
        for (email, has_account) in [(ADA, true), ("bob@example.com", false), ("nobody", false)] {
            let exists = has_account && tells;
            let expected =
                json!({"exists": exists, "available": !exists, "identifier_type": "email", "identifier": email});
            for answer in [
                browser.get(&format!("{path}?identifier={email}&type=email")).await,
                json_to(&browser, path, json!({"email": email})).await,
                browser.post(path, &[("email", email)]).await,
            ] {
                assert_eq!(answer.ok().json()["data"], expected);
            }
        }
        let username = browser.get(&format!("{path}?identifier=ada&type=username")).await.ok();
        assert_eq!(username.json()["data"]["exists"], false);
        for query in ["", "?type=email", "?identifier=ada@example.com", "?identifier=x&type=phone"] {
            browser.get(&format!("{path}{query}")).await.refused(400, "MISSING_IDENTIFIER");
        }
        let taken = browser.open(Kind::SignUp, ADA).await;
        if tells {
            taken.refused(400, "EMAIL_EXISTS");
        } else {
            taken.ok();
        }
        let known = browser.post("/auth/identify", &[("identifier", ADA)]).await.ok().json();
        let unknown = browser.post("/auth/identify", &[("identifier", "x")]).await.ok().json();
        assert_eq!(
            (&known["data"], &unknown["data"]),
            (&json!({"strategy": "password"}), &json!({"strategy": "password"}))
        );
    }
}
