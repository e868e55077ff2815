//! Refusals and faults in the shape of the API: a gRPC status code, a text, and an id that says which rule it was.
#![warn(clippy::wildcard_enum_match_arm)]

use std::borrow::Cow;
use std::time::Duration;

use engine::{Error, Refusal};

/// A gRPC status code, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

/// Which of the API's methods was refused: a few refusals mean different things in different ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// The token was judged, or something read.
    Read,
    /// `SetMyEmail`
    Set,
    /// `ResendMyEmailVerification`
    Resend,
    /// `VerifyMyEmail`
    Verify,
}

/// An answer that is an error. It knows no transport.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) code: Code,
    /// What is wrong, for people. Never a piece of what was sent.
    pub(crate) text: Cow<'static, str>,
    /// Which rule it was; none where a request did not get as far as the rules.
    pub(crate) id: Option<&'static str>,
    /// How long to wait.
    pub(crate) retry_after: Option<Duration>,
}

/// The id of every token that is worth nothing, for whatever reason.
const TOKEN_INVALID: &str = "AUTH-7fs1e";

impl Status {
    const fn new(code: Code, text: &'static str, id: &'static str) -> Self {
        Self { code, text: Cow::Borrowed(text), id: Some(id), retry_after: None }
    }

    /// One that stems from the frame of a request, and so has no id.
    pub(crate) fn of_frame(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, text: text.into(), id: None, retry_after: None }
    }

    /// What the engine's error comes to. A fault is logged here, once.
    pub(crate) fn of(method: Method, error: Error) -> Self {
        match error {
            Error::Refused { refusal, flow: _ } => Self::of_refusal(method, refusal),
            Error::Failed(fault) => {
                tracing::error!(dialect = crate::NAME, fault = fault.report(), "a request failed");
                if fault.is_temporary() { Self::unavailable() } else { Self::internal() }
            }
        }
    }

    fn of_refusal(method: Method, refusal: Refusal) -> Self {
        match refusal {
            // Wrong and expired look alike, as with the original.
            Refusal::CodeMismatch { left: _ } | Refusal::CodeExpired | Refusal::FlowExpired => {
                Self::new(Code::InvalidArgument, "Code is invalid", "COMMAND-Gdsgs")
            }
            Refusal::FlowNotFound | Refusal::FlowPassed => match method {
                // It was verified between two steps of ours.
                Method::Resend => Self::already_verified(),
                Method::Read | Method::Set | Method::Verify => Self::code_not_found(),
            },
            // That the address is somebody else's by now is told to nobody.
            Refusal::AttemptsExhausted | Refusal::AddressTaken => Self::code_not_found(),
            Refusal::IdentityNotFound => match method {
                Method::Read => Self::new(Code::NotFound, "User could not be found", "QUERY-Hms2s"),
                Method::Set | Method::Resend => Self::no_email(method),
                Method::Verify => Self::code_not_found(),
            },
            Refusal::AddressMalformed => Self::email_invalid(),
            Refusal::IdentityInactive
            | Refusal::SessionEnded
            | Refusal::TokenInvalid
            | Refusal::TokenReused
            | Refusal::TicketInvalid
            | Refusal::TicketReused => Self::token_invalid(),
            Refusal::TooSoon { retry_after } => {
                // Ours: the original has no limit.
                let status = Self::new(Code::ResourceExhausted, "Too many requests", "CSIGN-RATE1");
                Self { retry_after: Some(retry_after), ..status }
            }
            // Nothing here asks for a change of an identity as it was.
            Refusal::IdentityChanged => Self::internal(),
        }
    }

    /// No code is out that could be compared, for whatever reason.
    fn code_not_found() -> Self {
        Self::new(Code::NotFound, "Code not found", "COMMAND-3n8ud")
    }

    /// There is nothing to verify.
    pub(crate) fn already_verified() -> Self {
        Self::new(Code::FailedPrecondition, "Email is already verified", "COMMAND-3M9ds")
    }

    /// The address is the one that is there.
    pub(crate) fn email_not_changed() -> Self {
        Self::new(Code::FailedPrecondition, "Email not changed", "COMMAND-2b7fM")
    }

    /// A mailbox that is no plain address.
    pub(crate) fn email_invalid() -> Self {
        Self::new(Code::InvalidArgument, "Email is invalid", "EMAIL-599BI")
    }

    /// The user has no e-mail address. The original says it with one id and two codes.
    pub(crate) fn no_email(method: Method) -> Self {
        let code = if method == Method::Set { Code::FailedPrecondition } else { Code::NotFound };
        Self::new(code, "Email not found", "COMMAND-0Pe4r")
    }

    /// A field that is nothing it may be: `field` is the message and the field, as in `VerifyMyEmailRequest.Code`.
    pub(crate) fn invalid_field(field: &str, reason: &str) -> Self {
        Self::of_frame(Code::InvalidArgument, format!("invalid {field}: {reason}"))
    }

    /// No `authorization`.
    pub(crate) fn token_missing() -> Self {
        Self::of_frame(Code::Unauthenticated, "auth header missing")
    }

    /// An `authorization` that is no bearer's.
    pub(crate) fn no_bearer() -> Self {
        Self::new(Code::Unauthenticated, "invalid auth header", "AUTH-toLo1")
    }

    /// A token that is worth nothing: unknown, altered, over, of another kind or audience, of a session that has ended, of somebody
    /// who may not sign in. The text is a key that the original does not translate either.
    pub(crate) fn token_invalid() -> Self {
        Self::new(Code::Unauthenticated, "Errors.Token.Invalid", TOKEN_INVALID)
    }

    /// Whether a token was brought and is worth nothing.
    pub(crate) fn is_token_invalid(&self) -> bool {
        self.id == Some(TOKEN_INVALID)
    }

    /// A page of an origin that is not allowed.
    pub(crate) fn origin_not_allowed() -> Self {
        Self::new(Code::PermissionDenied, "Errors.OriginNotAllowed", "AUTH-DZG21")
    }

    /// An organisation that is not this one.
    pub(crate) fn no_such_organisation() -> Self {
        Self::new(Code::PermissionDenied, "Organisation doesn't exist", "AUTH-Bs7Ds")
    }

    /// Ours, told in no words of ours.
    pub(crate) fn internal() -> Self {
        Self::of_frame(Code::Internal, "An internal error occurred")
    }

    /// The same where it may be better in a moment.
    pub(crate) fn unavailable() -> Self {
        let status = Self::of_frame(Code::Unavailable, "try again later");
        Self { retry_after: Some(web::respond::RETRY_SOON), ..status }
    }

    /// The text with the id behind it, as it is printed.
    pub(crate) fn message(&self) -> Cow<'_, str> {
        match self.id {
            Some(id) => Cow::Owned(format!("{} ({id})", self.text)),
            None => Cow::Borrowed(&self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A code and an id.
    type Said = (Code, Option<&'static str>);

    /// A refusal, and what it comes to in each method, in the order of [`METHODS`].
    const REFUSALS: [(Refusal, [Said; 4]); 17] = {
        const NO_CODE: Said = (Code::NotFound, Some("COMMAND-3n8ud"));
        const WRONG: Said = (Code::InvalidArgument, Some("COMMAND-Gdsgs"));
        const VERIFIED: Said = (Code::FailedPrecondition, Some("COMMAND-3M9ds"));
        const TOKEN: Said = (Code::Unauthenticated, Some("AUTH-7fs1e"));
        const NO_USER: Said = (Code::NotFound, Some("QUERY-Hms2s"));
        const NO_EMAIL: [Said; 2] =
            [(Code::FailedPrecondition, Some("COMMAND-0Pe4r")), (Code::NotFound, Some("COMMAND-0Pe4r"))];
        [
            (Refusal::FlowNotFound, [NO_CODE, NO_CODE, VERIFIED, NO_CODE]),
            (Refusal::FlowPassed, [NO_CODE, NO_CODE, VERIFIED, NO_CODE]),
            (Refusal::FlowExpired, [WRONG; 4]),
            (Refusal::CodeExpired, [WRONG; 4]),
            (Refusal::CodeMismatch { left: 3 }, [WRONG; 4]),
            (Refusal::AttemptsExhausted, [NO_CODE; 4]),
            (Refusal::AddressTaken, [NO_CODE; 4]),
            (Refusal::AddressMalformed, [(Code::InvalidArgument, Some("EMAIL-599BI")); 4]),
            (Refusal::IdentityNotFound, [NO_USER, NO_EMAIL[0], NO_EMAIL[1], NO_CODE]),
            (Refusal::IdentityInactive, [TOKEN; 4]),
            (Refusal::IdentityChanged, [(Code::Internal, None); 4]),
            (Refusal::SessionEnded, [TOKEN; 4]),
            (Refusal::TokenInvalid, [TOKEN; 4]),
            (Refusal::TokenReused, [TOKEN; 4]),
            (Refusal::TicketInvalid, [TOKEN; 4]),
            (Refusal::TicketReused, [TOKEN; 4]),
            (
                Refusal::TooSoon { retry_after: Duration::from_secs(61) },
                [(Code::ResourceExhausted, Some("CSIGN-RATE1")); 4],
            ),
        ]
    };

    const METHODS: [Method; 4] = [Method::Read, Method::Set, Method::Resend, Method::Verify];

    #[test]
    fn every_refusal_has_one_answer_in_each_method() {
        for (refusal, expected) in REFUSALS {
            for (method, expected) in METHODS.into_iter().zip(expected) {
                let status = Status::of(method, refusal.into());
                assert_eq!((status.code, status.id), expected, "{refusal:?} in {method:?}");
                assert!(!status.text.is_empty());
                assert_eq!(status.retry_after.is_some(), matches!(refusal, Refusal::TooSoon { .. }));
            }
        }
    }
}
