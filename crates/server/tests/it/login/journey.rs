//! A sign-in at the login surface, step by step.

use serde_json::{Value, json};
use testkit::mailbox::ReceivedMail;
use testkit::server::{Answer, Client, Request};

pub(crate) const START: &str = "/v1/login";
pub(crate) const VERIFY: &str = "/v1/login/email-code";
pub(crate) const KEYS: &str = "/.well-known/jwks.json";

/// What came of a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A JWT.
    Token(String),
    /// `INVALID_CODE`.
    Invalid,
}

impl Verdict {
    /// What `answer` says.
    pub(crate) fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.whole());
        let body = answer.json();
        if let Some(token) = body["success"]["token"].as_str() {
            assert_eq!(body["failure"], Value::Null);
            return Self::Token(token.to_owned());
        }
        assert_eq!(body["failure"], json!({ "reason": "INVALID_CODE" }));
        Self::Invalid
    }
}

/// Asks for a code, and gives the flow's token.
pub(crate) async fn start(client: &mut Client, email: &str) -> String {
    let answer = client.send(&start_request(email)).await;
    flow_of(&answer)
}

/// The token of the flow that `answer` says was started.
pub(crate) fn flow_of(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.whole());
    let body = answer.json();
    assert_eq!(body["email_code"], json!({}), "{body}");
    body["auth_flow_token"].as_str().unwrap().to_owned()
}

pub(crate) fn start_request(email: &str) -> Request {
    Request::post(START, json!({ "email": email }).to_string())
}

/// Brings `code` back to the flow `token`.
pub(crate) async fn verify(client: &mut Client, token: &str, code: &str) -> Verdict {
    Verdict::of(&client.send(&verify_request(token, code)).await)
}

pub(crate) fn verify_request(token: &str, code: &str) -> Request {
    Request::post(VERIFY, json!({ "auth_flow_token": token, "code": code }).to_string())
}

/// The messages to `email` in the development inbox, newest first.
pub(crate) async fn messages(client: &mut Client, email: &str) -> Vec<Value> {
    let escaped = email.replace('+', "%2B").replace(' ', "%20");
    let answer = client.get(&format!("/dev/messages?to={escaped}")).await;
    assert_eq!(answer.status, 200, "{}", answer.whole());
    answer.json().as_array().unwrap().clone()
}

/// The newest code to `email` in the development inbox.
pub(crate) async fn code_to(client: &mut Client, email: &str) -> String {
    messages(client, email).await[0]["code"].as_str().unwrap().to_owned()
}

/// The code in a mail: the line of its text part that is six digits.
pub(crate) fn code_in(mail: &ReceivedMail) -> String {
    let text = mail.text();
    let is_code = |line: &&str| line.len() == 6 && line.bytes().all(|byte| byte.is_ascii_digit());
    text.lines().map(str::trim).find(is_code).expect("the mail holds a code").to_owned()
}

/// Another code than `code`.
pub(crate) fn other_than(code: &str) -> String {
    let number: u32 = code.parse().unwrap();
    format!("{:06}", (number + 1) % 1_000_000)
}

/// The claims of a JWT, not verified.
pub(crate) fn claims_of(token: &str) -> Value {
    jsonwebtoken::dangerous::insecure_decode::<Value>(token).unwrap().claims
}
