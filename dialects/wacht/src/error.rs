//! Refusals, faults and failures in the shape of the surface: an HTTP status, a code, a sentence for who reads it on a page.
#![warn(clippy::wildcard_enum_match_arm)]

use std::borrow::Cow;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use engine::{Error, Flow, Refusal, Timestamp};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use web::{BodyError, Failure, respond};

use crate::envelope::Envelope;

/// A code of the API; none where the original gives none either.
type Code = Option<&'static str>;

/// Which call of the engine was refused: a few refusals mean different things in different ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// A code was asked for.
    Prepare,
    /// A code was brought back.
    Verify,
    /// A session was read or changed.
    Session,
}

/// An answer that is an error.
#[derive(Debug)]
pub(crate) struct Status {
    http: StatusCode,
    code: Code,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
}

impl Status {
    fn new(http: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { http, code: Some(code), message: message.into(), retry_after: None }
    }

    fn bad(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// What the engine's error comes to. A fault is logged here, once.
    pub(crate) fn of(call: Call, now: Timestamp, error: Error) -> Self {
        match error {
            Error::Refused { refusal, flow } => Self::of_refusal(call, now, refusal, flow.as_deref()),
            Error::Failed(fault) => {
                tracing::error!(dialect = crate::NAME, fault = fault.report(), "a request failed");
                if fault.is_temporary() { Self::unavailable() } else { Self::internal() }
            }
        }
    }

    fn of_refusal(call: Call, now: Timestamp, refusal: Refusal, flow: Option<&Flow>) -> Self {
        match refusal {
            Refusal::CodeMismatch { left: _ } => Self::wrong_code(),
            // The attempt is there, and nothing was sent for it.
            Refusal::FlowNotFound if call == Call::Verify && flow.is_some() => Self::expired_code(),
            Refusal::CodeExpired => Self::expired_code(),
            Refusal::FlowNotFound | Refusal::FlowPassed | Refusal::FlowExpired => Self::no_such_attempt(),
            Refusal::AttemptsExhausted => {
                let message = "There were too many wrong codes. Begin again";
                let status = Self::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_ATTEMPTS", message);
                Self { retry_after: flow.map(|flow| flow.expires_at.since(now)), ..status }
            }
            Refusal::AddressMalformed => Self::invalid("The email address is not valid"),
            Refusal::AddressTaken => Self::email_exists(),
            Refusal::IdentityNotFound => match call {
                // Nobody has the address any more; that is no other answer than to a wrong code.
                Call::Prepare | Call::Verify => Self::wrong_code(),
                Call::Session => Self::unauthenticated(),
            },
            Refusal::IdentityInactive => Self::disabled(),
            Refusal::SessionEnded => Self::no_such_sign_in(),
            Refusal::TokenInvalid | Refusal::TokenReused => Self::unauthenticated(),
            Refusal::TooSoon { retry_after } => {
                let message = "Too many codes were asked for. Try again later";
                let status = Self::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMIT_EXCEEDED", message);
                Self { retry_after: Some(retry_after), ..status }
            }
            // Nothing here changes identities or takes tickets.
            Refusal::IdentityChanged | Refusal::TicketInvalid | Refusal::TicketReused => Self::internal(),
        }
    }

    fn wrong_code() -> Self {
        Self::bad("INVALID_CODE", "The code is wrong")
    }

    fn expired_code() -> Self {
        Self::bad("EXPIRED_CODE", "The code has expired. Ask for another one")
    }

    /// An attempt that is unknown, over, done, or another session's: none is told from the others.
    pub(crate) fn no_such_attempt() -> Self {
        Self::bad("INVALID_ATTEMPT", "There is no such attempt, or it is over. Begin again")
    }

    /// A request that brings no code.
    pub(crate) fn code_required() -> Self {
        Self::bad("CODE_REQUIRED", "The code is required")
    }

    /// A request that says not how to verify.
    pub(crate) fn strategy_required() -> Self {
        Self::bad("VERIFICATION_STRATEGY_REQUIRED", "The strategy is required")
    }

    /// A request that does not fit the step an attempt, or a session, is at.
    pub(crate) fn state(message: &'static str) -> Self {
        Self::bad("INVALID_STATE", message)
    }

    /// A field that is nothing it may be.
    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::bad("VALIDATION_ERROR", message)
    }

    /// A field that must be there to sign up.
    pub(crate) fn field_required(field: &str) -> Self {
        Self::bad("REQUIRED_FIELD", format!("{field} is required"))
    }

    /// A question about an identifier that names none.
    pub(crate) fn identifier_missing() -> Self {
        Self::bad("MISSING_IDENTIFIER", "An identifier and its type are required: email or username")
    }

    /// Somebody has the address.
    pub(crate) fn email_exists() -> Self {
        Self::bad("EMAIL_EXISTS", "Somebody has this email address already")
    }

    /// Nobody signs up by himself.
    pub(crate) fn sign_up_restricted() -> Self {
        Self::new(StatusCode::FORBIDDEN, "SIGNUP_RESTRICTED", "Nobody can sign up here")
    }

    /// Who signs in is signed in at this session.
    pub(crate) fn signed_in_already() -> Self {
        Self::bad("USER_ALREADY_SIGNED_IN", "You are signed in already")
    }

    /// A sign-in that this session does not have.
    pub(crate) fn no_such_sign_in() -> Self {
        Self::bad("INVALID_SIGNIN", "There is no such sign-in")
    }

    /// Nobody is signed in.
    pub(crate) fn unauthenticated() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "NOT_AUTHENTICATED", "You are not signed in")
    }

    /// An operator said that this one may not sign in.
    pub(crate) fn disabled() -> Self {
        Self::new(StatusCode::FORBIDDEN, "USER_DISABLED", "This account is disabled")
    }

    /// A template of tokens that is not there.
    pub(crate) fn no_such_template() -> Self {
        Self::new(StatusCode::NOT_FOUND, "VALIDATION_ERROR", "There is no such token template")
    }

    /// More attempts than a session may have at once.
    pub(crate) fn too_many_attempts(retry_after: Duration) -> Self {
        let message = "Too many attempts are open. Try again later";
        let status = Self::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_REQUESTS", message);
        Self { retry_after: Some(retry_after), ..status }
    }

    /// A page that the operator did not list.
    pub(crate) fn strange_page() -> Self {
        Self::new(StatusCode::FORBIDDEN, "UNAUTHORIZED", "This page may not ask here")
    }

    /// Ours, told in no words of ours.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "Something went wrong")
    }

    /// The same where it may be better in a moment.
    fn unavailable() -> Self {
        let message = "Something went wrong. Try again in a moment";
        let status = Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message);
        Self { retry_after: Some(respond::RETRY_SOON), ..status }
    }

    /// What happened outside of the handlers.
    pub(crate) fn of_failure(failure: Failure) -> Self {
        let plain = |http, message: &'static str| Self { http, code: None, message: message.into(), retry_after: None };
        match failure {
            Failure::NotFound => plain(StatusCode::NOT_FOUND, "This resource does not exist"),
            Failure::WrongVerb => plain(StatusCode::METHOD_NOT_ALLOWED, "This resource does not have this method"),
            Failure::TimedOut => plain(StatusCode::REQUEST_TIMEOUT, "The request did not arrive in time"),
            Failure::BodyTooLarge => Self::of_body(&BodyError::TooLarge),
            Failure::Panicked => Self::internal(),
            Failure::Unavailable => Self::unavailable(),
        }
    }

    /// A body or query that cannot be read.
    pub(crate) fn of_body(error: &BodyError) -> Self {
        let http = match error {
            BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::ContentType | BodyError::ContentEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            BodyError::Interrupted
            | BodyError::Encoding
            | BodyError::Syntax(_)
            | BodyError::NotAnObject
            | BodyError::TooDeep
            | BodyError::Missing { field: _ }
            | BodyError::Duplicate { field: _ }
            | BodyError::WrongType { position: _ } => StatusCode::BAD_REQUEST,
        };
        Self::new(http, "BAD_REQUEST_BODY", error.to_string())
    }

    /// The error, beside the session as it is.
    pub(crate) fn with_session<S: Serialize>(self, session: Option<&S>) -> Response {
        let errors = self.code.map(|code| ErrorItem { code, message: &self.message });
        let envelope = Envelope {
            status: self.http.as_u16(),
            message: &self.message,
            data: None::<&()>,
            session,
            errors: errors.as_slice(),
        };
        let mut response = respond::json(self.http, &envelope);
        if let Some(wait) = self.retry_after {
            // Rounded up: who comes back then is not early.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl IntoResponse for Status {
    /// The error where no session is known.
    fn into_response(self) -> Response {
        self.with_session(None::<&()>)
    }
}

/// One of an envelope's `errors`.
#[derive(Serialize)]
pub(crate) struct ErrorItem<'a> {
    code: &'static str,
    message: &'a str,
}
