//! Everything worth knowing that happens in here, as one enum.
//!
//! The engine and the store emit; what listens (metrics, log, audit) is the server's. No event carries a code, a token or an
//! address.

use std::time::Duration;

use crate::address::Channel;
use crate::code::Form;
use crate::flow::Purpose;
use crate::project::ProjectId;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A challenge was started or sent again.
    Challenged {
        /// The surface.
        dialect: &'static str,
        /// How the code travels.
        channel: Channel,
        /// What passing would mean.
        purpose: Purpose,
        /// Whether it went through.
        outcome: ChallengeOutcome,
    },
    /// A code was submitted.
    Verified {
        /// The surface.
        dialect: &'static str,
        /// What came of it.
        outcome: VerificationOutcome,
    },
    /// A code was compared with what was submitted, and was another.
    Missed {
        /// The surface.
        dialect: &'static str,
        /// What might have been guessed.
        form: Form,
    },
    /// A project sees too many wrong guesses: strangers are sent long codes until there are fewer.
    BreakerOpened {
        /// Which.
        project: ProjectId,
    },
    /// So many messages were sent to strangers in a project that it has to wait for more. Told when it begins.
    CapReached {
        /// Which.
        project: ProjectId,
    },
    /// A message is owed: the courier has work.
    MessageOwed,
    /// A delivery was tried.
    Delivered {
        /// What came of it.
        outcome: &'static str,
    },
    /// A store ran one operation.
    Stored {
        /// The operation's name.
        operation: &'static str,
        /// From being asked to being durable.
        took: Duration,
    },
    /// A node looked at the clock of the database that it shares with others. Nothing is decided by that one.
    ClocksCompared {
        /// How many milliseconds the node's is ahead; negative where it is behind.
        ahead_ms: i64,
    },
    /// A store committed a group of operations together.
    Committed {
        /// How many.
        operations: usize,
    },
}

/// What came of a start or resend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeOutcome {
    /// A message is owed (or would be, for an address nobody owns).
    Started,
    /// A repeat within two seconds, answered as the send was.
    Repeated,
    /// Refused by a send budget.
    TooSoon,
    /// Refused for any other reason.
    Refused,
}

/// What came of a submitted code. The names are the metric's labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerificationOutcome {
    /// The code was right and its purpose done.
    Passed,
    /// Compared, and wrong.
    Mismatch,
    /// Too much was guessed about the address; nothing compared.
    NotCompared,
    /// The flow had no guesses left; nothing compared.
    Exhausted,
    /// The code or its flow was over.
    Expired,
    /// Completed before.
    Replayed,
    /// No such flow.
    NotFound,
    /// The code was right, but what it was for is not possible any more.
    Refused,
}

impl VerificationOutcome {
    /// The label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Mismatch => "mismatch",
            Self::NotCompared => "not_compared",
            Self::Exhausted => "exhausted",
            Self::Expired => "expired",
            Self::Replayed => "replayed",
            Self::NotFound => "not_found",
            Self::Refused => "refused",
        }
    }
}

impl ChallengeOutcome {
    /// The label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Repeated => "repeated",
            Self::TooSoon => "too_soon",
            Self::Refused => "refused",
        }
    }
}

/// Listens. Must be quick and must not block: it is called on the paths that serve people.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn observe(&self, event: &Event);
}

/// Listens to nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Deaf;

impl Observer for Deaf {
    fn observe(&self, _event: &Event) {}
}
