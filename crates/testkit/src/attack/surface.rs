//! How surfaces are spoken to, as far as an attacker and an owner need: ask for a code, ask again, bring one.

#![expect(clippy::panic, reason = "in a test kit, what cannot go on fails the test")]

mod kratos;
mod pages;
mod wacht;
mod zitadel;

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use serde_json::json;

use crate::server::{Answer, Client, Request};

/// How long one waits where the server is too busy, and how often.
const BUSY: Duration = Duration::from_millis(100);
const TRIES: usize = 100;

/// What a surface answers, in time.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Somebody at a surface.
#[derive(Debug)]
pub struct Caller {
    client: Client,
    /// Where he seems to be: the server must believe its peer.
    pub from: IpAddr,
    /// What an earlier sign-in at the same surface gave him.
    pub proof: Option<String>,
}

impl Caller {
    /// Somebody at `from`, with a connection of his own.
    pub const fn new(server: SocketAddr, from: IpAddr) -> Self {
        Self { client: Client::new(server), from, proof: None }
    }

    /// Sends a request from where he is; again and again where the server is too busy, as a machine is that does other things too.
    pub async fn send(&mut self, request: Request) -> Answer {
        let request = request.header("x-forwarded-for", &self.from.to_string());
        let mut answer = self.client.send(&request).await;
        for _ in 0..TRIES {
            if answer.status != 503 {
                break;
            }
            tokio::time::sleep(BUSY).await;
            answer = self.client.send(&request).await;
        }
        answer
    }
}

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A code is on its way; this names the flow.
    Sent(String),
    /// Nothing is sent before this time is over.
    TooSoon(Duration),
}

/// What came of a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guessed {
    /// It was right; this shows later that the device is known.
    Passed(String),
    /// It was not.
    Wrong,
}

/// A surface, from outside.
pub trait Surface: fmt::Debug + Send + Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Asks for a code.
    fn ask<'a>(&'a self, caller: &'a mut Caller, address: &'a str) -> Reply<'a, Asked>;
    /// Asks again in a flow, where the surface has a word for that; else for a flow more.
    fn ask_again<'a>(&'a self, caller: &'a mut Caller, address: &'a str, flow: &'a str) -> Reply<'a, Asked> {
        let _ = flow;
        self.ask(caller, address)
    }
    /// Brings a code.
    fn guess<'a>(
        &'a self,
        caller: &'a mut Caller,
        address: &'a str,
        flow: &'a str,
        code: &'a str,
    ) -> Reply<'a, Guessed>;
    /// Whether somebody signs in here. Where nobody does, it is a door for attackers only.
    fn is_entrance(&self) -> bool {
        true
    }
    /// The attacker's own addresses, where he must have accounts to ask anything.
    fn accounts(&self) -> Vec<String> {
        Vec::new()
    }
    /// The name of a flow that he was never told about.
    fn unasked_flow(&self) -> String;
}

/// All surfaces there are.
pub fn surfaces() -> Vec<Box<dyn Surface>> {
    vec![
        Box::new(Login),
        Box::new(Descope),
        Box::new(kratos::Kratos),
        Box::new(wacht::Wacht),
        Box::new(pages::Pages),
        Box::<zitadel::Zitadel>::default(),
    ]
}

/// How long an answer says to wait, if it says no for now.
fn too_soon(answer: &Answer) -> Option<Duration> {
    let seconds = (answer.status == 429).then(|| answer.header("retry-after").and_then(|seconds| seconds.parse().ok()));
    seconds.map(|seconds| Duration::from_secs(seconds.unwrap_or(1)))
}

/// The text at `pointer` of a JSON body.
fn text_at(answer: &Answer, pointer: &str) -> Option<String> {
    answer.json().pointer(pointer)?.as_str().map(str::to_owned)
}

fn unexpected(answer: &Answer) -> ! {
    panic!("not to be expected: {}", answer.whole())
}

/// The login-flow API.
#[derive(Debug)]
struct Login;

impl Login {
    fn request(caller: &Caller, path: &str, body: &serde_json::Value) -> Request {
        let request = Request::post(path, body.to_string());
        match &caller.proof {
            Some(token) => request.header("authorization", &format!("Bearer {token}")),
            None => request,
        }
    }
}

impl Surface for Login {
    fn name(&self) -> &'static str {
        "login"
    }

    fn ask<'a>(&'a self, caller: &'a mut Caller, address: &'a str) -> Reply<'a, Asked> {
        Box::pin(async move {
            let request = Self::request(caller, "/v1/login", &json!({ "email": address }));
            let answer = caller.send(request).await;
            match (too_soon(&answer), answer.status) {
                (Some(wait), _) => Asked::TooSoon(wait),
                (None, 200) => Asked::Sent(text_at(&answer, "/auth_flow_token").unwrap_or_default()),
                _ => unexpected(&answer),
            }
        })
    }

    fn guess<'a>(&'a self, caller: &'a mut Caller, _: &'a str, flow: &'a str, code: &'a str) -> Reply<'a, Guessed> {
        Box::pin(async move {
            let body = json!({ "auth_flow_token": flow, "code": code });
            let request = Self::request(caller, "/v1/login/email-code", &body);
            let answer = caller.send(request).await;
            if answer.status != 200 {
                unexpected(&answer);
            }
            text_at(&answer, "/success/token").map_or(Guessed::Wrong, Guessed::Passed)
        })
    }

    fn unasked_flow(&self) -> String {
        "00000000-0000-4000-8000-000000000000".to_owned()
    }
}

/// Descope's API.
#[derive(Debug)]
struct Descope;

impl Descope {
    const PROJECT: &str = "P2countersigndev000000000000";

    fn request(caller: &Caller, path: &str, body: &serde_json::Value) -> Request {
        let bearer = match &caller.proof {
            Some(token) => format!("Bearer {}:{token}", Self::PROJECT),
            None => format!("Bearer {}", Self::PROJECT),
        };
        Request::post(path, body.to_string()).header("authorization", &bearer)
    }
}

impl Surface for Descope {
    fn name(&self) -> &'static str {
        "descope"
    }

    fn ask<'a>(&'a self, caller: &'a mut Caller, address: &'a str) -> Reply<'a, Asked> {
        Box::pin(async move {
            let request = Self::request(caller, "/v1/auth/otp/signin/email", &json!({ "loginId": address }));
            let answer = caller.send(request).await;
            match (too_soon(&answer), answer.status) {
                (Some(wait), _) => Asked::TooSoon(wait),
                // Where accounts are told, nobody's address is refused here.
                (None, 200 | 400 | 401) => Asked::Sent(String::new()),
                _ => unexpected(&answer),
            }
        })
    }

    fn guess<'a>(&'a self, caller: &'a mut Caller, address: &'a str, _: &'a str, code: &'a str) -> Reply<'a, Guessed> {
        Box::pin(async move {
            let body = json!({ "loginId": address, "code": code });
            let request = Self::request(caller, "/v1/auth/otp/verify/email", &body);
            let answer = caller.send(request).await;
            match answer.status {
                200 => Guessed::Passed(text_at(&answer, "/refreshJwt").unwrap_or_default()),
                400 | 401 => Guessed::Wrong,
                _ => unexpected(&answer),
            }
        })
    }

    fn unasked_flow(&self) -> String {
        String::new()
    }
}
