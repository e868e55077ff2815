//! A store in memory: plain maps behind one lock. The shortest statement of what [`engine::Store`] means.
//!
//! An operation loads what it must see, the engine's `decide` says what happens, and each [`Write`](engine::Write) is applied, as on a real database;
//! there is no rule in here. [`Tables`] says which rows there are and what may not be twice: a change that would break that is refused
//! as a database refuses it, and nothing of its operation is done. What a process leaves behind is all that is missing: the maps go
//! with their last owner.

mod loaders;
mod tables;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::{
    Account, Address, Annotate, Caller, ChangeDevice, ChangeIdentity, Device, DeviceId, DeviceView, EndSessions,
    EraseIdentity, Event, Flow, Handle, Identity, IdentityId, Lease, Leases, MessageQuery, MessageState, Observer,
    OpenFlow, OutboxDepth, OutboxMessage, Owner, ProjectId, Refresh, RefreshOutcome, Refusal, Register, Registered,
    Reply, Resend, SealedKey, Session, SessionId, Settle, Start, StartOutcome, Store, StoreError, Swept, TakeTicket,
    Taken, Ticket, Timestamp, Verify, VerifyOutcome,
};

use loaders::Load;
pub use tables::{Kept, Owned, Tables};

/// At most so many rows of a kind go in one sweep.
const SWEEP: usize = 500;

/// Keeps everything in memory, for as long as it is there itself.
pub struct MemoryStore {
    tables: Mutex<Tables>,
    observer: Arc<dyn Observer>,
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl MemoryStore {
    /// An empty one. `observer` is told of each operation.
    pub fn new(observer: Arc<dyn Observer>) -> Self {
        Self { tables: Mutex::default(), observer }
    }

    /// All rows as they are now.
    pub fn tables(&self) -> Tables {
        self.lock().clone()
    }

    /// Puts other rows in the place of all, as a foreign program may do with a database.
    pub fn replace(&self, tables: Tables) {
        *self.lock() = tables;
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Load, decide, apply: all of it or nothing.
    fn change<O: Load>(&self, name: &'static str, operation: O) -> Reply<'_, O::Outcome> {
        self.write(name, move |tables| {
            let decision = operation.decide(operation.load(tables));
            for write in decision.writes {
                tables.apply(write)?;
            }
            let mut outcome = decision.outcome;
            O::committed(&mut outcome);
            Ok(outcome)
        })
    }

    /// The same for what no rule of the engine is about.
    fn write<'a, T: Send + 'a>(
        &'a self,
        name: &'static str,
        job: impl FnOnce(&mut Tables) -> Result<T, StoreError> + Send + 'a,
    ) -> Reply<'a, T> {
        Box::pin(async move {
            let answer = {
                let mut tables = self.lock();
                let mut changed = tables.clone();
                let answer = job(&mut changed)?;
                *tables = changed;
                answer
            };
            self.observer.observe(&Event::Stored { operation: name, took: Duration::ZERO });
            Ok(answer)
        })
    }

    fn look<'a, T: Send + 'a>(&'a self, job: impl FnOnce(&Tables) -> T + Send + 'a) -> Reply<'a, T> {
        Box::pin(async move { Ok(job(&self.lock())) })
    }
}

impl Store for MemoryStore {
    fn start(&self, operation: Start) -> Reply<'_, StartOutcome> {
        self.change("start", operation)
    }

    fn resend(&self, operation: Resend) -> Reply<'_, StartOutcome> {
        self.change("resend", operation)
    }

    fn open_flow(&self, operation: OpenFlow) -> Reply<'_, Flow> {
        self.change("open_flow", operation)
    }

    fn annotate(&self, operation: Annotate) -> Reply<'_, Result<(), Refusal>> {
        self.change("annotate", operation)
    }

    fn verify(&self, operation: Verify) -> Reply<'_, VerifyOutcome> {
        self.change("verify", operation)
    }

    fn refresh(&self, operation: Refresh) -> Reply<'_, RefreshOutcome> {
        self.change("refresh", operation)
    }

    fn end_sessions(&self, operation: EndSessions) -> Reply<'_, Result<(), Refusal>> {
        self.change("end_sessions", operation)
    }

    fn register(&self, operation: Register) -> Reply<'_, Registered> {
        self.change("register", operation)
    }

    fn change_identity(&self, operation: ChangeIdentity) -> Reply<'_, Result<Account, Refusal>> {
        self.change("change_identity", operation)
    }

    fn erase_identity(&self, operation: EraseIdentity) -> Reply<'_, Result<(), Refusal>> {
        self.change("erase_identity", operation)
    }

    fn change_device(&self, operation: ChangeDevice) -> Reply<'_, Result<Device, Refusal>> {
        self.change("change_device", operation)
    }

    fn put_ticket(&self, ticket: Ticket) -> Reply<'_, ()> {
        self.write("put_ticket", move |tables| tables.add_ticket(ticket))
    }

    fn take_ticket(&self, operation: TakeTicket) -> Reply<'_, Result<Taken, Refusal>> {
        self.change("take_ticket", operation)
    }

    fn forgive(&self, project: ProjectId, address: Address) -> Reply<'_, ()> {
        self.write("forgive", move |tables| {
            tables.budgets.remove(&(project, address));
            Ok(())
        })
    }

    fn lease(&self, operation: Lease) -> Reply<'_, Leases> {
        self.change("lease", operation)
    }

    fn settle(&self, operation: Settle) -> Reply<'_, Vec<MessageState>> {
        self.change("settle", operation)
    }

    fn sweep(&self, now: Timestamp, before: Timestamp, sessions_before: Timestamp) -> Reply<'_, Swept> {
        self.write("sweep", move |tables| Ok(tables.sweep(now, before, sessions_before, SWEEP)))
    }

    fn flow(&self, handle: Handle) -> Reply<'_, Option<Flow>> {
        self.look(move |tables| tables.flow(&handle).cloned())
    }

    fn owner(&self, project: ProjectId, address: Address) -> Reply<'_, Option<Owner>> {
        self.look(move |tables| tables.owner(&project, &address))
    }

    fn identity(&self, id: IdentityId) -> Reply<'_, Option<Account>> {
        self.look(move |tables| tables.account(id))
    }

    fn identities(&self, project: ProjectId, after: IdentityId, limit: u32) -> Reply<'_, Vec<Account>> {
        self.look(move |tables| {
            let is_asked_for = |identity: &&Identity| identity.id > after && identity.project == project;
            let identities = tables.identities.values().filter(is_asked_for).take(count(limit));
            identities.filter_map(|identity| tables.account(identity.id)).collect()
        })
    }

    fn sessions(&self, identity: IdentityId, now: Timestamp) -> Reply<'_, Vec<Session>> {
        self.look(move |tables| {
            let is_its = |session: &&Session| session.identity == identity && session.is_live(now);
            tables.sessions.values().filter(is_its).cloned().collect()
        })
    }

    fn device(&self, id: DeviceId, now: Timestamp) -> Reply<'_, Option<DeviceView>> {
        self.look(move |tables| tables.device_view(id, now))
    }

    fn caller(&self, id: SessionId) -> Reply<'_, Option<Caller>> {
        self.look(move |tables| tables.caller(id))
    }

    fn messages(&self, query: MessageQuery) -> Reply<'_, Vec<(OutboxMessage, Option<Flow>)>> {
        self.look(move |tables| tables.messages(&query))
    }

    fn outbox_depth(&self) -> Reply<'_, OutboxDepth> {
        self.look(|tables| {
            let owed = || tables.outbox.values().filter(|kept| kept.message.state == MessageState::Owed);
            let oldest = owed().map(|kept| kept.message.created_at).min();
            OutboxDepth { owed: i64::try_from(owed().count()).unwrap_or(i64::MAX), oldest }
        })
    }

    fn signing_keys(&self, project: ProjectId) -> Reply<'_, Vec<SealedKey>> {
        self.look(move |tables| {
            let mut keys: Vec<_> = tables.signing_keys.iter().filter(|key| key.project == project).cloned().collect();
            keys.sort_by_key(|key| (key.slot, key.algorithm.name()));
            keys
        })
    }

    fn add_signing_key(&self, key: SealedKey) -> Reply<'_, ()> {
        self.write("add_signing_key", move |tables| {
            let place = |key: &SealedKey| (key.project.clone(), key.algorithm, key.slot);
            if tables.signing_keys.iter().all(|there| place(there) != place(&key) && there.kid != key.kid) {
                tables.signing_keys.push(key);
            }
            Ok(())
        })
    }

    fn meta(&self, name: &'static str) -> Reply<'_, Option<Vec<u8>>> {
        self.look(move |tables| tables.meta.get(name).cloned())
    }

    fn claim_meta(&self, name: &'static str, value: Vec<u8>) -> Reply<'_, Vec<u8>> {
        self.write("claim_meta", move |tables| Ok(tables.meta.entry(name.to_owned()).or_insert(value).clone()))
    }

    fn put_meta(&self, name: &'static str, value: Vec<u8>) -> Reply<'_, ()> {
        self.write("put_meta", move |tables| {
            tables.meta.insert(name.to_owned(), value);
            Ok(())
        })
    }

    fn highest_id(&self) -> Reply<'_, i64> {
        self.look(Tables::highest_id)
    }

    fn ping(&self) -> Reply<'_, ()> {
        self.write("ping", |_| Ok(()))
    }
}

/// A limit, as a number of rows.
fn count(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
