//! A store that counts what is asked of it, reads too: how it is shown that a request is one operation of the store.

use std::sync::{Arc, Mutex, PoisonError};

use engine::{
    Account, Address, Annotate, Caller, ChangeDevice, ChangeIdentity, Device, DeviceId, DeviceView, EndSessions,
    EraseIdentity, Flow, Handle, IdentityId, Lease, Leases, MessageQuery, MessageState, OpenFlow, OutboxDepth,
    OutboxMessage, Owner, ProjectId, Refresh, RefreshOutcome, Refusal, Register, Registered, Reply, Resend, SealedKey,
    Session, SessionId, Settle, Start, StartOutcome, Store, Swept, TakeTicket, Taken, Ticket, Timestamp, Verify,
    VerifyOutcome,
};

/// Hands everything on to the store inside, and notes the name of each method called.
pub struct Counted {
    inner: Arc<dyn Store>,
    calls: Mutex<Vec<&'static str>>,
}

impl std::fmt::Debug for Counted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Counted").field("calls", &self.calls).finish_non_exhaustive()
    }
}

impl Counted {
    /// Counts what is asked of `inner`.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, calls: Mutex::default() }
    }

    /// The methods called since this was last asked, in their order.
    pub fn take_calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.calls.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, name: &'static str) -> &dyn Store {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(name);
        self.inner.as_ref()
    }
}

impl Store for Counted {
    fn start(&self, operation: Start) -> Reply<'_, StartOutcome> {
        self.note("start").start(operation)
    }

    fn resend(&self, operation: Resend) -> Reply<'_, StartOutcome> {
        self.note("resend").resend(operation)
    }

    fn verify(&self, operation: Verify) -> Reply<'_, VerifyOutcome> {
        self.note("verify").verify(operation)
    }

    fn register(&self, operation: Register) -> Reply<'_, Registered> {
        self.note("register").register(operation)
    }

    fn open_flow(&self, operation: OpenFlow) -> Reply<'_, Flow> {
        self.note("open_flow").open_flow(operation)
    }

    fn annotate(&self, operation: Annotate) -> Reply<'_, Result<(), Refusal>> {
        self.note("annotate").annotate(operation)
    }

    fn change_identity(&self, operation: ChangeIdentity) -> Reply<'_, Result<Account, Refusal>> {
        self.note("change_identity").change_identity(operation)
    }

    fn erase_identity(&self, operation: EraseIdentity) -> Reply<'_, Result<(), Refusal>> {
        self.note("erase_identity").erase_identity(operation)
    }

    fn change_device(&self, operation: ChangeDevice) -> Reply<'_, Result<Device, Refusal>> {
        self.note("change_device").change_device(operation)
    }

    fn put_ticket(&self, ticket: Ticket) -> Reply<'_, ()> {
        self.note("put_ticket").put_ticket(ticket)
    }

    fn take_ticket(&self, operation: TakeTicket) -> Reply<'_, Result<Taken, Refusal>> {
        self.note("take_ticket").take_ticket(operation)
    }

    fn identity(&self, id: IdentityId) -> Reply<'_, Option<Account>> {
        self.note("identity").identity(id)
    }

    fn identities(&self, project: ProjectId, after: IdentityId, limit: u32) -> Reply<'_, Vec<Account>> {
        self.note("identities").identities(project, after, limit)
    }

    fn sessions(&self, identity: IdentityId, now: Timestamp) -> Reply<'_, Vec<Session>> {
        self.note("sessions").sessions(identity, now)
    }

    fn device(&self, id: DeviceId, now: Timestamp) -> Reply<'_, Option<DeviceView>> {
        self.note("device").device(id, now)
    }

    fn forgive(&self, project: ProjectId, address: Address) -> Reply<'_, ()> {
        self.note("forgive").forgive(project, address)
    }

    fn lease(&self, operation: Lease) -> Reply<'_, Leases> {
        self.note("lease").lease(operation)
    }

    fn settle(&self, operation: Settle) -> Reply<'_, Vec<MessageState>> {
        self.note("settle").settle(operation)
    }

    fn sweep(&self, now: Timestamp, before: Timestamp, sessions_before: Timestamp) -> Reply<'_, Swept> {
        self.note("sweep").sweep(now, before, sessions_before)
    }

    fn flow(&self, handle: Handle) -> Reply<'_, Option<Flow>> {
        self.note("flow").flow(handle)
    }

    fn owner(&self, project: ProjectId, address: Address) -> Reply<'_, Option<Owner>> {
        self.note("owner").owner(project, address)
    }

    fn caller(&self, id: SessionId) -> Reply<'_, Option<Caller>> {
        self.note("caller").caller(id)
    }

    fn refresh(&self, operation: Refresh) -> Reply<'_, RefreshOutcome> {
        self.note("refresh").refresh(operation)
    }

    fn end_sessions(&self, operation: EndSessions) -> Reply<'_, Result<(), Refusal>> {
        self.note("end_sessions").end_sessions(operation)
    }

    fn messages(&self, query: MessageQuery) -> Reply<'_, Vec<(OutboxMessage, Option<Flow>)>> {
        self.note("messages").messages(query)
    }

    fn outbox_depth(&self) -> Reply<'_, OutboxDepth> {
        self.note("outbox_depth").outbox_depth()
    }

    fn signing_keys(&self, project: ProjectId) -> Reply<'_, Vec<SealedKey>> {
        self.note("signing_keys").signing_keys(project)
    }

    fn add_signing_key(&self, key: SealedKey) -> Reply<'_, ()> {
        self.note("add_signing_key").add_signing_key(key)
    }

    fn meta(&self, name: &'static str) -> Reply<'_, Option<Vec<u8>>> {
        self.note("meta").meta(name)
    }

    fn claim_meta(&self, name: &'static str, value: Vec<u8>) -> Reply<'_, Vec<u8>> {
        self.note("claim_meta").claim_meta(name, value)
    }

    fn put_meta(&self, name: &'static str, value: Vec<u8>) -> Reply<'_, ()> {
        self.note("put_meta").put_meta(name, value)
    }

    fn highest_id(&self) -> Reply<'_, i64> {
        self.note("highest_id").highest_id()
    }

    fn ping(&self) -> Reply<'_, ()> {
        self.note("ping").ping()
    }
}
