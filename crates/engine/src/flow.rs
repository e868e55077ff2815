//! Flows: one journey at one surface, one row each.
//!
//! A flow is found by its [`Handle`] and carries at most one live [`Challenge`]. Everything a verification needs is in the
//! row, so that verifying updates one row.

use std::fmt;

use crate::address::Address;
use crate::code::{CodeFormat, Derivation, Label};
use crate::env::Timestamp;
use crate::id::{AddressId, DeviceId, FlowId, IdentityId, MessageId};
use crate::project::ProjectId;
use crate::secret::{Digest, KeyId, Keys, Secret, fingerprint};

/// How a surface names its flow: a digest of the surface, the project, a slot and the surface's own key.
///
/// One unique index serves all surfaces, no code of one can be tried in another, and no bearer key is stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle([u8; 32]);

impl Handle {
    /// The handle of the flow that `dialect` calls `key` in `slot` of `project`. The slot is a constant of the surface.
    pub fn new(dialect: &str, project: &ProjectId, slot: &str, key: &[u8]) -> Self {
        Self(fingerprint(&[b"handle", dialect.as_bytes(), project.as_str().as_bytes(), slot.as_bytes(), key]))
    }

    /// A handle read back from the store.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes, for the store.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(formatter, "Handle({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// What passing means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The identity that owns the address signs in.
    SignIn,
    /// An identity that owns the address comes to be, and signs in.
    SignUp,
    /// Either of the two.
    SignInOrUp,
    /// An identity proves an address that it has.
    VerifyAddress,
    /// An identity proves an address that it then has, in the place of another or beside it.
    ChangeAddress,
}

impl Purpose {
    /// The name, as stored and as a metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::SignUp => "sign_up",
            Self::SignInOrUp => "sign_in_or_up",
            Self::VerifyAddress => "verify_address",
            Self::ChangeAddress => "change_address",
        }
    }

    /// The purpose called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::SignIn, Self::SignUp, Self::SignInOrUp, Self::VerifyAddress, Self::ChangeAddress]
            .into_iter()
            .find(|it| it.name() == name)
    }

    /// Whether an identity may come to be by passing. Only then is a code sent to an address nobody owns.
    pub const fn creates_identity(self) -> bool {
        matches!(self, Self::SignUp | Self::SignInOrUp)
    }
}

/// How far a flow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlowState {
    /// Opened, nothing asked yet.
    Open,
    /// A code is on its way.
    Sent,
    /// Over: its code was right once and never is again.
    Passed,
}

impl FlowState {
    /// The name, as stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Sent => "sent",
            Self::Passed => "passed",
        }
    }

    /// The state called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Open, Self::Sent, Self::Passed].into_iter().find(|it| it.name() == name)
    }
}

/// The one live question of a flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Where the code goes.
    pub address: Address,
    /// Counts the codes of this flow; a new epoch is a new code.
    pub epoch: u32,
    /// How many messages carried a code of this flow.
    pub sends: u32,
    /// How many guesses were evaluated and wrong. No resend resets it.
    pub attempts: u8,
    /// How many may be; [`UNLIMITED`] of a long code where anybody can name the flow: what cannot be guessed need not end.
    pub max_attempts: u8,
    /// When the last message was owed.
    pub sent_at: Timestamp,
    /// When the code's life ends: from this millisecond on it is refused.
    pub expires_at: Timestamp,
    /// How the code looks.
    pub format: CodeFormat,
    /// Which master key its code key and pepper come from.
    pub key: KeyId,
    /// The digest to compare with; none once the flow has passed.
    pub code_digest: Option<Digest>,
    /// The last message owed for it.
    pub message: MessageId,
}

/// No number of wrong guesses ends the flow.
pub const UNLIMITED: u8 = u8::MAX;

impl Challenge {
    /// Whether its code cannot pass any more at `now`.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.is_exhausted() || now >= self.expires_at
    }

    /// How many more guesses end the flow.
    pub const fn left(&self) -> u8 {
        self.max_attempts.saturating_sub(self.attempts)
    }

    /// Whether it has had all its guesses.
    pub const fn is_exhausted(&self) -> bool {
        self.max_attempts != UNLIMITED && self.attempts >= self.max_attempts
    }
}

/// One journey at one surface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// Its id.
    pub id: FlowId,
    /// How its surface finds it.
    pub handle: Handle,
    /// Whose tenant's it is.
    pub project: ProjectId,
    /// The surface.
    pub dialect: String,
    /// What passing means.
    pub purpose: Purpose,
    /// How far it is.
    pub state: FlowState,
    /// Whom it concerns: the owner of the address when it was asked about, or the identity that passed.
    pub identity: Option<IdentityId>,
    /// The device it was begun at, for surfaces that know devices.
    pub device: Option<DeviceId>,
    /// The address that passing takes away from the identity: [`Purpose::ChangeAddress`] only.
    pub replaces: Option<AddressId>,
    /// What was said about the identity that may come to be: a JSON object, unproven until the flow passes.
    pub attributes: Option<String>,
    /// The surface's own small note, opaque to the engine.
    pub memo: Option<String>,
    /// What codes are derived from, together with a key that is not in the database.
    pub seed: [u8; 16],
    /// The live question.
    pub challenge: Option<Challenge>,
    /// When it began.
    pub issued_at: Timestamp,
    /// When its life ends: from this millisecond on it is refused.
    pub expires_at: Timestamp,
}

impl Flow {
    /// Derives the code of the flow's present epoch; `None` without a challenge or once its key is gone.
    pub(crate) fn code(&self, keys: &Keys) -> Option<Secret<String>> {
        let challenge = self.challenge.as_ref()?;
        self.derivation(Label::Code, challenge).code(keys, challenge.key)
    }

    /// What the code of `challenge` is derived from.
    pub(crate) fn derivation<'a>(&'a self, label: Label, challenge: &'a Challenge) -> Derivation<'a> {
        Derivation {
            label,
            project: &self.project,
            seed: &self.seed,
            epoch: challenge.epoch,
            address: &challenge.address,
            format: challenge.format,
        }
    }

    /// Whether a code may still pass at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        let code_lives = self.challenge.as_ref().is_none_or(|challenge| !challenge.is_over(now));
        self.state != FlowState::Passed && now < self.expires_at && code_lives
    }
}
