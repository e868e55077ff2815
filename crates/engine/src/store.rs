//! The storage port: load, decide, apply.
//!
//! A store loads, under lock, what an [`Operation`] must see; the operation's pure `decide` says what happens; the store applies
//! the [`Write`]s it decided on and commits. The rules exist once, here, in Rust; a store is loaders and appliers, and no rule.

use std::future::Future;
use std::pin::Pin;

use crate::address::Address;
use crate::budget::Budget;
use crate::challenge::{Resend, Start, StartOutcome};
use crate::change::{ChangeIdentity, EraseIdentity};
use crate::device::{ChangeDevice, Device, DeviceView};
use crate::env::Timestamp;
use crate::error::{Refusal, StoreError};
use crate::flow::{Flow, Handle};
use crate::id::{AddressId, DeviceId, FlowId, IdentityId, MessageId, SessionId};
use crate::identity::{Account, Identity, IdentityState, Owner, VerifiableAddress};
use crate::opening::{Annotate, OpenFlow};
use crate::outbox::{Lease, Leases, MessageState, OutboxMessage, Settle};
use crate::project::ProjectId;
use crate::register::{Register, Registered};
use crate::session::{Caller, EndSessions, Refresh, RefreshOutcome, Session};
use crate::ticket::{TakeTicket, Taken, Ticket};
use crate::token::SealedKey;
use crate::verification::{Verify, VerifyOutcome};

/// A change to the world, in three parts. `decide` is pure, so it may be run twice.
pub trait Operation: Send + Sync + 'static {
    /// The rows it must see, loaded under lock.
    type Seen: Send;
    /// What came of it.
    type Outcome: Send + 'static;

    /// Says what happens.
    fn decide(&self, seen: Self::Seen) -> Decision<Self::Outcome>;

    /// Is told once what was decided is durable, whether or not its caller still waits for it.
    fn committed(_: &mut Self::Outcome) {}
}

/// What an operation decided.
#[derive(Debug)]
pub struct Decision<T> {
    /// What the caller is told, once the writes are durable.
    pub outcome: T,
    /// What changes, in this order.
    pub writes: Vec<Write>,
}

/// Every change of a row there is. Each is applied by one small function of a store.
#[derive(Debug)]
pub enum Write {
    /// Puts a flow in the place of whatever had its handle.
    PutFlow(Box<Flow>),
    /// The surface's note of a flow.
    AnnotateFlow {
        /// Which.
        id: FlowId,
        /// What it says now.
        memo: String,
    },
    /// One more wrong guess.
    CountMiss {
        /// Of this flow.
        flow: FlowId,
        /// The count it now has.
        attempts: u8,
    },
    /// The flow is over; its digest goes.
    PassFlow {
        /// Which.
        flow: FlowId,
        /// Who passed, if that came to anything.
        identity: Option<IdentityId>,
    },
    /// All other flows that concern an identity are gone.
    DropFlows {
        /// Whom they concern.
        identity: IdentityId,
        /// The one that stays, if any.
        except: Option<FlowId>,
    },
    /// The pending changes by which an identity would have an address are gone.
    DropChanges {
        /// Whose.
        identity: IdentityId,
        /// The address.
        address: Address,
    },
    /// A new identity.
    AddIdentity(Identity),
    /// An identity has changed.
    BumpIdentity {
        /// Which.
        id: IdentityId,
        /// The revision it now has.
        revision: i64,
        /// When.
        at: Timestamp,
    },
    /// What is known about an identity.
    PutTraits {
        /// Whose.
        id: IdentityId,
        /// A JSON object, as text.
        traits: String,
    },
    /// What surfaces keep about an identity.
    PutMetadata {
        /// Whose.
        id: IdentityId,
        /// A JSON object, as text.
        metadata: String,
    },
    /// Whether an identity may sign in.
    PutState {
        /// Whose.
        id: IdentityId,
        /// Whether.
        state: IdentityState,
    },
    /// An identity is gone; what it owned goes before it.
    DropIdentity(IdentityId),
    /// An identity owns another address.
    AddAddress {
        /// Whose tenant's.
        project: ProjectId,
        /// The address.
        address: VerifiableAddress,
    },
    /// A code was sent to have an address proved.
    AskAddress {
        /// Which: no row's, where nobody's was asked about.
        id: AddressId,
        /// When.
        at: Timestamp,
    },
    /// An address counts as never proved.
    DoubtAddress(AddressId),
    /// An address is proved.
    ProveAddress {
        /// Which.
        id: AddressId,
        /// When.
        at: Timestamp,
    },
    /// An identity does not own an address any more.
    DropAddress(AddressId),
    /// The addresses an identity never proved are gone.
    DropUnprovenAddresses {
        /// Whose.
        identity: IdentityId,
        /// The one that stays.
        except: AddressId,
    },
    /// Somebody is signed in.
    OpenSession(Session),
    /// A session has a new refresh token: its generation and its times.
    RotateSession(Session),
    /// A session ends.
    EndSession {
        /// Which.
        id: SessionId,
        /// When.
        at: Timestamp,
    },
    /// All live sessions of an identity end.
    EndSessions {
        /// Whose.
        identity: IdentityId,
        /// When.
        at: Timestamp,
    },
    /// Nothing is noted about the sessions of an identity any more.
    ForgetSessions(IdentityId),
    /// A device: its row comes to be, or changes.
    PutDevice(Device),
    /// A ticket is over.
    SpendTicket {
        /// Which.
        digest: [u8; 32],
        /// When.
        at: Timestamp,
        /// The session it opened.
        session: Option<SessionId>,
    },
    /// The tickets that concern an identity are gone.
    DropTickets(IdentityId),
    /// What has been spent of an address.
    PutBudget {
        /// Whose tenant's.
        project: ProjectId,
        /// The address.
        address: Address,
        /// By whom, and what.
        budget: Budget,
    },
    /// A message is owed.
    OweMessage(OutboxMessage),
    /// A message need not be sent any more, if it is still owed.
    CancelMessage {
        /// Which.
        id: MessageId,
        /// When.
        at: Timestamp,
    },
    /// A message stays owed, but not before `due_at`.
    DelayMessage {
        /// Which.
        id: MessageId,
        /// Not before this.
        due_at: Timestamp,
        /// How many deliveries were tried.
        attempts: u32,
        /// What the last one said.
        error: Option<String>,
    },
    /// A message is not owed any more.
    SettleMessage {
        /// Which.
        id: MessageId,
        /// What became of it.
        state: MessageState,
        /// When.
        at: Timestamp,
        /// What the last delivery said.
        error: Option<String>,
    },
}

/// How the inbox asks for messages.
#[derive(Debug, Clone)]
pub struct MessageQuery {
    /// Only those after this one.
    pub after: MessageId,
    /// Only those to this address.
    pub recipient: Option<Address>,
    /// At most how many, newest first.
    pub limit: u32,
}

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Flows.
    pub flows: usize,
    /// Messages.
    pub messages: usize,
    /// Sessions.
    pub sessions: usize,
    /// Budgets.
    pub budgets: usize,
    /// Devices and tickets.
    pub others: usize,
}

impl Swept {
    /// All of them together.
    pub const fn total(self) -> usize {
        self.flows + self.messages + self.sessions + self.budgets + self.others
    }
}

/// How many messages are owed, and since when the longest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxDepth {
    /// How many.
    pub owed: i64,
    /// Since when the oldest.
    pub oldest: Option<Timestamp>,
}

/// A store's answer to come.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Keeps everything. Every method is atomic, and durable when it returns; a caller that goes away changes nothing: an operation
/// once sent runs to its end. Inputs are owned: they may cross a thread.
pub trait Store: Send + Sync {
    /// Asks a question: sees the flow of the handle, the owner of the address, its budget.
    fn start(&self, operation: Start) -> Reply<'_, StartOutcome>;
    /// Asks one again: sees the flow of the handle, the owner of its address, that one's budget.
    fn resend(&self, operation: Resend) -> Reply<'_, StartOutcome>;
    /// Opens a flow in which nothing is asked yet.
    fn open_flow(&self, operation: OpenFlow) -> Reply<'_, Flow>;
    /// Replaces the note of a flow: sees it.
    fn annotate(&self, operation: Annotate) -> Reply<'_, Result<(), Refusal>>;
    /// Answers one: sees the flows of the handles, whom they concern, and the budgets of their addresses.
    fn verify(&self, operation: Verify) -> Reply<'_, VerifyOutcome>;
    /// Has a session go on: sees it and whose it is.
    fn refresh(&self, operation: Refresh) -> Reply<'_, RefreshOutcome>;
    /// Ends sessions: sees the one that asks and whose it is.
    fn end_sessions(&self, operation: EndSessions) -> Reply<'_, Result<(), Refusal>>;
    /// Adds an identity: sees the owners of its addresses.
    fn register(&self, operation: Register) -> Reply<'_, Registered>;
    /// Changes an identity: sees it and the owners of the addresses it shall have.
    fn change_identity(&self, operation: ChangeIdentity) -> Reply<'_, Result<Account, Refusal>>;
    /// Erases an identity: sees it.
    fn erase_identity(&self, operation: EraseIdentity) -> Reply<'_, Result<(), Refusal>>;
    /// Changes what a device shows: sees it and its live sessions, without its flows.
    fn change_device(&self, operation: ChangeDevice) -> Reply<'_, Result<Device, Refusal>>;
    /// Makes a ticket.
    fn put_ticket(&self, ticket: Ticket) -> Reply<'_, ()>;
    /// Takes one: sees it and the identity it names.
    fn take_ticket(&self, operation: TakeTicket) -> Reply<'_, Result<Taken, Refusal>>;
    /// Makes an address's budget whole again.
    fn forgive(&self, project: ProjectId, address: Address) -> Reply<'_, ()>;
    /// Takes messages that are due: sees them and their flows.
    fn lease(&self, operation: Lease) -> Reply<'_, Leases>;
    /// Writes down deliveries: sees their messages.
    fn settle(&self, operation: Settle) -> Reply<'_, Vec<MessageState>>;
    /// Removes at most 500 rows of a kind that have been over since before `before`, sessions since before `sessions_before`, and budgets that say nothing any more at `now`.
    fn sweep(&self, now: Timestamp, before: Timestamp, sessions_before: Timestamp) -> Reply<'_, Swept>;

    /// The flow of a handle.
    fn flow(&self, handle: Handle) -> Reply<'_, Option<Flow>>;
    /// Who owns an address.
    fn owner(&self, project: ProjectId, address: Address) -> Reply<'_, Option<Owner>>;
    /// An identity with its addresses.
    fn identity(&self, id: IdentityId) -> Reply<'_, Option<Account>>;
    /// The identities of a project with greater ids than `after`, in their order: at most `limit`.
    fn identities(&self, project: ProjectId, after: IdentityId, limit: u32) -> Reply<'_, Vec<Account>>;
    /// The sessions of an identity that are not over at `now`, the oldest first.
    fn sessions(&self, identity: IdentityId, now: Timestamp) -> Reply<'_, Vec<Session>>;
    /// What a device holds at `now`: of its flows the newest [`FLOWS_SHOWN`](crate::FLOWS_SHOWN); none where nothing was ever done at it.
    fn device(&self, id: DeviceId, now: Timestamp) -> Reply<'_, Option<DeviceView>>;
    /// A session and whose it is.
    fn caller(&self, id: SessionId) -> Reply<'_, Option<Caller>>;
    /// Messages that were meant to be sent, newest first, each with its flow if that is still there.
    fn messages(&self, query: MessageQuery) -> Reply<'_, Vec<(OutboxMessage, Option<Flow>)>>;
    /// How much is owed.
    fn outbox_depth(&self) -> Reply<'_, OutboxDepth>;

    /// The signing keys of a project, oldest first.
    fn signing_keys(&self, project: ProjectId) -> Reply<'_, Vec<SealedKey>>;
    /// Adds a signing key unless its project, algorithm and slot have one already; two nodes cannot both.
    fn add_signing_key(&self, key: SealedKey) -> Reply<'_, ()>;
    /// The value kept under `name`.
    fn meta(&self, name: &'static str) -> Reply<'_, Option<Vec<u8>>>;
    /// Keeps `value` under `name` if nothing was there, and gives what is there then.
    fn claim_meta(&self, name: &'static str, value: Vec<u8>) -> Reply<'_, Vec<u8>>;
    /// Keeps `value` under `name`, whatever was there.
    fn put_meta(&self, name: &'static str, value: Vec<u8>) -> Reply<'_, ()>;
    /// The highest id of any row; 0 in an empty store.
    fn highest_id(&self) -> Reply<'_, i64>;
    /// Answers if a write would go through.
    fn ping(&self) -> Reply<'_, ()>;
}
