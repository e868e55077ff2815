//! The surface of Ory Kratos: three kinds of flows, of native clients and of scripts of a page.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use testkit::server::{Answer, Request};

use super::entry::{Entry, Live, Owner, SignedIn, Verdict};
use super::visitor::{Visitor, escaped, with_cookies};

/// What `serve` is told.
pub(crate) const CONFIGURATION: &str = "[dialects.kratos]\nconfig = \"kratos.yml\"\n";

/// Its own file, and the schema beside it.
pub(crate) const FILES: &[(&str, &str)] = &[("kratos.yml", FILE), ("person.json", SCHEMA)];

const FILE: &str = r#"
selfservice:
  default_browser_return_url: https://ui.test/
  methods: {code: {enabled: true, passwordless_enabled: true}}
  flows:
    error: {ui_url: https://ui.test/error}
    login: {ui_url: https://ui.test/login}
    registration: {enabled: true, ui_url: https://ui.test/registration, after: {hooks: [{hook: session}]}}
    verification: {enabled: true, ui_url: https://ui.test/verification}
identity: {default_schema_id: person, schemas: [{id: person, url: "file://person.json"}]}
"#;

const SCHEMA: &str = r#"{"properties": {"traits": {"properties": {"email": {"type": "string", "ory.sh/kratos": {
    "credentials": {"code": {"identifier": true, "via": "email"}}, "verification": {"via": "email"}}}}}}}"#;

const VERIFICATION: Entry = Entry {
    name: "kratos verification",
    dialect: "kratos",
    verify: "/self-service/verification",
    owner: Owner::Somebody,
    is_public: false,
    is_for_users: false,
    besides: &[],
    ask: |_, visitor, address| Box::pin(ask("verification", Way::Api, visitor, address)),
};

const LOGIN: Entry = Entry {
    name: "kratos login",
    verify: "/self-service/login",
    ask: |_, visitor, address| Box::pin(ask("login", Way::Api, visitor, address)),
    ..VERIFICATION
};

const REGISTRATION: Entry = Entry {
    name: "kratos registration",
    verify: "/self-service/registration",
    owner: Owner::Anybody,
    ask: |_, visitor, address| Box::pin(ask("registration", Way::Api, visitor, address)),
    ..VERIFICATION
};

pub(crate) const ENTRIES: &[Entry] = &[
    VERIFICATION,
    LOGIN,
    REGISTRATION,
    Entry {
        name: "kratos login in a browser",
        ask: |_, visitor, address| Box::pin(ask("login", Way::Browser, visitor, address)),
        ..LOGIN
    },
    Entry {
        name: "kratos registration in a browser",
        ask: |_, visitor, address| Box::pin(ask("registration", Way::Browser, visitor, address)),
        ..REGISTRATION
    },
];

/// Who asks.
#[derive(Clone, Copy)]
enum Way {
    /// A native client.
    Api,
    /// A script of a page.
    Browser,
}

async fn ask(kind: &'static str, way: Way, visitor: &mut Visitor, address: &str) -> Option<Live> {
    let way = match way {
        Way::Api => "api",
        Way::Browser => "browser",
    };
    let begin = Request::get(&format!("/self-service/{kind}/{way}")).header("accept", "application/json");
    let flow = visitor.send(begin).await;
    let flow = (flow.status == 200).then(|| flow.json())?;
    let name = flow["id"].as_str().unwrap().to_owned();
    let nodes = flow["ui"]["nodes"].as_array().unwrap();
    let token = nodes.iter().find(|node| node["attributes"]["name"] == "csrf_token");
    let body = match kind {
        "verification" => json!({"method": "code", "email": address}),
        "login" => json!({"method": "code", "identifier": address}),
        _ => json!({"method": "code", "traits": {"email": address}}),
    };
    let mut body = body;
    if let Some(token) = token {
        body["csrf_token"] = token["attributes"]["value"].clone();
    }
    let path = move |name: &str| format!("/self-service/{kind}?flow={}", escaped(name));
    let again = visitor.json("POST", &path(&name), body.clone()).header("accept", "application/json");
    visitor.send(again.clone()).await;
    if kind == "verification" {
        // A code beside an address asks for another one.
        body["email"] = Value::Null;
    }
    let cookies = visitor.cookies.clone();
    let again = with_cookies(again, &cookies);
    let signed_in = (!cookies.is_empty()).then(|| SignedIn {
        path: "/sessions/whoami".to_owned(),
        is: |answer| answer.status == 200,
        before: cookies.clone(),
    });
    let submit = move |name: &str, code: &str| {
        let mut body = body.clone();
        body["code"] = code.into();
        let request = Request::post(&path(name), body.to_string()).header("accept", "application/json");
        with_cookies(request, &cookies)
    };
    Some(Live { name, replaces: None, submit: Box::new(submit), verdict, again, signed_in })
}

/// The numbers of what is said of a wrong code.
const WRONG: [u64; 3] = [4_070_006, 4_010_008, 4_040_003];

fn verdict(answer: &Answer) -> Verdict {
    let body = answer.json();
    let messages = body["ui"]["messages"].as_array().into_iter().flatten();
    let said: BTreeSet<_> = messages.filter_map(|message| message["id"].as_u64()).collect();
    let is_passed = body["state"] == "passed_challenge" && said.contains(&1_080_002) && said.len() == 1;
    match answer.status {
        200 if is_passed || body["session"]["id"].is_string() || body["identity"]["id"].is_string() => Verdict::Passed,
        200 | 400 if WRONG.iter().any(|wrong| said.contains(wrong)) => Verdict::Wrong,
        200 => panic!("{}", answer.whole()),
        _ => Verdict::Refused,
    }
}
