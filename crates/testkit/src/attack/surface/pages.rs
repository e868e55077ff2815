//! The sign-in pages, to which an application sends people through the authorization server.

#![expect(clippy::expect_used, reason = "in a test kit, what cannot go on fails the test")]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Asked, Caller, Guessed, Reply, Surface, too_soon, unexpected};
use crate::server::{Answer, Request};

/// An application that `dev` comes with, and where it wants people back.
pub(super) const CLIENT: &str = "countersign-dev-confidential";
pub(super) const BACK: &str = "http://127.0.0.1/cb";

/// The cookie that outlives a session.
const DEVICE: &str = "countersign-device";

/// The pages.
#[derive(Debug)]
pub(super) struct Pages;

/// What a browser keeps of a sign-in.
#[derive(Debug, Default)]
pub(super) struct Browser {
    cookies: BTreeMap<String, String>,
    /// The token of its forms.
    token: String,
}

impl Browser {
    /// A new one, or one in which somebody signed in before.
    fn showing(proof: Option<&String>) -> Self {
        let cookies = proof.map(|proof| (DEVICE.to_owned(), proof.clone()));
        Self { cookies: cookies.into_iter().collect(), token: String::new() }
    }

    /// The one that a flow was called by.
    pub(super) fn of(flow: &str) -> Self {
        let (cookies, token) = serde_json::from_str(flow).expect("it is the name of a flow");
        Self { cookies, token }
    }

    /// What a flow is called that goes on in it.
    fn name(&self) -> String {
        serde_json::to_string(&(&self.cookies, &self.token)).expect("texts are JSON")
    }

    /// Sends `request` with the cookies there are, and keeps those that come.
    pub(super) async fn send(&mut self, caller: &mut Caller, request: Request) -> Answer {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = if cookies.is_empty() { request } else { request.header("cookie", &cookies.join("; ")) };
        let answer = caller.send(request).await;
        for (_, line) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, value) = line.split(';').next().and_then(|pair| pair.split_once('=')).expect("it is a cookie");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    /// Is sent to the pages, and types `address`.
    pub(super) async fn ask(caller: &mut Caller, address: &str, proof: Option<&String>) -> Asked {
        let mut browser = Self::showing(proof);
        let path = format!(
            "/oauth/v2/authorize?client_id={CLIENT}&redirect_uri={}&response_type=code&scope=openid&state=s",
            escaped(BACK)
        );
        let sign_in = leads_to(&browser.send(caller, Request::get(&path)).await);
        let page = browser.send(caller, Request::get(&sign_in)).await;
        browser.token = hidden(&page, "token");
        let fields = [("request", hidden(&page, "request")), ("token", browser.token.clone())];
        let fields = [(fields[0].0, fields[0].1.as_str()), (fields[1].0, fields[1].1.as_str()), ("email", address)];
        let answer = browser.send(caller, form("/sign-in", &fields)).await;
        match (too_soon(&answer), answer.status) {
            (Some(wait), _) => Asked::TooSoon(wait),
            (None, 303) => Asked::Sent(browser.name()),
            _ => unexpected(&answer),
        }
    }

    /// Types a code, and gives what the page says to it.
    pub(super) async fn type_code(&mut self, caller: &mut Caller, code: &str) -> Answer {
        let token = self.token.clone();
        self.send(caller, form("/sign-in/code", &[("token", &token), ("code", code)])).await
    }
}

/// A form.
pub(super) fn form(path: &str, fields: &[(&str, &str)]) -> Request {
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    let request = Request::new("POST", path).header("content-type", "application/x-www-form-urlencoded");
    request.body(fields.join("&"))
}

/// The path of ours that `answer` leads to.
pub(super) fn leads_to(answer: &Answer) -> String {
    let location = answer.header("location").filter(|_| answer.status == 303);
    let path = location.and_then(|location| location.split_once("://")?.1.split_once('/'));
    path.map_or_else(|| unexpected(answer), |(_, path)| format!("/{path}"))
}

/// The value of the hidden field `name` of a page.
fn hidden(page: &Answer, name: &str) -> String {
    let text = page.text();
    let rest = text.split_once(&format!(r#"<input type="hidden" name="{name}" value=""#));
    let value = rest.and_then(|(_, rest)| rest.split_once('"'));
    value.map_or_else(|| unexpected(page), |(value, _)| value.to_owned())
}

/// `text` as it stands in a query or a form.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // What cannot fail: text is written to memory.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

impl Surface for Pages {
    fn name(&self) -> &'static str {
        "hosted"
    }

    fn ask<'a>(&'a self, caller: &'a mut Caller, address: &'a str) -> Reply<'a, Asked> {
        Box::pin(async move {
            let proof = caller.proof.clone();
            Browser::ask(caller, address, proof.as_ref()).await
        })
    }

    fn ask_again<'a>(&'a self, caller: &'a mut Caller, _: &'a str, flow: &'a str) -> Reply<'a, Asked> {
        Box::pin(async move {
            let mut browser = Browser::of(flow);
            let token = browser.token.clone();
            let answer = browser.send(caller, form("/sign-in/code/resend", &[("token", &token)])).await;
            match (too_soon(&answer), answer.status) {
                (Some(wait), _) => Asked::TooSoon(wait),
                // Where the flow is over by now, there is a page that says so.
                (None, 303 | 400) => Asked::Sent(flow.to_owned()),
                _ => unexpected(&answer),
            }
        })
    }

    fn guess<'a>(&'a self, caller: &'a mut Caller, _: &'a str, flow: &'a str, code: &'a str) -> Reply<'a, Guessed> {
        Box::pin(async move {
            let mut browser = Browser::of(flow);
            browser.cookies.remove(DEVICE);
            browser.cookies.extend(caller.proof.clone().map(|proof| (DEVICE.to_owned(), proof)));
            let answer = browser.type_code(caller, code).await;
            match answer.status {
                303 => Guessed::Passed(browser.cookies.remove(DEVICE).expect("the browser is known from now on")),
                400 => Guessed::Wrong,
                _ => unexpected(&answer),
            }
        })
    }

    fn unasked_flow(&self) -> String {
        // A browser that was given a name, a flow of nobody's.
        let cookies = [("countersign-browser", "A".repeat(43)), ("countersign-flow", "A".repeat(64))];
        let cookies = cookies.map(|(name, value)| (name.to_owned(), value)).into();
        Browser { cookies, token: "A".repeat(64) }.name()
    }
}
