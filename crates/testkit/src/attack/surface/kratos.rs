//! Ory Kratos's API: the login of a native client.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Asked, Caller, Guessed, Reply, Surface, text_at, unexpected};
use crate::server::{Answer, Request};

/// What a native client speaks to.
#[derive(Debug)]
pub(super) struct Kratos;

impl Kratos {
    /// Submits to a flow, with the session that the caller had.
    async fn submit(caller: &mut Caller, flow: &str, body: &Value) -> Answer {
        let request = Request::post(&format!("/self-service/login?flow={flow}"), body.to_string());
        let request = request.header("accept", "application/json");
        let request = match &caller.proof {
            Some(token) => request.header("x-session-token", token),
            None => request,
        };
        caller.send(request).await
    }

    /// Asks for a code in a flow. What is to be done is shown with 400, whatever it is.
    async fn send(caller: &mut Caller, address: &str, flow: &str) -> Asked {
        let answer = Self::submit(caller, flow, &json!({ "method": "code", "identifier": address })).await;
        if !matches!(answer.status, 400 | 410) {
            unexpected(&answer);
        }
        match answer.header("retry-after").and_then(|seconds| seconds.parse().ok()) {
            Some(seconds) => Asked::TooSoon(Duration::from_secs(seconds)),
            None => Asked::Sent(flow.to_owned()),
        }
    }
}

impl Surface for Kratos {
    fn name(&self) -> &'static str {
        "kratos"
    }

    fn ask<'a>(&'a self, caller: &'a mut Caller, address: &'a str) -> Reply<'a, Asked> {
        Box::pin(async move {
            let answer = caller.send(Request::get("/self-service/login/api")).await;
            let Some(flow) = text_at(&answer, "/id").filter(|_| answer.status == 200) else { unexpected(&answer) };
            Self::send(caller, address, &flow).await
        })
    }

    fn ask_again<'a>(&'a self, caller: &'a mut Caller, address: &'a str, flow: &'a str) -> Reply<'a, Asked> {
        Box::pin(Self::send(caller, address, flow))
    }

    fn guess<'a>(
        &'a self,
        caller: &'a mut Caller,
        address: &'a str,
        flow: &'a str,
        code: &'a str,
    ) -> Reply<'a, Guessed> {
        Box::pin(async move {
            let body = json!({ "method": "code", "identifier": address, "code": code });
            let answer = Self::submit(caller, flow, &body).await;
            match answer.status {
                200 => {}
                400 | 404 | 410 => return Guessed::Wrong,
                _ => unexpected(&answer),
            }
            // Who is signed in is asked for no code: she leaves, and what is left shows that she was there.
            let token = text_at(&answer, "/session_token").unwrap_or_default();
            let leave = Request::new("DELETE", "/self-service/logout/api").header("content-type", "application/json");
            let left = caller.send(leave.body(json!({ "session_token": token }).to_string())).await;
            if left.status != 204 {
                unexpected(&left);
            }
            Guessed::Passed(token)
        })
    }

    fn unasked_flow(&self) -> String {
        "00000000-0000-4000-8000-000000000000".to_owned()
    }
}
