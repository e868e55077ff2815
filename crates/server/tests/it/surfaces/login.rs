//! The login surface.

use serde_json::json;
use testkit::server::{Answer, Request};

use super::entry::{Asking, Entry, Live, Owner, Verdict};
use super::stage::Stage;
use super::visitor::Visitor;

pub(crate) const ENTRIES: &[Entry] = &[Entry {
    name: "login",
    dialect: "login",
    verify: "/v1/login/email-code",
    owner: Owner::Anybody,
    is_public: false,
    is_for_users: false,
    besides: &[],
    ask,
}];

fn ask<'a>(_: &'a Stage, visitor: &'a mut Visitor, address: &'a str) -> Asking<'a> {
    Box::pin(async move {
        let again = visitor.json("POST", "/v1/login", json!({"email": address}));
        let started = visitor.send(again.clone()).await;
        let name = started.json()["auth_flow_token"].as_str()?.to_owned();
        let submit = |name: &str, code: &str| {
            Request::post("/v1/login/email-code", json!({"auth_flow_token": name, "code": code}).to_string())
        };
        Some(Live { name, replaces: None, submit: Box::new(submit), verdict, again, signed_in: None })
    })
}

fn verdict(answer: &Answer) -> Verdict {
    let body = answer.json();
    match (answer.status, body["success"]["token"].as_str(), body["failure"]["reason"].as_str()) {
        (200, Some(_), None) => Verdict::Passed,
        (200, None, Some("INVALID_CODE")) => Verdict::Wrong,
        (400, None, None) => Verdict::Refused,
        _ => panic!("{}", answer.whole()),
    }
}
