//! Wacht's front-end API, as pages speak it in staging: a session in a header, and attempts to sign in at it.

use serde_json::{Value, json};

use super::{Asked, Caller, Guessed, Reply, Surface, text_at, too_soon, unexpected};
use crate::server::{Answer, Request};

/// Carries the session, both ways.
const SESSION: &str = "x-development-session";

/// What a page speaks to. A flow is named by its session's token and the attempt, with a space between.
#[derive(Debug)]
pub(super) struct Wacht;

impl Wacht {
    /// `POST`s at a session; at a new one where there is no token.
    async fn post(caller: &mut Caller, path: &str, token: &str, body: &Value) -> Answer {
        let request = Request::post(path, body.to_string());
        let request = if token.is_empty() { request } else { request.header(SESSION, token) };
        caller.send(request).await
    }

    /// Asks for a code in an attempt.
    async fn prepare(caller: &mut Caller, flow: &str) -> Asked {
        let (token, attempt) = flow.split_once(' ').unwrap_or_default();
        let body = json!({ "signin_attempt_id": attempt, "method": "email" });
        let answer = Self::post(caller, "/auth/prepare-verification", token, &body).await;
        match (too_soon(&answer), answer.status) {
            (Some(wait), _) => Asked::TooSoon(wait),
            // Five wrong codes end an attempt, and there is nothing to ask for in it.
            (None, 200 | 400) => Asked::Sent(flow.to_owned()),
            _ => unexpected(&answer),
        }
    }
}

impl Surface for Wacht {
    fn name(&self) -> &'static str {
        "wacht"
    }

    fn ask<'a>(&'a self, caller: &'a mut Caller, address: &'a str) -> Reply<'a, Asked> {
        Box::pin(async move {
            let known = caller.proof.clone().unwrap_or_default();
            let body = json!({ "strategy": "email_otp", "email": address });
            let answer = Self::post(caller, "/auth/signin", &known, &body).await;
            match (too_soon(&answer), answer.status) {
                (Some(wait), _) => return Asked::TooSoon(wait),
                (None, 200) => {}
                _ => unexpected(&answer),
            }
            let attempts = answer.json().pointer("/data/signin_attempts").cloned();
            let newest = attempts.as_ref().and_then(Value::as_array).and_then(|attempts| attempts.last());
            let Some(attempt) = newest.and_then(|newest| newest.get("id")).and_then(Value::as_str) else {
                unexpected(&answer)
            };
            let token = answer.header(SESSION).unwrap_or(&known);
            Self::prepare(caller, &format!("{token} {attempt}")).await
        })
    }

    fn ask_again<'a>(&'a self, caller: &'a mut Caller, _: &'a str, flow: &'a str) -> Reply<'a, Asked> {
        Box::pin(Self::prepare(caller, flow))
    }

    fn guess<'a>(&'a self, caller: &'a mut Caller, _: &'a str, flow: &'a str, code: &'a str) -> Reply<'a, Guessed> {
        Box::pin(async move {
            let (token, attempt) = flow.split_once(' ').unwrap_or_default();
            let body = json!({ "signin_attempt_id": attempt, "code": code });
            let answer = Self::post(caller, "/auth/attempt-verification", token, &body).await;
            match answer.status {
                200 => {}
                400 | 429 => return Guessed::Wrong,
                _ => unexpected(&answer),
            }
            // Who is signed in at a session does not sign in there again: she leaves. The session's token is another one each time.
            let token = answer.header(SESSION).unwrap_or_default().to_owned();
            let left = Self::post(caller, "/session/sign-out", &token, &json!({})).await;
            match (left.status, left.header(SESSION)) {
                (200, Some(token)) if text_at(&left, "/session/active_signin/id").is_none() => {
                    Guessed::Passed(token.to_owned())
                }
                _ => unexpected(&left),
            }
        })
    }

    fn unasked_flow(&self) -> String {
        " 1".to_owned()
    }
}
