//! What whoever has just been signed in or registered gets: a token or a cookie, and where to go on.

use axum::response::Response;
use engine::{Account, Address, Session};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;
use web::respond;

use crate::csrf::Csrf;
use crate::entry::{Entry, Visit};
use crate::flow::page_url;
use crate::identity::{Audience, IdentityBody};
use crate::memo::FlowType;
use crate::return_to;
use crate::session::{self, SessionBody};
use crate::token;

/// A flow in which another address is to be verified next.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) flow: Uuid,
    pub(crate) address: Address,
}

/// Where it goes on.
pub(crate) struct Next {
    /// A browser's next page.
    pub(crate) url: String,
    /// What a program does next; `null` where that is nothing.
    pub(crate) continue_with: Value,
}

impl Next {
    /// Where the flow of `visit` goes on: `after` unless it says otherwise itself, and to the verification of another address first.
    pub(crate) fn of<F: Entry>(visit: &Visit<'_, F>, after: Option<&str>, shown: Option<&Shown>) -> Self {
        let config = &visit.shared.config;
        let memo = &visit.journey.memo;
        let is_browsers = memo.flow_type == FlowType::Browser;
        let url = return_to::continue_url(config, memo.return_to.as_deref(), after);
        let mut actions = Vec::new();
        if is_browsers {
            actions.push(json!({"action": "redirect_browser_to", "redirect_browser_to": url}));
        }
        let page = shown.map(|shown| page_url(&config.verification.ui_url, shown.flow));
        if let Some((Shown { flow, address }, page)) = shown.zip(page.as_deref()) {
            let mut flow = json!({"id": flow, "verifiable_address": address.as_str()});
            if let (true, Some(members)) = (is_browsers, flow.as_object_mut()) {
                members.insert("url".to_owned(), page.into());
            }
            actions.push(json!({"action": "show_verification_ui", "flow": flow}));
        }
        let continue_with = if actions.is_empty() { Value::Null } else { Value::Array(actions) };
        Self { url: page.unwrap_or(url), continue_with }
    }
}

/// How somebody came to be signed in.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// By a login.
    Login,
    /// By a registration, after which this is to be verified next.
    Registered(Option<Shown>),
}

/// Somebody who has just been signed in.
pub(crate) struct Welcome<'a> {
    pub(crate) session: &'a Session,
    pub(crate) account: &'a Account,
    pub(crate) arrival: Arrival,
    /// The cookie that a browser has from now on: what forms of other pages were made from is worth nothing then.
    pub(crate) csrf: Option<Csrf>,
    /// Where it goes on unless the flow says otherwise.
    pub(crate) after: Option<&'a str>,
}

/// A session, for whoever began it.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    session_token: Option<&'a str>,
    session: SessionBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<IdentityBody>,
    continue_with: Value,
}

impl Welcome<'_> {
    /// The answer.
    pub(crate) fn answer<F: Entry>(&self, visit: &Visit<'_, F>) -> Response {
        let shared = visit.shared;
        let session = SessionBody::new(shared, self.session, self.account, Audience::Itself);
        let (is_registered, shown) = match &self.arrival {
            Arrival::Login => (false, None),
            Arrival::Registered(shown) => (true, shown.as_ref()),
        };
        let identity = is_registered.then(|| IdentityBody::new(shared, self.account, Audience::Itself));
        let Next { url, mut continue_with } = Next::of(visit, self.after, shown);
        if visit.journey.memo.flow_type == FlowType::Api {
            let token = token::session_token(&shared.engine, self.session.id);
            if is_registered {
                let set = json!({"action": "set_ory_session_token", "ory_session_token": token.expose()});
                match &mut continue_with {
                    Value::Array(actions) => actions.push(set),
                    nothing => *nothing = json!([set]),
                }
            }
            let body = Body { session_token: Some(token.expose()), session, identity, continue_with };
            return respond::json(StatusCode::OK, &body);
        }
        let mut response = if visit.asked.wants.is_json {
            respond::json(StatusCode::OK, &Body { session_token: None, session, identity, continue_with })
        } else {
            visit.asked.redirect(&url)
        };
        session::put_cookie(shared, self.session, &mut response);
        if let Some(csrf) = &self.csrf {
            csrf.put(&shared.config, &mut response);
        }
        response
    }
}
