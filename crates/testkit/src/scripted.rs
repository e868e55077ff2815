//! A store that refuses and fails when told to: how a surface's answer to each is seen.

use std::mem::discriminant;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::{
    Account, Address, Annotate, Caller, ChangeDevice, ChangeIdentity, Device, DeviceId, DeviceView, EndSessions,
    EraseIdentity, Flow, Handle, IdentityId, IdentityState, Lease, Leases, MessageQuery, MessageState, OpenFlow,
    OutboxDepth, OutboxMessage, Owner, ProjectId, Refresh, RefreshOutcome, Refusal, Register, Registered, Reply,
    Resend, SealedKey, Session, SessionId, Settle, Start, StartOutcome, Store, StoreError, Swept, TakeTicket, Taken,
    Ticket, Timestamp, Verify, VerifyOutcome,
};

/// Every refusal there is, once.
pub const REFUSALS: [Refusal; 17] = [
    Refusal::FlowNotFound,
    Refusal::FlowExpired,
    Refusal::FlowPassed,
    Refusal::CodeMismatch { left: 3 },
    Refusal::CodeExpired,
    Refusal::AttemptsExhausted,
    Refusal::AddressMalformed,
    Refusal::AddressTaken,
    Refusal::IdentityNotFound,
    Refusal::IdentityInactive,
    Refusal::IdentityChanged,
    Refusal::SessionEnded,
    Refusal::TokenInvalid,
    Refusal::TokenReused,
    Refusal::TicketInvalid,
    Refusal::TicketReused,
    Refusal::TooSoon { retry_after: Duration::from_millis(61_001) },
];

/// Does not compile once there is another: whatever is added here has to be added to [`REFUSALS`].
const fn is_listed(refusal: Refusal) -> bool {
    match refusal {
        Refusal::FlowNotFound
        | Refusal::FlowExpired
        | Refusal::FlowPassed
        | Refusal::CodeMismatch { .. }
        | Refusal::CodeExpired
        | Refusal::AttemptsExhausted
        | Refusal::AddressMalformed
        | Refusal::AddressTaken
        | Refusal::IdentityNotFound
        | Refusal::IdentityInactive
        | Refusal::IdentityChanged
        | Refusal::SessionEnded
        | Refusal::TokenInvalid
        | Refusal::TokenReused
        | Refusal::TicketInvalid
        | Refusal::TicketReused
        | Refusal::TooSoon { .. } => true,
    }
}

/// Whether `told` names every refusal there is, whatever it holds: what a surface's table of answers must.
pub fn names_every_refusal(told: impl IntoIterator<Item = Refusal>) -> bool {
    let told: Vec<_> = told.into_iter().map(|refusal| discriminant(&refusal)).collect();
    REFUSALS.iter().all(|refusal| is_listed(*refusal) && told.contains(&discriminant(refusal)))
}

/// What a [`Scripted`] store answers to whatever a surface asks of it.
#[derive(Debug, Clone, Copy)]
pub enum Script {
    /// Every operation is refused, and every caller is gone.
    Refuse(Refusal),
    /// Every operation fails.
    Fail(fn() -> StoreError),
    /// Callers are disabled; the rest is as it is.
    Disable,
}

/// A store that answers as it was told; what surfaces do not ask goes to a real one.
pub struct Scripted {
    inner: Arc<dyn Store>,
    script: Mutex<Script>,
}

impl std::fmt::Debug for Scripted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Scripted").field("script", &self.script).finish_non_exhaustive()
    }
}

impl Scripted {
    /// A store over `inner` that follows `script`.
    pub fn new(inner: Arc<dyn Store>, script: Script) -> Self {
        Self { inner, script: Mutex::new(script) }
    }

    /// Follows `script` from now on.
    pub fn follow(&self, script: Script) {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner) = script;
    }

    fn script(&self) -> Script {
        *self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer<'a, T: Send + 'a>(&self, refused: impl FnOnce(Refusal) -> T) -> Reply<'a, T> {
        let answer = match self.script() {
            Script::Refuse(refusal) => Ok(refused(refusal)),
            Script::Fail(fault) => Err(fault()),
            Script::Disable => Ok(refused(Refusal::IdentityInactive)),
        };
        Box::pin(std::future::ready(answer))
    }
}

impl Store for Scripted {
    fn start(&self, _operation: Start) -> Reply<'_, StartOutcome> {
        self.answer(StartOutcome::Refused)
    }

    fn resend(&self, _operation: Resend) -> Reply<'_, StartOutcome> {
        self.answer(StartOutcome::Refused)
    }

    fn verify(&self, _operation: Verify) -> Reply<'_, VerifyOutcome> {
        self.answer(|refusal| VerifyOutcome::Refused { refusal, flow: None, missed: Vec::new() })
    }

    fn refresh(&self, _operation: Refresh) -> Reply<'_, RefreshOutcome> {
        self.answer(RefreshOutcome::Refused)
    }

    fn end_sessions(&self, _operation: EndSessions) -> Reply<'_, Result<(), Refusal>> {
        self.answer(Err)
    }

    fn caller(&self, id: SessionId) -> Reply<'_, Option<Caller>> {
        let script = self.script();
        Box::pin(async move {
            match script {
                Script::Refuse(_) => Ok(None),
                Script::Fail(fault) => Err(fault()),
                Script::Disable => {
                    let mut caller = self.inner.caller(id).await?;
                    if let Some(caller) = &mut caller {
                        caller.account.identity.state = IdentityState::Inactive;
                    }
                    Ok(caller)
                }
            }
        })
    }

    fn open_flow(&self, operation: OpenFlow) -> Reply<'_, Flow> {
        self.inner.open_flow(operation)
    }

    fn annotate(&self, _: Annotate) -> Reply<'_, Result<(), Refusal>> {
        self.answer(Err)
    }

    fn change_identity(&self, _: ChangeIdentity) -> Reply<'_, Result<Account, Refusal>> {
        self.answer(Err)
    }

    fn erase_identity(&self, _: EraseIdentity) -> Reply<'_, Result<(), Refusal>> {
        self.answer(Err)
    }

    fn change_device(&self, _: ChangeDevice) -> Reply<'_, Result<Device, Refusal>> {
        self.answer(Err)
    }

    fn put_ticket(&self, ticket: Ticket) -> Reply<'_, ()> {
        self.inner.put_ticket(ticket)
    }

    fn take_ticket(&self, _: TakeTicket) -> Reply<'_, Result<Taken, Refusal>> {
        self.answer(Err)
    }

    fn identity(&self, id: IdentityId) -> Reply<'_, Option<Account>> {
        self.inner.identity(id)
    }

    fn identities(&self, project: ProjectId, after: IdentityId, limit: u32) -> Reply<'_, Vec<Account>> {
        self.inner.identities(project, after, limit)
    }

    fn sessions(&self, identity: IdentityId, now: Timestamp) -> Reply<'_, Vec<Session>> {
        self.inner.sessions(identity, now)
    }

    fn device(&self, id: DeviceId, now: Timestamp) -> Reply<'_, Option<DeviceView>> {
        self.inner.device(id, now)
    }

    fn register(&self, operation: Register) -> Reply<'_, Registered> {
        self.inner.register(operation)
    }

    fn forgive(&self, project: ProjectId, address: Address) -> Reply<'_, ()> {
        self.inner.forgive(project, address)
    }

    fn lease(&self, operation: Lease) -> Reply<'_, Leases> {
        self.inner.lease(operation)
    }

    fn settle(&self, operation: Settle) -> Reply<'_, Vec<MessageState>> {
        self.inner.settle(operation)
    }

    fn sweep(&self, now: Timestamp, before: Timestamp, sessions_before: Timestamp) -> Reply<'_, Swept> {
        self.inner.sweep(now, before, sessions_before)
    }

    fn flow(&self, handle: Handle) -> Reply<'_, Option<Flow>> {
        self.inner.flow(handle)
    }

    fn owner(&self, project: ProjectId, address: Address) -> Reply<'_, Option<Owner>> {
        self.inner.owner(project, address)
    }

    fn messages(&self, query: MessageQuery) -> Reply<'_, Vec<(OutboxMessage, Option<Flow>)>> {
        self.inner.messages(query)
    }

    fn outbox_depth(&self) -> Reply<'_, OutboxDepth> {
        self.inner.outbox_depth()
    }

    fn signing_keys(&self, project: ProjectId) -> Reply<'_, Vec<SealedKey>> {
        self.inner.signing_keys(project)
    }

    fn add_signing_key(&self, key: SealedKey) -> Reply<'_, ()> {
        self.inner.add_signing_key(key)
    }

    fn meta(&self, name: &'static str) -> Reply<'_, Option<Vec<u8>>> {
        self.inner.meta(name)
    }

    fn claim_meta(&self, name: &'static str, value: Vec<u8>) -> Reply<'_, Vec<u8>> {
        self.inner.claim_meta(name, value)
    }

    fn put_meta(&self, name: &'static str, value: Vec<u8>) -> Reply<'_, ()> {
        self.inner.put_meta(name, value)
    }

    fn highest_id(&self) -> Reply<'_, i64> {
        self.inner.highest_id()
    }

    fn ping(&self) -> Reply<'_, ()> {
        match self.script() {
            Script::Fail(fault) => Box::pin(std::future::ready(Err(fault()))),
            Script::Refuse(_) | Script::Disable => self.inner.ping(),
        }
    }
}
