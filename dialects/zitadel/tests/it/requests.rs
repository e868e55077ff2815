//! What strangers send.

use http::Method;
use serde_json::json;

use crate::support::{ADA, BOB, Mounted, RESEND, VERIFY, with_headers};

/// A wrong code that was compared.
const COMPARED: (u16, u64, &str) = (400, 3, "COMMAND-Gdsgs");
/// What did not get as far as the rules.
const UNREAD: (u16, u64, &str) = (400, 3, "");

/// Brings `body` to `VerifyMyEmail` with `headers`, while a code is out.
async fn verify(body: impl Into<axum::body::Body>, headers: &[(&str, &str)]) -> crate::support::Answer {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    mounted.set(&ada.token, BOB).await.ok();
    let authorization = format!("Bearer {}", ada.token);
    let headers: Vec<_> =
        [("authorization", authorization.as_str())].into_iter().chain(headers.iter().copied()).collect();
    mounted.ask(with_headers(Method::POST, VERIFY, &headers, body)).await
}

#[tokio::test]
async fn a_body_is_json_whatever_it_calls_itself() {
    for content_type in [
        "application/json",
        "text/plain",
        "application/grpc",
        "application/grpc-web+proto",
        "application/x-www-form-urlencoded",
        "nonsense",
    ] {
        let answer = verify(r#"{"code":"000000"}"#, &[("content-type", content_type)]).await;
        assert_eq!(answer.error(), (COMPARED.0, COMPARED.1, COMPARED.2.to_owned()), "{content_type}");
    }
    let (status, code, id) = COMPARED;
    verify(r#"{"code":"000000"}"#, &[]).await.refused(status, code, id);
    verify(r#"{"code":"000000"}"#, &[("content-type", "a/b"), ("content-type", "c/d")]).await.refused(status, code, id);
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_and_not_quoted() {
    for body in [
        r#"{"code":"#,
        r#"{"code":123456}"#,
        r#"{"code":["123456"]}"#,
        r#"{"code":{"code":"123456"}}"#,
        r#"{"code":"123456","code":"123456"}"#,
        r#"{"code":"123456"} x"#,
        "null",
        "[]",
        "code=123456",
        "\"123456\"",
        "\u{0}\u{0}\u{0}\u{0}\u{8}\n\u{6}123456",
    ] {
        let answer = verify(body, &[("content-type", "application/json")]).await.refused(UNREAD.0, UNREAD.1, UNREAD.2);
        assert!(!answer.body.contains("123456"), "{}", answer.body);
        assert!(!answer.body.contains("details"), "{}", answer.body);
    }
    let answer = verify(vec![0xff, 0xfe], &[]).await.refused(UNREAD.0, UNREAD.1, UNREAD.2);
    assert_eq!(answer.header("content-type"), "application/json");
}

#[tokio::test]
async fn what_is_not_known_is_ignored_and_what_is_not_there_is_empty() {
    let (status, code, id) = COMPARED;
    verify(r#"{"code":"000000","other":[{"code":1}],"Code":"x"}"#, &[]).await.refused(status, code, id);
    for body in ["", "{}", r#"{"code":null}"#, r#"{"code":""}"#, r#"{"Code":"000000"}"#] {
        let answer = verify(body, &[]).await.refused(UNREAD.0, UNREAD.1, UNREAD.2);
        assert!(answer.json()["message"].as_str().unwrap().starts_with("invalid VerifyMyEmailRequest.Code: "));
    }
}

#[tokio::test]
async fn a_body_is_read_before_the_token_is_looked_at_and_the_token_before_what_the_body_says() {
    let mounted = Mounted::new().await;
    let ask = |body: &'static str| mounted.ask(with_headers(Method::POST, VERIFY, &[], body));
    ask(r#"{"code":"#).await.refused(400, 3, "");
    ask("{}").await.refused(401, 16, "");
    ask(r#"{"code":"000000"}"#).await.refused(401, 16, "");
}

#[tokio::test]
async fn st_46_a_body_that_is_too_large_or_compressed_is_not_read() {
    let large = format!(r#"{{"code":"{}"}}"#, "A".repeat(100_000));
    let answer = verify(large, &[]).await.refused(413, 3, "");
    assert_eq!(answer.header("set-cookie"), "");
    verify(r#"{"code":"000000"}"#, &[("content-encoding", "gzip")]).await.refused(415, 3, "");
    let deep = format!(r#"{{"other":{}{}}}"#, "[".repeat(100), "]".repeat(100));
    verify(deep, &[]).await.refused(400, 3, "");
}

#[tokio::test]
async fn a_resend_needs_no_body_but_reads_one() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    mounted.set(&ada.token, BOB).await.ok();
    for body in ["", "{}", r#"{"email":"x@example.com"}"#] {
        mounted.pass(5);
        mounted.post(&ada.token, RESEND, body).await.ok();
    }
    mounted.post(&ada.token, RESEND, "[]").await.refused(400, 3, "");
    assert_eq!(mounted.shown(&ada.token).await, (BOB.to_owned(), false));
}

#[tokio::test]
async fn st_60_no_answer_is_kept_by_anybody() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    mounted.set(&ada.token, BOB).await.ok();
    let answers = [
        mounted.email(&ada.token).await.ok(),
        mounted.email("x").await,
        mounted.verify(&ada.token, "000000").await,
        mounted.verify(&ada.token, &mounted.code(BOB).await).await.ok(),
    ];
    for answer in answers {
        let headers = ["cache-control", "pragma", "expires", "x-robots-tag", "vary", "content-type"];
        let seen = headers.map(|name| answer.header(name).to_owned());
        assert_eq!(seen, ["no-store", "no-cache", "0", "none", "Origin", "application/json"]);
        assert_eq!(answer.header("set-cookie"), "");
    }
}

#[tokio::test]
async fn a_code_and_a_token_are_in_no_answer() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    let set = mounted.set(&ada.token, BOB).await.ok();
    let code = mounted.code(BOB).await;
    let answers = [
        set,
        mounted.email(&ada.token).await,
        mounted.post(&ada.token, VERIFY, &json!({"code": code, "other": 1}).to_string().replace('}', ",")).await,
        mounted.post(&ada.token, VERIFY, &json!({"code": [code]}).to_string()).await,
        mounted.verify(&ada.token, &code).await.ok(),
        mounted.verify(&ada.token, &code).await,
    ];
    for answer in answers {
        let text = answer.to_string();
        assert!(!text.contains(&code) && !text.contains(&ada.token), "{text}");
    }
}
