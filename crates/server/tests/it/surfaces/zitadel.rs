//! The surface of ZITADEL's Auth API, for people whom the authorization server has signed in.

use serde_json::json;
use testkit::server::{Answer, Request};

use super::entry::{Asking, Entry, Live, Owner, Verdict};
use super::hosted::access_token;
use super::stage::Stage;
use super::visitor::Visitor;

const EMAIL: &str = "/auth/v1/users/me/email";
const VERIFY: &str = "/auth/v1/users/me/email/_verify";

pub(crate) const ENTRIES: &[Entry] = &[Entry {
    name: "zitadel",
    dialect: "zitadel",
    verify: VERIFY,
    owner: Owner::Nobody,
    is_public: false,
    is_for_users: true,
    besides: &[],
    ask,
}];

fn ask<'a>(stage: &'a Stage, visitor: &'a mut Visitor, address: &'a str) -> Asking<'a> {
    Box::pin(async move {
        let person = stage.person().await;
        let token = access_token(stage, visitor, &person).await;
        visitor.answers.clear();
        visitor.cookies.clear();
        let bearer = |token: &str| format!("Bearer {token}");
        let change = visitor.json("PUT", EMAIL, json!({"email": address})).header("authorization", &bearer(&token));
        let sent = visitor.send(change).await;
        let again = Request::post(&format!("{EMAIL}/_resend_verification"), "{}");
        let again = again.header("authorization", &bearer(&token));
        let submit = move |name: &str, code: &str| {
            Request::post(VERIFY, json!({"code": code}).to_string()).header("authorization", &bearer(name))
        };
        (sent.status == 200).then(|| Live {
            name: token,
            replaces: Some(person),
            submit: Box::new(submit),
            verdict,
            again,
            signed_in: None,
        })
    })
}

fn verdict(answer: &Answer) -> Verdict {
    let body = answer.json();
    match (answer.status, body["details"][0]["id"].as_str()) {
        (200, None) => Verdict::Passed,
        (400, Some("COMMAND-Gdsgs")) => Verdict::Wrong,
        (400 | 401 | 404, _) => Verdict::Refused,
        _ => panic!("{}", answer.whole()),
    }
}
