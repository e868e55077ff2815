//! Refusals, faults and failures in the shape of the surface: a code, what it means, what it means here.
#![warn(clippy::wildcard_enum_match_arm)]

use std::borrow::Cow;
use std::time::Duration;

use axum::response::Response;
use engine::{Error, Refusal};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use web::{BodyError, Failure, respond};

/// A code of the API, and what it means in general.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Code(&'static str, &'static str);

const MALFORMED: Code = Code("E011001", "Request is malformed");
const UNAUTHORIZED: Code = Code("E011002", "Missing required arguments");
const INVALID: Code = Code("E011003", "Request is invalid");
const UNSUPPORTED: Code = Code("E011004", "Invalid combination of arguments");
const PROJECT_NOT_FOUND: Code = Code("E011008", "Project not found");
const CODE_INVALID: Code = Code("E061102", "One time code is invalid");
const CODE_EXHAUSTED: Code = Code("E061103", "Too many attempts");
const CODE_EXPIRED: Code = Code("E061104", "One time code has expired");
const USER_EXISTS: Code = Code("E062107", "User already exists");
const USER_NOT_FOUND: Code = Code("E062108", "User not found");
const TOKEN_INVALID: Code = Code("E064001", "Token is invalid");
const TOO_MANY: Code = Code("E130429", "API rate limit exceeded");
/// Ours: the original has no stable one.
const INTERNAL: Code = Code("E000500", "Internal error");
/// Ours, too.
const UNAVAILABLE: Code = Code("E000503", "Temporarily unavailable");

/// Which call of the engine was refused: a few refusals mean different things in different ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// A sign-in or sign-up was started.
    Start,
    /// A change of address was started.
    Update {
        /// Whether two users were to become one, if need be.
        is_merge: bool,
    },
    /// A code was brought back.
    Verify,
    /// A token was judged, or the session it names.
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
    fn new(http: StatusCode, code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { http, code, message: message.into(), retry_after: None }
    }

    fn refused(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, message)
    }

    /// What the engine's error comes to. A fault is logged here, once.
    pub(crate) fn of(call: Call, error: Error) -> Self {
        match error {
            Error::Refused { refusal, flow: _ } => Self::of_refusal(call, refusal),
            Error::Failed(fault) => {
                tracing::error!(dialect = crate::NAME, fault = fault.report(), "a request failed");
                if fault.is_temporary() { Self::unavailable() } else { Self::internal() }
            }
        }
    }

    fn of_refusal(call: Call, refusal: Refusal) -> Self {
        match refusal {
            Refusal::CodeMismatch { left: _ } | Refusal::FlowNotFound | Refusal::FlowPassed => Self::wrong_code(),
            Refusal::CodeExpired | Refusal::FlowExpired => {
                Self::refused(CODE_EXPIRED, "The code has expired, ask for another one")
            }
            Refusal::AttemptsExhausted => Self::refused(CODE_EXHAUSTED, "Too many wrong codes, ask for another one"),
            Refusal::AddressMalformed => Self::field("loginId", "must be a valid email address"),
            Refusal::AddressTaken => match call {
                Call::Update { is_merge: true } => Self::unsupported("Merging two users is not supported"),
                Call::Start | Call::Update { is_merge: false } => {
                    Self::new(StatusCode::BAD_REQUEST, USER_EXISTS, "User already exists")
                }
                Call::Verify | Call::Session => Self::wrong_code(),
            },
            Refusal::IdentityNotFound => match call {
                Call::Start => Self::new(StatusCode::BAD_REQUEST, USER_NOT_FOUND, "Cannot find user"),
                Call::Update { is_merge: _ } => {
                    Self::refused(TOKEN_INVALID, "The loginId field is not a login ID of the token's user")
                }
                Call::Verify | Call::Session => Self::wrong_code(),
            },
            Refusal::IdentityInactive => Self::new(StatusCode::FORBIDDEN, INVALID, "User is disabled"),
            // The words are looked for by a test of the .NET SDK.
            Refusal::SessionEnded => Self::refused(TOKEN_INVALID, "Expired due to logout"),
            // Nothing here takes tickets or changes identities by hand.
            Refusal::TokenInvalid | Refusal::TicketInvalid | Refusal::TicketReused | Refusal::IdentityChanged => {
                Self::token_invalid()
            }
            Refusal::TokenReused => Self::refused(TOKEN_INVALID, "The token was replaced, and its session has ended"),
            Refusal::TooSoon { retry_after } => {
                let status = Self::new(StatusCode::TOO_MANY_REQUESTS, TOO_MANY, "Too many messages were asked for");
                Self { retry_after: Some(retry_after), ..status }
            }
        }
    }

    /// The one answer to every code that does not pass, for whatever reason: none tells whether anybody has the login id.
    fn wrong_code() -> Self {
        Self::refused(CODE_INVALID, "The code is wrong or is not valid any more")
    }

    /// A token that none of the project's keys signed, or that is over, or of the wrong kind.
    pub(crate) fn token_invalid() -> Self {
        Self::refused(TOKEN_INVALID, "The token is invalid or has expired")
    }

    /// No `authorization` that names a project.
    pub(crate) fn unauthorized() -> Self {
        Self::refused(UNAUTHORIZED, "The authorization header must be a bearer with a project ID")
    }

    /// A route that needs a token, and none came.
    pub(crate) fn token_missing(which: &'static str) -> Self {
        Self::refused(UNAUTHORIZED, format!("A {which} is required"))
    }

    /// A project that is not configured.
    pub(crate) fn project_not_found() -> Self {
        Self::refused(PROJECT_NOT_FOUND, "Project not found")
    }

    /// The same, where the project is what is asked for.
    pub(crate) fn no_such_keys() -> Self {
        Self::new(StatusCode::NOT_FOUND, PROJECT_NOT_FOUND, "Project not found")
    }

    /// A field that must be there is not.
    pub(crate) fn required(field: &str) -> Self {
        Self::field(field, "is required")
    }

    /// A field that is nothing it may be.
    pub(crate) fn field(field: &str, what: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID, format!("The {field} field {what}"))
    }

    /// Something that is asked for and not served.
    pub(crate) fn unsupported(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, UNSUPPORTED, message)
    }

    /// Whether the caller is to blame, and not us.
    pub(crate) fn is_of_caller(&self) -> bool {
        self.http.is_client_error()
    }

    /// Ours, told in no words of ours.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL, "Something went wrong")
    }

    /// The same where it may be better in a moment: the SDKs ask again for some seconds.
    fn unavailable() -> Self {
        let status = Self::new(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE, "Try again in a moment");
        Self { retry_after: Some(respond::RETRY_SOON), ..status }
    }

    /// What happened outside of the handlers.
    pub(crate) fn of_failure(failure: Failure) -> Self {
        match failure {
            Failure::NotFound => Self::new(StatusCode::NOT_FOUND, MALFORMED, "This path is not served"),
            Failure::WrongVerb => {
                Self::new(StatusCode::METHOD_NOT_ALLOWED, MALFORMED, "This path does not have this verb")
            }
            Failure::TimedOut => {
                Self::new(StatusCode::REQUEST_TIMEOUT, MALFORMED, "The request did not arrive in time")
            }
            Failure::BodyTooLarge => Self::of_body(&BodyError::TooLarge),
            Failure::Panicked => Self::internal(),
            Failure::Unavailable => Self::unavailable(),
        }
    }

    /// A body that cannot be read.
    pub(crate) fn of_body(error: &BodyError) -> Self {
        let http = match error {
            BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::ContentEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            BodyError::ContentType
            | BodyError::Interrupted
            | BodyError::Encoding
            | BodyError::Syntax(_)
            | BodyError::NotAnObject
            | BodyError::TooDeep
            | BodyError::Missing { field: _ }
            | BodyError::Duplicate { field: _ }
            | BodyError::WrongType { position: _ } => StatusCode::BAD_REQUEST,
        };
        Self::new(http, MALFORMED, error.to_string())
    }

    /// The error as it goes out.
    pub(crate) fn into_response(self) -> Response {
        let Code(code, description) = self.code;
        let body = ErrorBody { code, description, error_message: &self.message, message: &self.message };
        let mut response = respond::json(self.http, &body);
        if let Some(wait) = self.retry_after {
            // Rounded up: who comes back then is not early.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The JSON of an error.
#[derive(Serialize)]
struct ErrorBody<'a> {
    #[serde(rename = "errorCode")]
    code: &'static str,
    #[serde(rename = "errorDescription")]
    description: &'static str,
    #[serde(rename = "errorMessage")]
    error_message: &'a str,
    message: &'a str,
}
