//! The sign-in pages, to which the authorization server sends people.

use testkit::server::{Answer, Request};

use super::entry::{Asking, Entry, Live, Owner, SignedIn, Verdict};
use super::stage::Stage;
use super::visitor::{Visitor, escaped, with_cookies};

/// What `serve` is told: an application like one that `dev` comes with.
pub(crate) const CONFIGURATION: &str = r#"
[[dialects.oidc.clients]]
id = "countersign-dev-confidential"
name = "countersign-dev-confidential"
secret = "countersign-dev-secret"
redirect_uris = ["http://127.0.0.1/cb"]
"#;

const BACK: &str = "http://127.0.0.1/cb";
const FLOW: &str = "countersign-flow";

pub(crate) const ENTRIES: &[Entry] = &[Entry {
    name: "sign-in pages",
    dialect: "hosted",
    verify: "/sign-in/code",
    owner: Owner::Anybody,
    is_public: false,
    is_for_users: false,
    // The way back to whoever sent the person.
    besides: &["put_ticket"],
    ask,
}];

pub(crate) fn ask<'a>(_: &'a Stage, visitor: &'a mut Visitor, address: &'a str) -> Asking<'a> {
    Box::pin(async move {
        let query = format!("redirect_uri={}&response_type=code&scope=openid&state=s", escaped(BACK));
        let path = format!("/oauth/v2/authorize?client_id=countersign-dev-confidential&{query}");
        let sign_in = leads_to(&visitor.send(Request::get(&path)).await);
        let page = visitor.send(Request::get(&sign_in)).await;
        let fields = [("request", &hidden(&page, "request")), ("token", &hidden(&page, "token"))];
        let fields = fields.map(|(name, value)| (name, value.as_str()));
        let fields = [fields[0], fields[1], ("email", address)];
        let sent = visitor.send(form("/sign-in", &fields).header("sec-fetch-site", "same-origin")).await;
        if sent.status != 303 {
            return None;
        }
        let page = visitor.send(Request::get("/sign-in/code")).await;
        let token = hidden(&page, "token");
        let cookies = visitor.cookies.clone();
        let again = form("/sign-in/code/resend", &[("token", &token)]).header("sec-fetch-site", "same-origin");
        let again = with_cookies(again, &cookies);
        let name = cookies[FLOW].clone();
        let signed_in =
            SignedIn { path: sign_in, is: |answer| verdict(answer) == Verdict::Passed, before: cookies.clone() };
        let submit = move |name: &str, code: &str| {
            let mut cookies = cookies.clone();
            cookies.insert(FLOW.to_owned(), name.to_owned());
            with_cookies(form("/sign-in/code", &[("token", &token), ("code", code)]), &cookies)
        };
        Some(Live { name, replaces: None, submit: Box::new(submit), verdict, again, signed_in: Some(signed_in) })
    })
}

/// Signs `person` in, and gives the access token that an application gets for it.
#[cfg(feature = "zitadel")]
pub(crate) async fn access_token(stage: &Stage, visitor: &mut Visitor, person: &str) -> String {
    let live = ask(stage, visitor, person).await.unwrap();
    let code = stage.code_to(person).await;
    let passed = visitor.send_as_is(&live.bring(&code)).await;
    stage.proved(&live, person);
    let back = visitor.send(Request::get(&leads_to(&passed))).await;
    let (_, query) = back.header("location").unwrap().split_once("code=").unwrap();
    let code = query.split('&').next().unwrap();
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", "countersign-dev-confidential"),
        ("client_secret", "countersign-dev-secret"),
        ("redirect_uri", BACK),
        ("code", code),
    ];
    let tokens = visitor.send(form("/oauth/v2/token", &fields)).await;
    tokens.json()["access_token"].as_str().unwrap_or_else(|| panic!("{}", tokens.whole())).to_owned()
}

/// A form.
fn form(path: &str, fields: &[(&str, &str)]) -> Request {
    let fields = fields.iter().map(|(name, value)| format!("{name}={}", escaped(value)));
    let body = fields.collect::<Vec<_>>().join("&");
    Request::new("POST", path).header("content-type", "application/x-www-form-urlencoded").body(body)
}

/// The path that `answer` leads to.
fn leads_to(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{}", answer.whole());
    let location = answer.header("location").unwrap();
    let (_, rest) = location.split_once("://").unwrap();
    rest[rest.find('/').unwrap()..].to_owned()
}

/// The value of the hidden field `name` of a page.
fn hidden(page: &Answer, name: &str) -> String {
    let text = page.text();
    let before = format!(r#"<input type="hidden" name="{name}" value=""#);
    let (_, rest) = text.split_once(&before).unwrap_or_else(|| panic!("no {name}: {}", page.whole()));
    rest.split_once('"').unwrap().0.to_owned()
}

fn verdict(answer: &Answer) -> Verdict {
    let leads_back = answer.header("location").is_some_and(|location| location.contains("&ticket="));
    match answer.status {
        303 if leads_back => Verdict::Passed,
        400 if answer.text().contains("This code is not right.") => Verdict::Wrong,
        200 | 400 | 403 => Verdict::Refused,
        _ => panic!("{}", answer.whole()),
    }
}
