//! The surface of Wacht.

use serde_json::{Value, json};
use testkit::server::{Answer, Request};

use super::entry::{Entry, Live, Owner, SignedIn, Verdict};
use super::visitor::{Visitor, with_cookies};

const VERIFY: &str = "/auth/attempt-verification";
/// What carries a session where pages of other sites are tried out: in `dev`.
const SESSION: &str = "x-development-session";

pub(crate) const ENTRIES: &[Entry] = &[
    Entry {
        name: "wacht sign-in",
        dialect: "wacht",
        verify: "signin_attempt_id",
        owner: Owner::Somebody,
        is_public: false,
        is_for_users: false,
        besides: &[],
        ask: |_, visitor, address| Box::pin(ask("signin", visitor, address)),
    },
    Entry {
        name: "wacht sign-up",
        dialect: "wacht",
        verify: "signup_attempt_id",
        owner: Owner::Anybody,
        is_public: false,
        is_for_users: false,
        besides: &[],
        ask: |_, visitor, address| Box::pin(ask("signup", visitor, address)),
    },
];

async fn ask(kind: &'static str, visitor: &mut Visitor, address: &str) -> Option<Live> {
    let body = json!({"strategy": "email_otp", "email": address});
    let open = visitor.json("POST", &format!("/auth/{kind}"), body);
    let opened = visitor.send(open).await;
    let attempts = opened.json()["data"][format!("{kind}_attempts")].clone();
    let name = attempts.as_array()?.last().unwrap()["id"].as_str().unwrap().to_owned();
    let session = opened.header(SESSION).map(str::to_owned);
    let cookies = visitor.cookies.clone();
    let before = cookies.clone();
    let with_session = move |request: Request| match &session {
        Some(session) => request.header(SESSION, session),
        None => with_cookies(request, &cookies),
    };
    let field = format!("{kind}_attempt_id");
    let body = json!({&field: name, "method": "email"});
    let prepare = visitor.json("POST", "/auth/prepare-verification", body);
    let again = with_session(prepare.clone());
    let prepare = if before.is_empty() { again.clone() } else { prepare };
    assert_eq!(visitor.send(prepare).await.json()["data"]["otp_sent"], true);
    let submit = move |name: &str, code: &str| {
        with_session(Request::post(VERIFY, json!({&field: name, "code": code}).to_string()))
    };
    let is_active = |answer: &Answer| answer.json()["session"]["active_signin"].is_object();
    let signed_in =
        (!before.is_empty()).then(|| SignedIn { path: "/session".to_owned(), is: is_active, before: before.clone() });
    Some(Live { name, replaces: None, submit: Box::new(submit), verdict, again, signed_in })
}

fn verdict(answer: &Answer) -> Verdict {
    let body = answer.json();
    match (answer.status, &body["session"]["active_signin"], body["errors"][0]["code"].as_str()) {
        (200, Value::Object(_), None) => Verdict::Passed,
        (400, Value::Null, Some("INVALID_CODE")) => Verdict::Wrong,
        (400 | 403 | 429, Value::Null, Some(_)) => Verdict::Refused,
        _ => panic!("{}", answer.whole()),
    }
}
