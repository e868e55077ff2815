//! Refusals, faults and failures in the shape of the surface: a gRPC status as JSON.
#![warn(clippy::wildcard_enum_match_arm)]

use std::time::Duration;

use axum::response::Response;
use engine::{Error, Refusal};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use web::{BodyError, Failure, respond};

/// The gRPC codes in use (google.rpc.Code): number, name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    ResourceExhausted,
    Unimplemented,
    Internal,
    Unavailable,
}

impl Code {
    const fn number(self) -> u16 {
        match self {
            Self::InvalidArgument => 3,
            Self::DeadlineExceeded => 4,
            Self::NotFound => 5,
            Self::ResourceExhausted => 8,
            Self::Unimplemented => 12,
            Self::Internal => 13,
            Self::Unavailable => 14,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound => "NOT_FOUND",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
        }
    }
}

/// An answer that is an error.
#[derive(Debug)]
pub(crate) struct Status {
    http: StatusCode,
    code: Code,
    message: String,
    detail: Option<Detail>,
}

/// What is known besides.
#[derive(Debug)]
enum Detail {
    /// One field is to blame.
    Field(&'static str),
    /// When to come back.
    Retry(Duration),
}

/// What a refusal comes to on this surface.
pub(crate) enum Answer {
    /// 200 with `failure.INVALID_CODE`: which of many reasons it was is nobody's business.
    InvalidCode,
    /// An error.
    Status(Status),
}

impl Answer {
    /// What the engine's error comes to. A fault is logged here, once.
    pub(crate) fn of(error: Error) -> Self {
        match error {
            Error::Refused { refusal, flow: _ } => Self::of_refusal(refusal),
            Error::Failed(fault) => {
                tracing::error!(dialect = crate::NAME, fault = fault.report(), "a request failed");
                Self::Status(if fault.is_temporary() { Status::unavailable() } else { Status::internal() })
            }
        }
    }

    fn of_refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::CodeMismatch { left: _ }
            | Refusal::CodeExpired
            | Refusal::AttemptsExhausted
            | Refusal::FlowNotFound
            | Refusal::FlowExpired
            | Refusal::FlowPassed
            | Refusal::AddressTaken
            | Refusal::IdentityNotFound
            | Refusal::IdentityInactive
            | Refusal::SessionEnded
            | Refusal::TokenInvalid
            | Refusal::TokenReused
            | Refusal::IdentityChanged
            | Refusal::TicketInvalid
            | Refusal::TicketReused => Self::InvalidCode,
            Refusal::AddressMalformed => Self::Status(Status::field("email", "email must be an e-mail address")),
            Refusal::TooSoon { retry_after } => Self::Status(Status::too_soon(retry_after)),
        }
    }
}

impl Status {
    fn new(http: StatusCode, code: Code, message: impl Into<String>) -> Self {
        Self { http, code, message: message.into(), detail: None }
    }

    /// A field that is missing or wrong.
    pub(crate) fn field(field: &'static str, message: &str) -> Self {
        let status = Self::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, message);
        Self { detail: Some(Detail::Field(field)), ..status }
    }

    /// A header that does not go with JSON.
    pub(crate) fn unsupported(message: &str) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, message)
    }

    /// Ours, told in no words of ours.
    pub(crate) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, "internal error")
    }

    fn unavailable() -> Self {
        let status = Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "try again later");
        Self { detail: Some(Detail::Retry(respond::RETRY_SOON)), ..status }
    }

    fn too_soon(retry_after: Duration) -> Self {
        let status = Self::new(StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted, "too many login attempts");
        Self { detail: Some(Detail::Retry(retry_after)), ..status }
    }

    /// What happened outside of the handlers.
    pub(crate) fn of_failure(failure: Failure) -> Self {
        match failure {
            Failure::NotFound => Self::new(StatusCode::NOT_FOUND, Code::NotFound, "no such path"),
            Failure::WrongVerb => {
                Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented, "the path does not have this verb")
            }
            Failure::Panicked => Self::internal(),
            Failure::TimedOut => {
                Self::new(StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded, "the request did not arrive in time")
            }
            Failure::BodyTooLarge => Self::of_body(&BodyError::TooLarge),
            Failure::Unavailable => Self::unavailable(),
        }
    }

    /// A body that cannot be read.
    pub(crate) fn of_body(error: &BodyError) -> Self {
        let (http, code) = match error {
            BodyError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted),
            BodyError::ContentEncoding => (StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument),
            BodyError::ContentType
            | BodyError::Interrupted
            | BodyError::Encoding
            | BodyError::Syntax(_)
            | BodyError::NotAnObject
            | BodyError::TooDeep
            | BodyError::Missing { field: _ }
            | BodyError::Duplicate { field: _ }
            | BodyError::WrongType { position: _ } => (StatusCode::BAD_REQUEST, Code::InvalidArgument),
        };
        Self::new(http, code, error.to_string())
    }

    /// The error as it goes out.
    pub(crate) fn into_response(self) -> Response {
        let detail = self.detail.as_ref().map(|detail| [RpcDetail::of(detail)]);
        let body = RpcStatus {
            code: self.code.number(),
            name: self.code.name(),
            message: &self.message,
            details: detail.as_ref().map(<[_; 1]>::as_slice),
        };
        let mut response = respond::json(self.http, &body);
        let headers = response.headers_mut();
        headers.insert("grpc-status", HeaderValue::from(self.code.number()));
        if let Some(Detail::Retry(wait)) = self.detail {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        response
    }
}

/// Rounded up: who comes back then is not early.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// The JSON of a status: the order of members is the original's.
#[derive(Serialize)]
struct RpcStatus<'a> {
    code: u16,
    #[serde(rename = "grpc-code")]
    name: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a [RpcDetail]>,
}

/// `google/rpc/error_details.proto`, as JSON.
#[derive(Serialize)]
#[serde(tag = "@type")]
enum RpcDetail {
    #[serde(rename = "type.googleapis.com/google.rpc.BadRequest")]
    BadRequest {
        #[serde(rename = "fieldViolations")]
        field_violations: [FieldViolation; 1],
    },
    #[serde(rename = "type.googleapis.com/google.rpc.RetryInfo")]
    RetryInfo {
        #[serde(rename = "retryDelay")]
        retry_delay: String,
    },
}

#[derive(Serialize)]
struct FieldViolation {
    field: &'static str,
}

impl RpcDetail {
    fn of(detail: &Detail) -> Self {
        match detail {
            Detail::Field(field) => Self::BadRequest { field_violations: [FieldViolation { field }] },
            Detail::Retry(wait) => Self::RetryInfo { retry_delay: format!("{}s", whole_seconds(*wait)) },
        }
    }
}
