//! Why a mail was not taken, in words that may be logged.
//!
//! A relay's own text is never kept: it may repeat the address, the content or what its operator wrote about either. What is
//! kept is its reply code, its enhanced status code (RFC 3463) and our own words.

use std::fmt;

use thiserror::Error;

/// A relay's answer, as far as it may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// The reply code, 200 to 599.
    pub code: u16,
    /// The enhanced status code, as in `5.1.1`.
    pub enhanced: Option<(u16, u16, u16)>,
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.code)?;
        match self.enhanced {
            Some((class, subject, detail)) => write!(formatter, " {class}.{subject}.{detail}"),
            None => Ok(()),
        }
    }
}

/// Our own words for what happened, and the relay's status if there was one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    what: &'static str,
    status: Option<Status>,
}

impl Reason {
    /// Something that happened without an answer.
    pub const fn new(what: &'static str) -> Self {
        Self { what, status: None }
    }

    /// Something that a relay answered.
    pub const fn answered(what: &'static str, status: Status) -> Self {
        Self { what, status: Some(status) }
    }

    /// The relay's status, if it gave one.
    pub const fn status(&self) -> Option<Status> {
        self.status
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.what)?;
        match self.status {
            Some(status) => write!(formatter, ": {status}"),
            None => Ok(()),
        }
    }
}

/// Why a mail was not delivered. Its texts hold no code and no address.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// This mail was refused for good, and would be again.
    #[error("{reason}")]
    Refused {
        /// Why.
        reason: Reason,
    },
    /// This mail was put off, or nobody knows whether it was taken: it stays owed, under the same Message-ID.
    #[error("{reason}")]
    Deferred {
        /// Why.
        reason: Reason,
        /// Whether the relay may have taken it all the same.
        maybe_delivered: bool,
    },
    /// The relay cannot be worked with, whatever the mail: it stays owed, and another relay may take it.
    #[error("{reason}")]
    RelayFailed {
        /// Why.
        reason: Reason,
    },
}

impl SendError {
    /// The reason alone.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Refused { reason } | Self::Deferred { reason, .. } | Self::RelayFailed { reason } => *reason,
        }
    }
}
