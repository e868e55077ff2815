//! Refusals, faults and failures in OAuth's words (RFC 6749, 5.2; RFC 6750, 3.1).
#![warn(clippy::wildcard_enum_match_arm)]

use axum::response::Response;
use engine::{Error, Refusal};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use web::{BodyError, Failure, respond};

/// An answer that is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OAuthError {
    status: StatusCode,
    /// `error`.
    pub(crate) code: &'static str,
    /// `error_description`: plain ASCII, and nothing of what was sent.
    pub(crate) description: &'static str,
    challenge: Option<Challenge>,
}

/// What `www-authenticate` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Challenge {
    Basic,
    Bearer,
    /// Without a token there is no error to name (RFC 6750, 3).
    BearerUnasked,
}

#[derive(Serialize)]
struct Body {
    error: &'static str,
    error_description: &'static str,
}

impl OAuthError {
    const fn new(status: StatusCode, code: &'static str, description: &'static str) -> Self {
        Self { status, code, description, challenge: None }
    }

    /// What the engine's error comes to where a grant or a token is judged. A fault is logged here, once.
    pub(crate) fn of(error: Error) -> Self {
        match error {
            Error::Refused { refusal, flow: _ } => Self::of_refusal(refusal),
            Error::Failed(fault) => {
                tracing::error!(dialect = crate::NAME, fault = fault.report(), "a request failed");
                if fault.is_temporary() { Self::unavailable() } else { Self::internal() }
            }
        }
    }

    const fn of_refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TicketInvalid => Self::invalid_grant("the code is wrong, over, or was made for another request"),
            Refusal::TicketReused => {
                Self::invalid_grant("the code was used before, and what it was good for has been taken back")
            }
            Refusal::TokenReused => {
                Self::invalid_grant("the refresh token was replaced long ago, and its session has ended")
            }
            Refusal::TokenInvalid | Refusal::SessionEnded => {
                Self::invalid_grant("the token is wrong, over, or has been taken back")
            }
            Refusal::IdentityNotFound | Refusal::IdentityInactive => {
                Self::invalid_grant("the person may not sign in any more")
            }
            // No operation that is judged here asks for or compares a code, or changes an identity.
            Refusal::FlowNotFound
            | Refusal::FlowExpired
            | Refusal::FlowPassed
            | Refusal::CodeMismatch { left: _ }
            | Refusal::CodeExpired
            | Refusal::AttemptsExhausted
            | Refusal::AddressMalformed
            | Refusal::AddressTaken
            | Refusal::IdentityChanged
            | Refusal::TooSoon { retry_after: _ } => Self::internal(),
        }
    }

    /// The same where a bearer is judged: every refusal is a token that is worth nothing.
    pub(crate) fn of_bearer(error: Error) -> Self {
        match error {
            Error::Refused { .. } => Self::invalid_token(),
            Error::Failed(_) => Self::of(error),
        }
    }

    /// A parameter that is missing, there twice, or nothing it may be.
    pub(crate) const fn invalid_request(description: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", description)
    }

    /// No application, or not the one it says it is.
    pub(crate) const fn invalid_client(used_basic: bool) -> Self {
        let error =
            Self::new(StatusCode::UNAUTHORIZED, "invalid_client", "the client is unknown, or has another secret");
        Self { challenge: if used_basic { Some(Challenge::Basic) } else { None }, ..error }
    }

    /// A code or a refresh token that is worth nothing to this application.
    pub(crate) const fn invalid_grant(description: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_grant", description)
    }

    /// A grant that is not served.
    pub(crate) const fn unsupported_grant_type() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "unsupported_grant_type", "authorization_code and refresh_token are served")
    }

    /// A scope that was never granted, or none that there is.
    pub(crate) const fn invalid_scope(description: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_scope", description)
    }

    /// Any other error of an authorization request; it is sent by a redirect and never with this status.
    pub(crate) const fn authorization(code: &'static str, description: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, description)
    }

    /// A bearer that is worth nothing.
    pub(crate) const fn invalid_token() -> Self {
        let error =
            Self::new(StatusCode::UNAUTHORIZED, "invalid_token", "the token is wrong, over, or has been taken back");
        Self { challenge: Some(Challenge::Bearer), ..error }
    }

    /// No bearer at all.
    pub(crate) const fn token_missing() -> Self {
        let error = Self::new(StatusCode::UNAUTHORIZED, "invalid_request", "access token missing");
        Self { challenge: Some(Challenge::BearerUnasked), ..error }
    }

    /// A bearer that is good for other things.
    pub(crate) const fn insufficient_scope() -> Self {
        let error = Self::new(StatusCode::FORBIDDEN, "insufficient_scope", "the scope openid is needed");
        Self { challenge: Some(Challenge::Bearer), ..error }
    }

    /// Ours, told in no words of ours.
    pub(crate) const fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "internal error")
    }

    const fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "try again later")
    }

    /// The status it is answered with.
    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    /// A body that cannot be read.
    pub(crate) const fn of_body(error: &BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", "the body is too long"),
            BodyError::ContentType => Self::invalid_request("the body must be application/x-www-form-urlencoded"),
            BodyError::Duplicate { field: _ } => Self::invalid_request("a parameter is given more than once"),
            BodyError::ContentEncoding
            | BodyError::Interrupted
            | BodyError::Encoding
            | BodyError::Syntax(_)
            | BodyError::NotAnObject
            | BodyError::TooDeep
            | BodyError::Missing { field: _ }
            | BodyError::WrongType { position: _ } => Self::invalid_request("the body cannot be read"),
        }
    }

    /// What happened outside of the handlers.
    pub(crate) const fn of_failure(failure: Failure) -> Self {
        match failure {
            Failure::NotFound => Self::new(StatusCode::NOT_FOUND, "not_found", "no such path"),
            Failure::WrongVerb => {
                Self::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", "the path does not have this verb")
            }
            Failure::Panicked => Self::internal(),
            Failure::TimedOut => {
                Self::new(StatusCode::REQUEST_TIMEOUT, "invalid_request", "the request did not arrive in time")
            }
            Failure::BodyTooLarge => Self::of_body(&BodyError::TooLarge),
            Failure::Unavailable => Self::unavailable(),
        }
    }

    /// The error as an answer.
    pub(crate) fn into_response(self) -> Response {
        let body = Body { error: self.code, error_description: self.description };
        let mut response = respond::json(self.status, &body);
        let challenge = self.challenge.map(|challenge| match challenge {
            Challenge::Basic => "Basic realm=\"countersign\"".to_owned(),
            Challenge::BearerUnasked => "Bearer".to_owned(),
            Challenge::Bearer => format!("Bearer error=\"{}\", error_description=\"{}\"", self.code, self.description),
        });
        if let Some(challenge) = challenge.and_then(|challenge| HeaderValue::try_from(challenge).ok()) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        respond::with_retry(response)
    }
}
