//! Errors as the surface says them: an id that clients switch on, a status, sentences of our own, and what stands beside them.
#![warn(clippy::wildcard_enum_match_arm)]

use std::borrow::Cow;

use axum::response::Response;
use engine::{Error, Refusal, Timestamp};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;
use web::{Failure, respond};

use crate::csrf::{CsrfViolation, Refused};

/// Names the error once more, for whoever reads headers only. Empty where the error has no id.
const ERROR_ID: HeaderName = HeaderName::from_static("ory-error-id");

/// Errors say their type without a character set, answers that went well with one: as the original.
const ERROR_JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Where developers read about refused forms.
const CSRF_DOCUMENTATION: &str = "https://www.ory.sh/docs/kratos/debug/csrf";

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Status {
    /// The HTTP status, and `error.code`.
    pub(crate) http: StatusCode,
    id: &'static str,
    message: Cow<'static, str>,
    reason: Option<Cow<'static, str>>,
    details: Map<String, Value>,
    /// What stands beside `error`.
    beside: Map<String, Value>,
}

impl Status {
    /// An error without an id.
    pub(crate) fn new(http: StatusCode, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: Some(reason.into()), ..Self::bare(http) }
    }

    /// An error without an id and without a reason.
    pub(crate) fn bare(http: StatusCode) -> Self {
        let message = message_of(http).into();
        Self { http, id: "", message, reason: None, details: Map::new(), beside: Map::new() }
    }

    fn with_id(self, id: &'static str) -> Self {
        Self { id, ..self }
    }

    fn with_message(self, message: &'static str) -> Self {
        Self { message: message.into(), ..self }
    }

    /// The same with `value` among its details.
    pub(crate) fn with_detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    fn beside(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.beside.insert(name.to_owned(), value.into());
        self
    }

    /// 400: the request is not what it must be.
    pub(crate) fn bad_request(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason)
    }

    /// 400 in its short form: the body cannot be read, and `message` says why.
    pub(crate) fn unreadable(message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), ..Self::bare(StatusCode::BAD_REQUEST) }
    }

    /// 404 in its short form: nothing has this id.
    pub(crate) fn no_such_thing() -> Self {
        Self::bare(StatusCode::NOT_FOUND).with_message("There is no such resource")
    }

    /// 404 with a reason.
    pub(crate) fn not_found(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, reason)
    }

    /// 401 without an id: whoever asks shows nothing that is good.
    pub(crate) fn unauthorized(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, reason)
    }

    /// 409: somebody has it, or was faster.
    pub(crate) fn conflict(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, reason)
    }

    /// `session_inactive`: nobody is signed in.
    pub(crate) fn session_inactive() -> Self {
        Self::unauthorized("No active session was found in this request").with_id("session_inactive")
    }

    /// `session_already_available`: somebody is signed in already.
    pub(crate) fn session_already_available() -> Self {
        Self::bad_request("A valid session was found, and this needs none").with_id("session_already_available")
    }

    /// `self_service_flow_disabled`.
    pub(crate) fn flow_disabled(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::bad_request(reason).with_id("self_service_flow_disabled")
    }

    /// `self_service_flow_return_to_forbidden`.
    pub(crate) fn return_to_forbidden() -> Self {
        Self::bad_request("The URL in return_to is not one of those that are allowed")
            .with_id("self_service_flow_return_to_forbidden")
    }

    /// `self_service_flow_expired`: `flow` takes its place.
    pub(crate) fn flow_expired(expired_at: Timestamp, now: Timestamp, flow: Uuid) -> Self {
        let since = now.since(expired_at);
        let nanoseconds = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let reason =
            format!("The flow expired {:.2} minutes ago, a new one takes its place", since.as_secs_f64() / 60.0);
        Self::new(StatusCode::GONE, reason)
            .with_id("self_service_flow_expired")
            .with_message("self-service flow expired")
            .beside("expired_at", expired_at.rfc3339())
            .beside("since", nanoseconds)
            .beside("use_flow_id", flow.to_string())
    }

    /// 410 without an id: what a read of an expired flow gets. Details say where a new one is made.
    pub(crate) fn flow_gone() -> Self {
        Self::new(StatusCode::GONE, "The flow has expired, begin a new one")
    }

    /// `self_service_flow_expired` without a flow in its place: what a read of an expired login or registration gets.
    pub(crate) fn flow_expired_on_read() -> Self {
        Self::flow_gone().with_id("self_service_flow_expired")
    }

    /// `self_service_flow_replaced`: `flow` takes its place.
    pub(crate) fn flow_replaced(flow: Uuid) -> Self {
        Self::new(StatusCode::GONE, "The flow cannot be used any more, go on with the new one")
            .with_id("self_service_flow_replaced")
            .with_message("self-service flow replaced")
            .beside("use_flow_id", flow.to_string())
    }

    /// `security_csrf_violation`.
    pub(crate) fn csrf(Refused { violation, by_script }: Refused) -> Self {
        let where_from = if by_script {
            "The request was sent by a script: it must send cookies along (credentials: \"include\"), and the page must be of the \
             same site"
        } else {
            "The request must be sent with the cookies that came with the flow, as a browser does, and over the same scheme and host"
        };
        let (hint, reject_reason) = match violation {
            CsrfViolation::NoCookies => (where_from, Some("The request has no cookies, its Cookie header is empty")),
            CsrfViolation::CookieMissing => (where_from, Some("The request has cookies, but not the anti-CSRF cookie")),
            CsrfViolation::TokenMissing => ("The form was sent without the field csrf_token of the flow", None),
            CsrfViolation::Mismatch => (where_from, Some("The token does not fit the anti-CSRF cookie")),
        };
        let status =
            Self::new(StatusCode::FORBIDDEN, "The request might have been made by another site and was refused")
                .with_id("security_csrf_violation")
                .with_message("the request was refused by the protection against request forgery")
                .with_detail("docs", CSRF_DOCUMENTATION)
                .with_detail("hint", hint);
        match reject_reason {
            Some(reason) => status.with_detail("reject_reason", reason),
            None => status,
        }
    }

    /// Ours, told in no words of ours.
    pub(crate) fn internal() -> Self {
        Self::bare(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The same where it may be better in a moment.
    fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "The server cannot answer at the moment")
    }

    /// An error of ours that never was, to see how one looks.
    pub(crate) fn sample() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "This is a sample of an error")
    }

    /// What the engine's error comes to where a handler has no other meaning for it. A fault is logged here, once.
    pub(crate) fn of(error: Error) -> Self {
        match error {
            Error::Refused { refusal, flow: _ } => Self::of_refusal(refusal),
            Error::Failed(fault) => {
                tracing::error!(dialect = crate::NAME, fault = fault.report(), "a request failed");
                if fault.is_temporary() { Self::unavailable() } else { Self::internal() }
            }
        }
    }

    fn of_refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::FlowNotFound | Refusal::IdentityNotFound => Self::no_such_thing(),
            Refusal::FlowExpired | Refusal::FlowPassed => Self::flow_gone(),
            Refusal::CodeMismatch { left: _ } | Refusal::CodeExpired => {
                Self::bad_request("The code is wrong or is not valid any more")
            }
            Refusal::AttemptsExhausted => Self::bad_request("Too many codes were tried, begin a new flow"),
            Refusal::AddressMalformed => Self::bad_request("The address is not a valid e-mail address"),
            Refusal::AddressTaken => Self::conflict("Another identity has this address"),
            Refusal::IdentityChanged => Self::conflict("The identity was changed by somebody else in the meantime"),
            Refusal::IdentityInactive => Self::unauthorized("The identity is not active"),
            Refusal::SessionEnded
            | Refusal::TokenInvalid
            | Refusal::TokenReused
            | Refusal::TicketInvalid
            | Refusal::TicketReused => Self::unauthorized("No valid session credentials were found in the request"),
            Refusal::TooSoon { retry_after } => {
                let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
                Self::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    format!("Another message may be asked for in {seconds} seconds"),
                )
                .with_detail("retry_after", seconds)
            }
        }
    }

    /// What happened outside of the handlers.
    pub(crate) fn of_failure(failure: Failure) -> Self {
        match failure {
            Failure::NotFound => Self::not_found("This path is not served"),
            Failure::WrongVerb => Self::new(StatusCode::METHOD_NOT_ALLOWED, "This path does not have this verb"),
            Failure::TimedOut => Self::new(StatusCode::REQUEST_TIMEOUT, "The request did not arrive in time"),
            Failure::BodyTooLarge => Self::body_too_large(),
            Failure::Panicked => Self::internal(),
            Failure::Unavailable => Self::unavailable(),
        }
    }

    /// 413.
    pub(crate) fn body_too_large() -> Self {
        let reason = format!("The body is longer than {} bytes", web::body::LIMIT);
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, reason)
    }

    /// Whether it is of a kind that a live flow shows among its messages.
    pub(crate) fn is_shown_in_flow(&self) -> bool {
        self.http == StatusCode::BAD_REQUEST
    }

    /// Why, for a message's context.
    pub(crate) fn reason(&self) -> &str {
        self.reason.as_deref().unwrap_or(&self.message)
    }

    /// The error alone, as the error page is given it.
    pub(crate) fn error(&self) -> Value {
        // A struct of strings and numbers always serialises.
        serde_json::to_value(self.body()).unwrap_or_default()
    }

    fn body(&self) -> ErrorBody<'_> {
        ErrorBody {
            id: self.id,
            code: self.http.as_u16(),
            status: self.http.canonical_reason().unwrap_or_default(),
            reason: self.reason.as_deref(),
            details: &self.details,
            message: &self.message,
        }
    }

    /// The error as it goes out to who wants JSON.
    pub(crate) fn into_response(self) -> Response {
        let mut all = self.beside.clone();
        all.insert("error".to_owned(), json!(self.body()));
        let mut response = respond::json(self.http, &all);
        let headers = response.headers_mut();
        headers.insert(http::header::CONTENT_TYPE, ERROR_JSON);
        headers.insert(ERROR_ID, HeaderValue::from_static(self.id));
        respond::with_retry(response)
    }
}

/// `error` in an answer.
#[derive(Serialize)]
struct ErrorBody<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'static str,
    code: u16,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    details: &'a Map<String, Value>,
    message: &'a str,
}

/// What every error of a status says, whatever its reason.
fn message_of(http: StatusCode) -> &'static str {
    match http.as_u16() {
        400 => "The request is malformed or has parameters that are not valid",
        401 => "The request is not authorised",
        403 => "The request is not allowed",
        404 => "What was asked for does not exist",
        409 => "The request is in conflict with what is there",
        410 => "What was asked for has expired or is not valid any more",
        _ => "The request could not be answered",
    }
}
