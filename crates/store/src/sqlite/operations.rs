//! [`engine::Store`] over SQLite: each change is one job of the writer, each plain read one job of a reader.
//!
//! Under the single writer everything a loader sees is locked: no two operations run at once.

use engine::{
    Account, Address, Annotate, Caller, ChangeDevice, ChangeIdentity, ChangeSeen, Device, DeviceId, DeviceProof,
    DeviceView, EndSessions, EraseIdentity, Flow, FlowSeen, Handle, IdentityId, Lease, MessageQuery, OpenFlow,
    Operation, OutboxDepth, OutboxMessage, Owner, ProjectId, Prover, Refresh, Refusal, Register, Reply, Resend,
    SealedKey, Session, SessionId, Settle, Start, StartSeen, Store, StoreError, Swept, TakeTicket, Taken, Ticket,
    TicketSeen, Timestamp, Verify, VerifySeen, Write,
};
use rusqlite::Connection;

use super::{SqliteStore, budget, device, flow, identity, outbox, session, ticket, vault};

/// At most so many rows of a kind go in one sweep, so that nobody waits behind it for long.
const SWEEP: usize = 500;

/// What an operation must see, loaded inside of the writer's transaction.
trait Load: Operation {
    fn load(&self, connection: &Connection) -> Result<Self::Seen, StoreError>;
}

/// Load, decide, apply.
fn run<O: Load>(connection: &Connection, operation: &O) -> Result<O::Outcome, StoreError> {
    let decision = operation.decide(operation.load(connection)?);
    for write in &decision.writes {
        apply(connection, write)?;
    }
    Ok(decision.outcome)
}

impl Load for Start {
    fn load(&self, connection: &Connection) -> Result<StartSeen, StoreError> {
        Ok(StartSeen {
            flow: flow::by_handle(connection, &self.handle)?,
            known_flow: match self.known_handle() {
                Some(handle) => flow::by_handle(connection, &handle)?,
                None => None,
            },
            owner: identity::owner(connection, &self.asking.project, &self.address)?,
            budget: budget::of(connection, &self.asking.project, &self.address)?,
            provers: provers(connection, self.asking.proof)?,
            caller: match &self.change {
                Some(change) => session::caller(connection, change.session)?,
                None => None,
            },
        })
    }
}

impl Load for Resend {
    fn load(&self, connection: &Connection) -> Result<StartSeen, StoreError> {
        let mut seen = StartSeen { flow: flow::by_handle(connection, &self.handle)?, ..StartSeen::default() };
        if let Some(challenge) = seen.flow.as_ref().and_then(|flow| flow.challenge.as_ref()) {
            seen.owner = identity::owner(connection, &self.asking.project, &challenge.address)?;
            seen.budget = budget::of(connection, &self.asking.project, &challenge.address)?;
            seen.provers = provers(connection, self.asking.proof)?;
        }
        Ok(seen)
    }
}

impl Load for OpenFlow {
    fn load(&self, _: &Connection) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Load for Annotate {
    fn load(&self, connection: &Connection) -> Result<Option<Flow>, StoreError> {
        flow::by_handle(connection, &self.handle)
    }
}

impl Load for Verify {
    fn load(&self, connection: &Connection) -> Result<VerifySeen, StoreError> {
        let mut seen = VerifySeen { provers: provers(connection, self.proof)?, ..VerifySeen::default() };
        for handle in &self.handles {
            let Some(flow) = flow::by_handle(connection, handle)? else { continue };
            let owner = match &flow.challenge {
                Some(challenge) => identity::owner(connection, &flow.project, &challenge.address)?,
                None => None,
            };
            let account = match (flow.identity, owner.as_ref().map(|owner| &owner.identity)) {
                (Some(id), Some(identity)) if identity.id != id => identity::account(connection, id)?,
                (_, Some(identity)) => Some(identity::account_of(connection, identity.clone())?),
                (Some(id), None) => identity::account(connection, id)?,
                (None, None) => None,
            };
            let device = match flow.device {
                Some(id) => device::device(connection, id)?,
                None => None,
            };
            if let Some(challenge) = flow.challenge.as_ref().filter(|challenge| !seen.budgets.has(&challenge.address)) {
                let budget = budget::of(connection, &flow.project, &challenge.address)?;
                seen.budgets.add(&flow.project, &challenge.address, budget);
            }
            seen.flows.push(FlowSeen { flow, owner, account, device });
        }
        Ok(seen)
    }
}

/// Who was proved in the session, or at the device, that a request shows.
fn provers(connection: &Connection, proof: Option<DeviceProof>) -> Result<Vec<Prover>, StoreError> {
    match proof {
        Some(DeviceProof::Session(session)) => session::prover(connection, session),
        Some(DeviceProof::Device(device)) => session::provers_at(connection, device),
        Some(DeviceProof::Identity { .. }) | None => Ok(Vec::new()),
    }
}

impl Load for Refresh {
    fn load(&self, connection: &Connection) -> Result<Option<Caller>, StoreError> {
        session::caller(connection, self.session)
    }
}

impl Load for EndSessions {
    fn load(&self, connection: &Connection) -> Result<Option<Caller>, StoreError> {
        session::caller(connection, self.session)
    }
}

impl Load for Register {
    fn load(&self, connection: &Connection) -> Result<Vec<Owner>, StoreError> {
        owners(connection, &self.identity.project, self.addresses.iter().map(|own| &own.address))
    }
}

impl Load for ChangeIdentity {
    fn load(&self, connection: &Connection) -> Result<ChangeSeen, StoreError> {
        let wanted = self.change.addresses.iter().flatten().map(|wanted| &wanted.address);
        Ok(ChangeSeen {
            account: identity::account(connection, self.id)?,
            owners: owners(connection, &self.project, wanted)?,
        })
    }
}

impl Load for EraseIdentity {
    fn load(&self, connection: &Connection) -> Result<Option<Account>, StoreError> {
        identity::account(connection, self.id)
    }
}

impl Load for ChangeDevice {
    fn load(&self, connection: &Connection) -> Result<Option<DeviceView>, StoreError> {
        // Without its flows, of which anybody may begin as many as he likes: the writer waits for nobody.
        let Some(device) = device::device(connection, self.id)? else { return Ok(None) };
        let callers = session::of_device(connection, self.id, self.now)?;
        Ok(Some(DeviceView { device, flows: Vec::new(), callers }))
    }
}

impl Load for TakeTicket {
    fn load(&self, connection: &Connection) -> Result<TicketSeen, StoreError> {
        let ticket = ticket::by_digest(connection, &self.digest)?;
        let account = match ticket.as_ref().and_then(|ticket| ticket.identity) {
            Some(id) => identity::account(connection, id)?,
            None => None,
        };
        Ok(TicketSeen { ticket, account })
    }
}

/// Who owns any of `addresses`.
fn owners<'a>(
    connection: &Connection,
    project: &ProjectId,
    addresses: impl Iterator<Item = &'a Address>,
) -> Result<Vec<Owner>, StoreError> {
    let mut owners = Vec::new();
    for address in addresses {
        owners.extend(identity::owner(connection, project, address)?);
    }
    Ok(owners)
}

impl Load for Lease {
    fn load(&self, connection: &Connection) -> Result<Vec<(OutboxMessage, Option<Flow>)>, StoreError> {
        outbox::due(connection, self.now, self.sight())
    }
}

impl Load for Settle {
    fn load(&self, connection: &Connection) -> Result<Vec<OutboxMessage>, StoreError> {
        outbox::of_deliveries(connection, &self.deliveries)
    }
}

/// One change of a row.
fn apply(connection: &Connection, write: &Write) -> Result<(), StoreError> {
    match write {
        Write::PutFlow(flow) => flow::put(connection, flow),
        Write::AnnotateFlow { id, memo } => flow::annotate(connection, *id, memo),
        Write::CountMiss { flow, attempts } => flow::count_miss(connection, *flow, *attempts),
        Write::PassFlow { flow, identity } => flow::pass(connection, *flow, *identity),
        Write::DropFlows { identity, except } => flow::drop_all(connection, *identity, *except),
        Write::DropChanges { identity, address } => flow::drop_changes(connection, *identity, address),
        Write::AddIdentity(identity) => identity::add(connection, identity),
        Write::BumpIdentity { id, revision, at } => identity::bump(connection, *id, *revision, *at),
        Write::PutTraits { id, traits } => identity::put_traits(connection, *id, traits),
        Write::PutMetadata { id, metadata } => identity::put_metadata(connection, *id, metadata),
        Write::PutState { id, state } => identity::put_state(connection, *id, *state),
        Write::DropIdentity(id) => identity::drop(connection, *id),
        Write::DropAddress(id) => identity::drop_address(connection, *id),
        Write::AddAddress { project, address } => identity::add_address(connection, project, address),
        Write::AskAddress { id, at } => identity::ask_address(connection, *id, *at),
        Write::DoubtAddress(id) => identity::doubt_address(connection, *id),
        Write::ProveAddress { id, at } => identity::prove_address(connection, *id, *at),
        Write::DropUnprovenAddresses { identity, except } => {
            identity::drop_unproven_addresses(connection, *identity, *except)
        }
        Write::OpenSession(session) => session::open(connection, session),
        Write::RotateSession(session) => session::rotate(connection, session),
        Write::EndSession { id, at } => session::end(connection, *id, *at),
        Write::EndSessions { identity, at } => session::end_all(connection, *identity, *at),
        Write::ForgetSessions(identity) => session::forget(connection, *identity),
        Write::PutDevice(device) => device::put(connection, device),
        Write::SpendTicket { digest, at, session } => ticket::spend(connection, digest, *at, *session),
        Write::DropTickets(identity) => ticket::drop_all(connection, *identity),
        Write::PutBudget { project, address, budget } => budget::put(connection, project, address, budget),
        Write::OweMessage(message) => outbox::owe(connection, message),
        Write::CancelMessage { id, at } => outbox::cancel(connection, *id, *at),
        Write::DelayMessage { id, due_at, attempts, error } => {
            outbox::delay(connection, *id, *due_at, *attempts, error.as_deref())
        }
        Write::SettleMessage { id, state, at, error } => outbox::settle(connection, *id, *state, *at, error.as_deref()),
    }
}

impl SqliteStore {
    /// Has the writer run an operation.
    fn change<O: Load>(&self, name: &'static str, operation: O) -> Reply<'_, O::Outcome> {
        let job = move |connection: &Connection| run(connection, &operation);
        Box::pin(self.writer.run_then(name, job, O::committed))
    }

    /// Has the writer run anything else.
    fn write<T: Send + 'static>(
        &self,
        name: &'static str,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<'_, T> {
        Box::pin(self.writer.run(name, job))
    }

    /// Has a reader read.
    fn look<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Reply<'_, T> {
        Box::pin(self.readers.read(job))
    }
}

impl Store for SqliteStore {
    fn start(&self, operation: Start) -> Reply<'_, engine::StartOutcome> {
        self.change("start", operation)
    }

    fn resend(&self, operation: Resend) -> Reply<'_, engine::StartOutcome> {
        self.change("resend", operation)
    }

    fn open_flow(&self, operation: OpenFlow) -> Reply<'_, Flow> {
        self.change("open_flow", operation)
    }

    fn annotate(&self, operation: Annotate) -> Reply<'_, Result<(), Refusal>> {
        self.change("annotate", operation)
    }

    fn verify(&self, operation: Verify) -> Reply<'_, engine::VerifyOutcome> {
        self.change("verify", operation)
    }

    fn refresh(&self, operation: Refresh) -> Reply<'_, engine::RefreshOutcome> {
        self.change("refresh", operation)
    }

    fn end_sessions(&self, operation: EndSessions) -> Reply<'_, Result<(), Refusal>> {
        self.change("end_sessions", operation)
    }

    fn register(&self, operation: Register) -> Reply<'_, engine::Registered> {
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
        self.write("put_ticket", move |connection| ticket::put(connection, &ticket))
    }

    fn take_ticket(&self, operation: TakeTicket) -> Reply<'_, Result<Taken, Refusal>> {
        self.change("take_ticket", operation)
    }

    fn forgive(&self, project: ProjectId, address: Address) -> Reply<'_, ()> {
        self.write("forgive", move |connection| budget::forgive(connection, &project, &address))
    }

    fn lease(&self, operation: Lease) -> Reply<'_, engine::Leases> {
        self.change("lease", operation)
    }

    fn settle(&self, operation: Settle) -> Reply<'_, Vec<engine::MessageState>> {
        self.change("settle", operation)
    }

    fn sweep(&self, now: Timestamp, before: Timestamp, sessions_before: Timestamp) -> Reply<'_, Swept> {
        self.write("sweep", move |connection| {
            let (sessions, devices) = session::sweep(connection, sessions_before, SWEEP)?;
            Ok(Swept {
                flows: flow::sweep(connection, before, SWEEP)?,
                messages: outbox::sweep(connection, before, SWEEP)?,
                sessions,
                budgets: budget::sweep(connection, now, SWEEP)?,
                others: devices + ticket::sweep(connection, before, SWEEP)?,
            })
        })
    }

    fn flow(&self, handle: Handle) -> Reply<'_, Option<Flow>> {
        self.look(move |connection| flow::by_handle(connection, &handle))
    }

    fn owner(&self, project: ProjectId, address: Address) -> Reply<'_, Option<Owner>> {
        self.look(move |connection| identity::owner(connection, &project, &address))
    }

    fn identity(&self, id: IdentityId) -> Reply<'_, Option<Account>> {
        self.look(move |connection| identity::account(connection, id))
    }

    fn identities(&self, project: ProjectId, after: IdentityId, limit: u32) -> Reply<'_, Vec<Account>> {
        self.look(move |connection| identity::list(connection, &project, after, limit))
    }

    fn sessions(&self, identity: IdentityId, now: Timestamp) -> Reply<'_, Vec<Session>> {
        self.look(move |connection| session::of_identity(connection, identity, now))
    }

    fn device(&self, id: DeviceId, now: Timestamp) -> Reply<'_, Option<DeviceView>> {
        self.look(move |connection| device::view(connection, id, now))
    }

    fn caller(&self, id: SessionId) -> Reply<'_, Option<Caller>> {
        self.look(move |connection| session::caller(connection, id))
    }

    fn messages(&self, query: MessageQuery) -> Reply<'_, Vec<(OutboxMessage, Option<Flow>)>> {
        self.look(move |connection| outbox::list(connection, &query))
    }

    fn outbox_depth(&self) -> Reply<'_, OutboxDepth> {
        self.look(outbox::depth)
    }

    fn signing_keys(&self, project: ProjectId) -> Reply<'_, Vec<SealedKey>> {
        self.look(move |connection| vault::signing_keys(connection, &project))
    }

    fn add_signing_key(&self, key: SealedKey) -> Reply<'_, ()> {
        self.write("add_signing_key", move |connection| vault::add_signing_key(connection, &key))
    }

    fn meta(&self, name: &'static str) -> Reply<'_, Option<Vec<u8>>> {
        self.look(move |connection| vault::meta(connection, name))
    }

    fn claim_meta(&self, name: &'static str, value: Vec<u8>) -> Reply<'_, Vec<u8>> {
        self.write("claim_meta", move |connection| {
            if let Some(present) = vault::meta(connection, name)? {
                return Ok(present);
            }
            vault::put_meta(connection, name, &value)?;
            Ok(value)
        })
    }

    fn put_meta(&self, name: &'static str, value: Vec<u8>) -> Reply<'_, ()> {
        self.write("put_meta", move |connection| vault::put_meta(connection, name, &value))
    }

    fn highest_id(&self) -> Reply<'_, i64> {
        self.look(vault::highest_id)
    }

    fn ping(&self) -> Reply<'_, ()> {
        self.write("ping", |_| Ok(()))
    }
}
