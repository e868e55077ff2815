//! ZITADEL's API: whoever has an account of his own may say that an address is his, and guess at the code that proves it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::OnceCell;

use super::pages::{BACK, Browser, CLIENT, form, leads_to};
use super::{Asked, Caller, Guessed, Reply, Surface, text_at, too_soon, unexpected};
use crate::server::{Answer, Request};

const EMAIL: &str = "/auth/v1/users/me/email";
const SECRET: &str = "countersign-dev-secret";

/// How many accounts the attacker has: so many addresses may be asked about at a time.
const ACCOUNTS: usize = 4;

/// What names nobody's flow.
const NOBODY: &str = "x.x.x";

/// The API, and who calls it.
#[derive(Debug, Default)]
pub(super) struct Zitadel {
    /// The access tokens of the accounts, once each has signed in. They live for a quarter of an hour.
    tokens: [OnceCell<String>; ACCOUNTS],
    asked: AtomicUsize,
}

fn account(number: usize) -> String {
    format!("attacker-{number}@example.com")
}

impl Zitadel {
    /// The access token of one account after the other, or how long to wait for it.
    async fn token(&self, caller: &mut Caller) -> Result<&String, Duration> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed) % ACCOUNTS;
        let Some(token) = self.tokens.get(number) else { unreachable!("there are so many") };
        token.get_or_try_init(|| sign_in(caller, account(number))).await
    }

    /// Asks again at the address that was set already.
    async fn resend(caller: &mut Caller, token: &str) -> Asked {
        let path = format!("{EMAIL}/_resend_verification");
        let answer = caller.send(with(Request::post(&path, "{}"), token)).await;
        match (too_soon(&answer), answer.status) {
            (Some(wait), _) => Asked::TooSoon(wait),
            // Another of his browsers has set another one meanwhile.
            (None, 200 | 400 | 404) => Asked::Sent(token.to_owned()),
            _ => unexpected(&answer),
        }
    }
}

fn with(request: Request, token: &str) -> Request {
    request.header("authorization", &format!("Bearer {token}"))
}

/// Signs the attacker in as himself.
async fn sign_in(caller: &mut Caller, address: String) -> Result<String, Duration> {
    let flow = match Browser::ask(caller, &address, None).await {
        Asked::Sent(flow) => flow,
        Asked::TooSoon(wait) => return Err(wait),
    };
    let mails = caller.send(Request::get(&format!("/dev/messages?to={address}"))).await;
    let code = text_at(&mails, "/0/code").unwrap_or_else(|| unexpected(&mails));
    let mut browser = Browser::of(&flow);
    let passed = browser.type_code(caller, &code).await;
    let back = browser.send(caller, Request::get(&leads_to(&passed))).await;
    let parameters = back.header("location").and_then(|location| location.split_once("code="));
    let code = parameters.and_then(|(_, rest)| rest.split('&').next()).unwrap_or_else(|| unexpected(&back));
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", CLIENT),
        ("client_secret", SECRET),
        ("redirect_uri", BACK),
        ("code", code),
    ];
    let tokens = caller.send(form("/oauth/v2/token", &fields)).await;
    Ok(text_at(&tokens, "/access_token").unwrap_or_else(|| unexpected(&tokens)))
}

/// The id of an error.
fn error(answer: &Answer) -> Option<String> {
    text_at(answer, "/details/0/id")
}

impl Surface for Zitadel {
    fn name(&self) -> &'static str {
        "zitadel"
    }

    fn ask<'a>(&'a self, caller: &'a mut Caller, address: &'a str) -> Reply<'a, Asked> {
        Box::pin(async move {
            let token = match self.token(caller).await {
                Ok(token) => token,
                Err(wait) => return Asked::TooSoon(wait),
            };
            let request = Request::new("PUT", EMAIL).header("content-type", "application/json");
            let answer = caller.send(with(request.body(json!({ "email": address }).to_string()), token)).await;
            match (too_soon(&answer), answer.status) {
                (Some(wait), _) => Asked::TooSoon(wait),
                (None, 200) => Asked::Sent(token.clone()),
                // It is the one that he set before.
                (None, 400) if error(&answer).as_deref() == Some("COMMAND-2b7fM") => Self::resend(caller, token).await,
                _ => unexpected(&answer),
            }
        })
    }

    fn ask_again<'a>(&'a self, caller: &'a mut Caller, _: &'a str, flow: &'a str) -> Reply<'a, Asked> {
        Box::pin(Self::resend(caller, flow))
    }

    fn guess<'a>(&'a self, caller: &'a mut Caller, _: &'a str, flow: &'a str, code: &'a str) -> Reply<'a, Guessed> {
        Box::pin(async move {
            let body = json!({ "code": code }).to_string();
            let answer = caller.send(with(Request::post(&format!("{EMAIL}/_verify"), body), flow)).await;
            match answer.status {
                // The address is his now.
                200 => Guessed::Passed(String::new()),
                400 | 404 => Guessed::Wrong,
                401 if flow == NOBODY => Guessed::Wrong,
                _ => unexpected(&answer),
            }
        })
    }

    fn is_entrance(&self) -> bool {
        false
    }

    fn accounts(&self) -> Vec<String> {
        (0..ACCOUNTS).map(account).collect()
    }

    fn unasked_flow(&self) -> String {
        NOBODY.to_owned()
    }
}
