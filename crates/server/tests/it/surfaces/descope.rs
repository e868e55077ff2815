//! The surface of Descope's API.

use serde_json::{Value, json};
use testkit::server::{Answer, Request};

use super::entry::{Asking, Entry, Live, Owner, Verdict};
use super::stage::{DEVELOPMENT, Stage};
use super::visitor::Visitor;

const VERIFY: &str = "/v1/auth/otp/verify/email";

pub(crate) const ENTRIES: &[Entry] = &[
    Entry {
        name: "descope otp",
        dialect: "descope",
        verify: VERIFY,
        owner: Owner::Anybody,
        is_public: true,
        is_for_users: false,
        besides: &[],
        ask: |stage, visitor, address| Box::pin(sign_in(stage, "/v1/auth/otp/signup-in/email", visitor, address)),
    },
    Entry {
        name: "descope update",
        dialect: "descope",
        verify: VERIFY,
        owner: Owner::Nobody,
        is_public: false,
        is_for_users: true,
        besides: &[],
        ask: update,
    },
];

/// The doors that lead to the same flow as the first entry: the same address, the same answers.
pub(crate) const OTHER_DOORS: &[Entry] = &[
    Entry {
        name: "descope sign-in",
        ask: |stage, visitor, address| Box::pin(sign_in(stage, "/v1/auth/otp/signin/email", visitor, address)),
        ..ENTRIES[0]
    },
    Entry {
        name: "descope sign-up",
        ask: |stage, visitor, address| Box::pin(sign_in(stage, "/v1/auth/otp/signup/email", visitor, address)),
        ..ENTRIES[0]
    },
];

/// The project that other surfaces serve, too.
const fn project(stage: &Stage) -> &'static str {
    if stage.is_served() { "main" } else { DEVELOPMENT }
}

/// Asks for a code in a project.
pub(crate) async fn in_project(project: &str, stage: &Stage, address: &str) -> Live {
    start(project, "/v1/auth/otp/signup-in/email", &mut stage.visitor(), address).await.unwrap()
}

async fn sign_in(stage: &Stage, path: &str, visitor: &mut Visitor, address: &str) -> Option<Live> {
    start(project(stage), path, visitor, address).await
}

async fn start(project: &str, path: &str, visitor: &mut Visitor, address: &str) -> Option<Live> {
    let bearer = format!("Bearer {project}");
    let again = visitor.json("POST", path, json!({"loginId": address})).header("authorization", &bearer);
    let sent = visitor.send(again.clone()).await;
    (sent.status == 200).then(|| live(address, bearer, again))
}

fn update<'a>(stage: &'a Stage, visitor: &'a mut Visitor, address: &'a str) -> Asking<'a> {
    Box::pin(async move {
        let person = stage.person().await;
        let signing_in = sign_in(stage, "/v1/auth/otp/signup-in/email", visitor, &person).await.unwrap();
        let code = stage.code_to(&person).await;
        let session = visitor.send_as_is(&signing_in.bring(&code)).await.json();
        stage.proved(&signing_in, &person);
        visitor.answers.clear();
        let bearer = format!("Bearer {}:{}", project(stage), session["refreshJwt"].as_str().unwrap());
        let body = json!({"loginId": person, "email": address});
        let again = visitor.json("POST", "/v1/auth/otp/update/email", body).header("authorization", &bearer);
        let sent = visitor.send(again.clone()).await;
        let replaces = Some(person.clone());
        (sent.status == 200).then(|| Live { replaces, ..live(&person, bearer, again) })
    })
}

fn live(login_id: &str, bearer: String, again: Request) -> Live {
    let submit = move |name: &str, code: &str| {
        Request::post(VERIFY, json!({"loginId": name, "code": code}).to_string()).header("authorization", &bearer)
    };
    Live { name: login_id.to_owned(), replaces: None, submit: Box::new(submit), verdict, again, signed_in: None }
}

fn verdict(answer: &Answer) -> Verdict {
    let body = answer.json();
    match (answer.status, &body["sessionJwt"], body["errorCode"].as_str()) {
        (200, Value::String(_), None) => Verdict::Passed,
        (401, Value::Null, Some("E061102")) => Verdict::Wrong,
        (400 | 401, Value::Null, Some(_)) => Verdict::Refused,
        _ => panic!("{}", answer.whole()),
    }
}
