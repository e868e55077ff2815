//! What can go wrong, told apart by whose mistake it is.
//!
//! A [`Refusal`] is the caller's: a closed list that every surface maps with an exhaustive match. A [`Fault`] is ours:
//! opaque to callers, logged once, at the edge, with its causes. [`StoreError`] is what a store may answer.

use std::fmt;
use std::time::Duration;

use crate::flow::Flow;

/// Any error that may be chained.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The engine's results.
pub type Result<T> = std::result::Result<T, Error>;

/// An operation that did not do what was asked.
#[derive(Debug)]
pub enum Error {
    /// The caller's mistake.
    Refused {
        /// What was wrong.
        refusal: Refusal,
        /// The flow as it is now, where one was found.
        flow: Option<Box<Flow>>,
    },
    /// Ours.
    Failed(Fault),
}

impl Error {
    /// A refusal without a flow.
    pub fn refused(refusal: Refusal) -> Self {
        Self::Refused { refusal, flow: None }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::refused(refusal)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Failed(fault)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// Everything a caller can do wrong. Closed: adding one makes every surface decide what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such flow, or nothing was ever asked in it.
    FlowNotFound,
    /// The flow's life is over.
    FlowExpired,
    /// The flow was completed before.
    FlowPassed,
    /// The code is wrong; `left` more guesses are evaluated.
    CodeMismatch {
        /// Guesses the flow has left.
        left: u8,
    },
    /// The code's life is over; the flow may still ask for another.
    CodeExpired,
    /// The flow has had all its guesses. Nothing was compared.
    AttemptsExhausted,
    /// What was given is no address.
    AddressMalformed,
    /// The address belongs to another identity.
    AddressTaken,
    /// There is no such identity, or the address does not belong to it any more.
    IdentityNotFound,
    /// The identity may not sign in.
    IdentityInactive,
    /// The identity was changed by somebody else in the meantime.
    IdentityChanged,
    /// There is no such session, or it is over.
    SessionEnded,
    /// The token is none of ours, or has been replaced.
    TokenInvalid,
    /// The token was replaced long ago: its session has been ended.
    TokenReused,
    /// The ticket is none of ours, over, or shown by somebody it was not made for, which ends it.
    TicketInvalid,
    /// The ticket was taken before: the session that it opened has been ended.
    TicketReused,
    /// Another message may be asked for in `retry_after`.
    TooSoon {
        /// How long to wait.
        retry_after: Duration,
    },
}

/// Ours to mend. It has no `Display`, so that no text of it reaches a caller by accident; [`Fault::report`] is for logs.
#[derive(Debug)]
pub enum Fault {
    /// Something we depend on cannot be reached or has no room: trying again later may help.
    Unavailable(BoxError),
    /// A stored value is not what it must be.
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row.
        id: i64,
    },
    /// Anything else.
    Bug(BoxError),
}

impl Fault {
    /// A fault of our own making, told in words.
    pub fn bug(what: &'static str) -> Self {
        Self::Bug(what.into())
    }

    /// Whether trying again later may help.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// The fault and its causes in one line, for the log only.
    pub fn report(&self) -> String {
        match self {
            Self::Unavailable(error) => format!("unavailable: {}", chain(error.as_ref())),
            Self::Corrupt { table, column, id } => format!("corrupt value in {table}.{column} of row {id}"),
            Self::Bug(error) => format!("bug: {}", chain(error.as_ref())),
        }
    }
}

/// An error and its causes, joined by colons.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// What a store answers when it could not do an operation. Nothing of the operation was done then.
#[derive(Debug)]
pub enum StoreError {
    /// Full, closed, busy or out of reach: trying again later may help.
    Unavailable(BoxError),
    /// A stored value is not what it must be.
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row.
        id: i64,
    },
    /// The driver refused a statement.
    Driver(BoxError),
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(error) => write!(formatter, "the store is unavailable: {error}"),
            Self::Corrupt { table, column, id } => write!(formatter, "corrupt value in {table}.{column} of row {id}"),
            Self::Driver(error) => write!(formatter, "the store's driver failed: {error}"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unavailable(error) | Self::Driver(error) => error.source(),
            Self::Corrupt { .. } => None,
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(error) => Self::Unavailable(error),
            StoreError::Corrupt { table, column, id } => Self::Corrupt { table, column, id },
            StoreError::Driver(error) => Self::Bug(error),
        }
    }
}
