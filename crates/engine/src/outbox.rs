//! The outbox: messages owed to the world.
//!
//! A message is written in the transaction that makes it owed, and names its flow and epoch: the code is derived when it is
//! leased for sending. Delivery is at least once; a message that may have been sent twice carries the same id both times.

use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;
use crate::env::Timestamp;
use crate::flow::{Challenge, Flow, FlowState, Purpose};
use crate::id::{FlowId, MessageId};
use crate::project::ProjectId;
use crate::secret::{Keys, Secret};
use crate::store::{Decision, Operation, Write};

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// Carries a code.
    Code,
    /// Stands where an address nobody owns was asked about: it costs the same and is never sent.
    Decoy,
    /// Tells whoever reads an address that nobody has an account with it.
    NoAccount,
    /// Tells whoever reads an address that another one took its place in the account that it was proved for.
    AddressReplaced,
}

impl MessageKind {
    /// The name, as stored.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Decoy => "decoy",
            Self::NoAccount => "no_account",
            Self::AddressReplaced => "address_replaced",
        }
    }

    /// The kind called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Code, Self::Decoy, Self::NoAccount, Self::AddressReplaced].into_iter().find(|it| it.name() == name)
    }
}

/// Where a message is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageState {
    /// Still to be sent.
    Owed,
    /// A relay took it.
    Sent,
    /// Replaced, passed or never meant to be sent.
    Dropped,
    /// Its code's life ended before a relay took it.
    Expired,
    /// A relay refused it for good.
    Refused,
}

impl MessageState {
    /// The name, as stored and as a metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owed => "owed",
            Self::Sent => "sent",
            Self::Dropped => "dropped",
            Self::Expired => "expired",
            Self::Refused => "refused",
        }
    }

    /// The state called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Owed, Self::Sent, Self::Dropped, Self::Expired, Self::Refused].into_iter().find(|it| it.name() == name)
    }
}

/// One message owed, or once owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxMessage {
    /// Its id, and through it the mail's Message-ID.
    pub id: MessageId,
    /// Whose tenant's it is.
    pub project: ProjectId,
    /// What it is.
    pub kind: MessageKind,
    /// Where it is in its life.
    pub state: MessageState,
    /// The flow that owes it.
    pub flow: FlowId,
    /// The epoch of the code it carries; 0 where it carries none whatever comes of the flow.
    pub epoch: u32,
    /// Where it goes.
    pub recipient: Address,
    /// When it may be taken next: while it is leased, the end of the lease, which is also the lease's name.
    pub due_at: Timestamp,
    /// How many deliveries were tried.
    pub attempts: u32,
    /// After this it is worth nothing.
    pub not_after: Timestamp,
    /// When it was owed.
    pub created_at: Timestamp,
    /// What the last failed delivery said. Never a code or an address.
    pub last_error: Option<String>,
    /// The link that is mailed beside the code, with [`CODE_IN_LINK`] where the code belongs. Sealed: it names what the surface calls
    /// its flow, of which the database has only a digest.
    pub link: Option<Vec<u8>>,
    /// The address that took the recipient's place, masked: [`MessageKind::AddressReplaced`] only. Here and not read from the flow, whose
    /// row may be gone before the message is.
    pub replaced_by: Option<String>,
}

/// What stands for the code in a mailed link.
pub const CODE_IN_LINK: &str = "{code}";

impl OutboxMessage {
    /// Where a message's link is sealed.
    pub(crate) fn link_place(id: MessageId) -> String {
        format!("outbox/{id}")
    }

    /// Its link with `code` in it; none where it has none, or once its key is gone.
    pub(crate) fn open_link(&self, keys: &Keys, code: &Secret<String>) -> Option<Secret<String>> {
        let opened = keys.open(&Self::link_place(self.id), self.link.as_deref()?)?;
        let link = std::str::from_utf8(opened.expose()).ok()?;
        Some(Secret::new(link.replace(CODE_IN_LINK, code.expose())))
    }

    /// What it says, and what passing its code would mean; none where it is not to be sent: it never was, its flow does not ask
    /// any more, or its code cannot be derived any more.
    pub(crate) fn content(&self, flow: Option<&Flow>, keys: &Keys) -> Option<(Purpose, Content)> {
        let asking = || flow.filter(|flow| still_asks(flow, self));
        match self.kind {
            MessageKind::Code => {
                let flow = asking()?;
                let code = flow.code(keys)?;
                Some((flow.purpose, Content::Code { link: self.open_link(keys, &code), code }))
            }
            MessageKind::NoAccount => Some((asking()?.purpose, Content::NoAccount)),
            // It says what has been done, whatever becomes of the flow that did it.
            MessageKind::AddressReplaced => {
                Some((Purpose::ChangeAddress, Content::AddressReplaced { by: self.replaced_by.clone()? }))
            }
            MessageKind::Decoy => None,
        }
    }

    /// For whoever may send it until it is due: until its lease ends.
    pub(crate) fn leased(self, purpose: Purpose, content: Content) -> Leased {
        Leased {
            id: self.id,
            lease: self.due_at,
            project: self.project,
            purpose,
            recipient: self.recipient,
            content,
            attempts: self.attempts,
            not_after: self.not_after,
            created_at: self.created_at,
        }
    }
}

/// What a message says.
#[derive(Debug)]
pub enum Content {
    /// A code.
    Code {
        /// The code.
        code: Secret<String>,
        /// Where it may be brought back by a click.
        link: Option<Secret<String>>,
    },
    /// That nobody has an account with the address.
    NoAccount,
    /// That another address took its place.
    AddressReplaced {
        /// That one, masked.
        by: String,
    },
}

impl Content {
    /// The code, if it tells one.
    pub const fn code(&self) -> Option<&Secret<String>> {
        match self {
            Self::Code { code, link: _ } => Some(code),
            Self::NoAccount | Self::AddressReplaced { .. } => None,
        }
    }
}

/// A message somebody may now send, until its lease ends.
#[derive(Debug)]
pub struct Leased {
    /// Its id.
    pub id: MessageId,
    /// Names the lease when it is settled.
    pub lease: Timestamp,
    /// Whose tenant's it is.
    pub project: ProjectId,
    /// What passing its code would mean.
    pub purpose: Purpose,
    /// Where it goes.
    pub recipient: Address,
    /// What it says.
    pub content: Content,
    /// How many deliveries were tried before.
    pub attempts: u32,
    /// After this it is worth nothing: the end of its code's life; see [`LEAST_LIFE`].
    pub not_after: Timestamp,
    /// When it was owed.
    pub created_at: Timestamp,
}

impl Leased {
    /// Whether it is worth sending at `now`: nothing leaves with less than [`LEAST_LIFE`] left to live, or a quarter of a shorter life.
    pub fn is_worth_sending(&self, now: Timestamp) -> bool {
        is_worth_sending(self.created_at, self.not_after, now)
    }
}

/// One try to send a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Which message.
    pub id: MessageId,
    /// Under which lease: once somebody else has taken the message, a settlement changes nothing.
    pub lease: Timestamp,
    /// What came of it.
    pub outcome: DeliveryOutcome,
}

/// What came of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// A relay took it.
    Sent,
    /// It may or may not have arrived, or could not be tried: it stays owed.
    Deferred {
        /// Why, for the operator: no code, no address.
        reason: String,
    },
    /// A relay refused it for good.
    Refused {
        /// Why, for the operator: no code, no address.
        reason: String,
    },
}

/// How long a lease lasts.
pub const LEASE: Duration = Duration::from_mins(1);

/// How long it is worth telling the address that was replaced.
pub const NOTICE_LIFE: Duration = Duration::from_hours(24);

/// Nothing leaves with less than this left to live: it would arrive dead.
pub const LEAST_LIFE: Duration = Duration::from_mins(1);

/// Whether a message that was owed at `created_at` and is worth nothing after `not_after` is worth sending at `now`: a quarter of its
/// life is left, or [`LEAST_LIFE`].
fn is_worth_sending(created_at: Timestamp, not_after: Timestamp, now: Timestamp) -> bool {
    let least = LEAST_LIFE.min(not_after.since(created_at) / 4);
    now.plus(least) <= not_after
}

/// The wait after the `attempts`-th failed try: 2 s, 4 s, 8 s … at most two minutes, and up to a quarter more that depends on
/// the message, so that those who failed together do not come back together.
pub fn back_off(attempts: u32, id: MessageId) -> Duration {
    let base = Duration::from_secs(2) * 2_u32.saturating_pow(attempts.saturating_sub(1).min(10));
    let base = base.min(Duration::from_mins(2));
    // Fibonacci hashing: consecutive ids spread evenly over the quarter.
    let spread = u32::try_from((id.get().unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> 40).unwrap_or(0) % 256;
    base + base * spread / 1024
}

/// So many rows beyond those it may take a [`Lease`] looks at: what need not be sent any more must not stand in the way of what must.
pub const LOOK_AHEAD: u32 = 64;

/// Takes messages that are due.
#[derive(Debug)]
pub struct Lease {
    /// When.
    pub now: Timestamp,
    /// At most how many.
    pub limit: u32,
    /// What codes are derived with.
    pub keys: Arc<Keys>,
}

impl Lease {
    /// How many rows it must see.
    pub const fn sight(&self) -> u32 {
        self.limit.saturating_add(LOOK_AHEAD)
    }
}

/// What a [`Lease`] came to.
#[derive(Debug)]
pub struct Leases {
    /// The messages that may be sent now.
    pub messages: Vec<Leased>,
    /// Whether more were due than it saw.
    pub may_be_more: bool,
}

impl Operation for Lease {
    /// Due messages, longest due first and at most [`Lease::sight`], each with its flow if that is still there.
    type Seen = Vec<(OutboxMessage, Option<Flow>)>;
    type Outcome = Leases;

    fn decide(&self, seen: Self::Seen) -> Decision<Self::Outcome> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let may_be_more = seen.len() >= usize::try_from(self.sight()).unwrap_or(usize::MAX);
        let mut messages = Vec::new();
        let mut writes = Vec::new();
        for (message, flow) in seen {
            if messages.len() == limit {
                break;
            }
            let settle = |state| Write::SettleMessage { id: message.id, state, at: self.now, error: None };
            let Some((purpose, content)) = message.content(flow.as_ref(), &self.keys) else {
                writes.push(settle(MessageState::Dropped));
                continue;
            };
            if !is_worth_sending(message.created_at, message.not_after, self.now) {
                writes.push(settle(MessageState::Expired));
                continue;
            }
            let lease = self.now.plus(LEASE);
            writes.push(Write::DelayMessage { id: message.id, due_at: lease, attempts: message.attempts, error: None });
            messages.push(OutboxMessage { due_at: lease, ..message }.leased(purpose, content));
        }
        Decision { outcome: Leases { messages, may_be_more }, writes }
    }
}

/// Whether `flow` still asks the question that `message` carries the answer to.
fn still_asks(flow: &Flow, message: &OutboxMessage) -> bool {
    // With its guesses spent a flow is over: its code would only raise hopes.
    let has_guesses = |challenge: &Challenge| !challenge.is_exhausted();
    flow.state == FlowState::Sent && is_its_code(flow, message) && flow.challenge.as_ref().is_some_and(has_guesses)
}

/// Whether the present code of `flow` is the one that `message` was owed for.
pub(crate) fn is_its_code(flow: &Flow, message: &OutboxMessage) -> bool {
    flow.challenge
        .as_ref()
        .is_some_and(|challenge| challenge.epoch == message.epoch && challenge.address == message.recipient)
}

/// Writes down what came of deliveries.
#[derive(Debug)]
pub struct Settle {
    /// When.
    pub now: Timestamp,
    /// The tries.
    pub deliveries: Vec<Delivery>,
}

impl Operation for Settle {
    /// The messages of the deliveries that are still there.
    type Seen = Vec<OutboxMessage>;
    type Outcome = Vec<MessageState>;

    fn decide(&self, seen: Self::Seen) -> Decision<Self::Outcome> {
        let mut outcome = Vec::new();
        let mut writes = Vec::new();
        for message in seen {
            let delivery = self.deliveries.iter().find(|delivery| {
                delivery.id == message.id && delivery.lease == message.due_at && message.state == MessageState::Owed
            });
            let Some(delivery) = delivery else { continue };
            let (state, error) = match &delivery.outcome {
                DeliveryOutcome::Sent => (MessageState::Sent, None),
                DeliveryOutcome::Refused { reason } => (MessageState::Refused, Some(reason.clone())),
                DeliveryOutcome::Deferred { reason } => (MessageState::Owed, Some(reason.clone())),
            };
            outcome.push(state);
            if state == MessageState::Owed {
                let attempts = message.attempts.saturating_add(1);
                let due_at = self.now.plus(back_off(attempts, message.id));
                writes.push(Write::DelayMessage { id: message.id, due_at, attempts, error });
            } else {
                writes.push(Write::SettleMessage { id: message.id, state, at: self.now, error });
            }
        }
        Decision { outcome, writes }
    }
}

/// A message as the development inbox shows it.
#[derive(Debug)]
pub struct Shown {
    /// The message.
    pub message: OutboxMessage,
    /// What passing its code would mean; none where the flow is gone.
    pub purpose: Option<Purpose>,
    /// Its code; none where the flow has been replaced.
    pub code: Option<Secret<String>>,
    /// Its link, where it has one.
    pub link: Option<Secret<String>>,
}
