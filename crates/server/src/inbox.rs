//! The development inbox: every code that was sent, as a page and as JSON; and the forgiving of wrong guesses.
//!
//! A view over outbox and flow rows: no code is stored for it, each is derived when it is asked for. It exists only under
//! `countersign dev`, and answers only to a browser that asked for a development host by name, so that no page of the internet can
//! read it through a name that it points at this machine.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get};
use courier::{CodeMail, Letterhead, Templates, minutes_left};
use engine::{Address, Engine, MessageKind, Secret, Shown};
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::config::is_development_host;

const PAGE: &str = include_str!("inbox/page.html");
const STYLE: &str = include_str!("inbox/style.css");
const SCRIPT: &str = include_str!("inbox/script.js");

/// Nothing from elsewhere, no inline script, no frame but the sandboxed document that shows a mail. That one inherits this policy,
/// and a mail must look as it is sent: for its sake alone inline styles are allowed.
const POLICY: &str = "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the inbox shows with.
pub(crate) struct Inbox {
    engine: Arc<Engine>,
    templates: Templates,
    letterhead: Letterhead,
}

impl Inbox {
    pub(crate) const fn new(engine: Arc<Engine>, templates: Templates, letterhead: Letterhead) -> Self {
        Self { engine, templates, letterhead }
    }

    /// `/dev/inbox`, what it needs, `/dev/messages` and `/dev/budgets`.
    pub(crate) fn router(self) -> Router {
        let file = |kind: &'static str, text: &'static str| {
            get(move || async move {
                let headers = [
                    (header::CONTENT_TYPE, kind),
                    (header::CONTENT_SECURITY_POLICY, POLICY),
                    (header::CACHE_CONTROL, "no-store"),
                    (header::REFERRER_POLICY, "no-referrer"),
                    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                ];
                (headers, text)
            })
        };
        Router::new()
            .route("/dev/inbox", file("text/html; charset=utf-8", PAGE))
            .route("/dev/inbox.css", file("text/css; charset=utf-8", STYLE))
            .route("/dev/inbox.js", file("text/javascript; charset=utf-8", SCRIPT))
            .route("/dev/messages", get(list).delete(empty))
            .route("/dev/budgets", delete(forgive))
            .layer(middleware::from_fn(only_by_a_development_name))
            .with_state(Arc::new(self))
    }
}

/// Refuses requests whose `Host` is a public name: a page could point its own name at this machine.
async fn only_by_a_development_name(request: Request, next: Next) -> Response {
    if is_asked_for_by_a_development_name(request.headers(), request.uri()) {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, "the inbox answers only to localhost and names reserved for development\n")
            .into_response()
    }
}

fn is_asked_for_by_a_development_name(headers: &HeaderMap, uri: &http::Uri) -> bool {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok())
        .or_else(|| uri.authority().map(http::uri::Authority::as_str));
    let authority = host.and_then(|host| host.parse::<http::uri::Authority>().ok());
    authority.is_some_and(|authority| is_development_host(authority.host()))
}

/// What `/dev/messages` may be asked.
#[derive(Debug, Deserialize)]
struct Filter {
    /// Only messages to this address.
    to: Option<String>,
}

/// One message, as JSON.
#[derive(Debug, Serialize)]
struct Message<'a> {
    id: String,
    channel: &'a str,
    to: &'a str,
    subject: String,
    text: String,
    html: String,
    code: Option<&'a str>,
    link: Option<&'a str>,
    created_at: String,
}

/// Newest first; an empty list for an address that is none.
async fn list(State(inbox): State<Arc<Inbox>>, Query(filter): Query<Filter>) -> Response {
    let recipient = match filter.to.as_deref().map(Address::email) {
        None => None,
        Some(Ok(address)) => Some(address),
        Some(Err(_)) => return json(StatusCode::OK, &[] as &[Message<'_>]),
    };
    let shown = match inbox.engine.inbox(recipient).await {
        Ok(shown) => shown,
        Err(error) => return failed(&error),
    };
    let messages: Vec<_> = shown.iter().filter_map(|shown| inbox.message(shown)).collect();
    json(StatusCode::OK, &messages)
}

/// Forgets what has been shown. What is owed stays owed.
async fn empty(State(inbox): State<Arc<Inbox>>) -> Response {
    match inbox.engine.empty_inbox().await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failed(&error),
    }
}

/// Whose wrong guesses are forgiven.
#[derive(Debug, Deserialize)]
struct Forgiven {
    to: String,
}

/// Forgives what was guessed about one address, so that a test suite can guess wrong every day.
async fn forgive(State(inbox): State<Arc<Inbox>>, Query(Forgiven { to }): Query<Forgiven>) -> Response {
    let Ok(address) = Address::email(&to) else {
        return json(StatusCode::BAD_REQUEST, &serde_json::json!({ "error": "`to` is no e-mail address" }));
    };
    for project in inbox.engine.projects().iter() {
        if let Err(error) = inbox.engine.forgive(&project.id, &address).await {
            return failed(&error);
        }
    }
    StatusCode::NO_CONTENT.into_response()
}

impl Inbox {
    /// The message as it was sent; without its code where the flow has been replaced.
    fn message<'a>(&self, shown: &'a Shown) -> Option<Message<'a>> {
        let message = &shown.message;
        let gone = Secret::new("(replaced)".to_owned());
        let mail = CodeMail {
            purpose: shown.purpose.unwrap_or(engine::Purpose::SignIn),
            code: shown.code.as_ref().unwrap_or(&gone),
            link: shown.link.as_ref(),
            minutes: minutes_left(message.created_at, message.not_after),
            host: self.letterhead.host(),
            brand: self.letterhead.brand(),
        };
        let rendered = match message.kind {
            MessageKind::NoAccount => self.templates.render_no_account(self.letterhead.host(), self.letterhead.brand()),
            MessageKind::AddressReplaced => {
                let by = message.replaced_by.as_deref()?;
                self.templates.render_address_replaced(by, message.created_at, mail.host, mail.brand)
            }
            MessageKind::Code | MessageKind::Decoy => self.templates.render_code(&mail),
        };
        let rendered = rendered.ok()?;
        Some(Message {
            id: message.id.to_string(),
            channel: message.recipient.channel().name(),
            to: message.recipient.as_str(),
            subject: rendered.subject,
            text: rendered.text,
            html: rendered.html,
            code: shown.code.as_ref().map(|code| code.expose().as_str()),
            link: shown.link.as_ref().map(|link| link.expose().as_str()),
            created_at: message.created_at.rfc3339(),
        })
    }
}

fn json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Response {
    let body = serde_json::to_vec(value).unwrap_or_default();
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, body).into_response()
}

fn failed(error: &engine::Error) -> Response {
    if let engine::Error::Failed(fault) = error {
        tracing::error!(fault = fault.report(), "the inbox could not be read");
    }
    json(StatusCode::SERVICE_UNAVAILABLE, &serde_json::json!({ "error": "the inbox could not be read" }))
}
