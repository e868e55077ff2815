//! What each operation must see, with its locks, and how each change is made.

use std::collections::BTreeSet;

use engine::{
    Account, Address, Annotate, Caller, ChangeDevice, ChangeIdentity, ChangeSeen, DeviceId, DeviceProof, DeviceView,
    EndSessions, EraseIdentity, Flow, FlowId, FlowSeen, Handle, IdentityId, Lease, OpenFlow, Operation, OutboxMessage,
    Owner, Refresh, Register, Resend, Sessions, Settle, Start, StartSeen, TakeTicket, TicketSeen, Verify, VerifySeen,
    Write,
};

use super::connect::Link;
use super::device::IsSeen;
use super::identity::{Locked, Wanted};
use super::trip::{Failure, Place, Step, Trip};
use super::{budget, device, flow, identity, outbox, session, ticket};

/// How much an operation locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breadth {
    /// What it most likely needs.
    Narrow,
    /// Also all flows and tickets that concern whom it concerns: it drops some of them.
    Wide,
}

/// What was loaded for an operation.
pub(super) struct Loaded<T> {
    /// What it must see.
    pub(super) seen: T,
    /// Which rows were there.
    pub(super) present: Present,
}

/// Rows that were there, and are locked: what is put in their place changes them. Where none was, a new one is added, and if somebody
/// else has added one meanwhile, the index refuses it and the operation looks again.
#[derive(Default)]
pub(super) struct Present {
    flows: Vec<(Handle, FlowId)>,
    devices: Vec<DeviceId>,
    /// Whether also all flows and tickets are locked that concern whom the operation concerns.
    is_wide: bool,
}

impl Present {
    fn of(flows: &[Flow]) -> Self {
        Self { flows: flows.iter().map(|flow| (flow.handle, flow.id)).collect(), ..Self::default() }
    }

    fn flow(&self, handle: &Handle) -> Option<FlowId> {
        self.flows.iter().find(|(known, _)| known == handle).map(|(_, id)| *id)
    }

    /// Of whom `writes` remove flows or tickets that are not locked: these come before identities in the order of locks.
    pub(super) fn unlocked(&self, writes: &[Write]) -> BTreeSet<IdentityId> {
        let unlocked = |write: &Write| match write {
            Write::DropFlows { identity, .. } | Write::DropChanges { identity, .. } | Write::DropTickets(identity) => {
                Some(*identity)
            }
            _ => None,
        };
        if self.is_wide { BTreeSet::new() } else { writes.iter().filter_map(unlocked).collect() }
    }

    fn device(&self, id: DeviceId) -> IsSeen {
        if self.devices.contains(&id) { IsSeen::Yes } else { IsSeen::No }
    }
}

/// What an operation must see, loaded in one trip that begins its transaction.
pub(super) trait Load: Operation {
    fn load(&self, link: &Link, breadth: Breadth) -> impl Future<Output = Result<Loaded<Self::Seen>, Failure>> + Send;
}

/// Nothing that could be replaced was looked at.
fn plain<T>(seen: T) -> Loaded<T> {
    Loaded { seen, present: Present::default() }
}

impl Load for Start {
    async fn load(&self, link: &Link, _: Breadth) -> Result<Loaded<StartSeen>, Failure> {
        let project = &self.asking.project;
        let handles: Vec<_> = [Some(self.handle), self.known_handle()].into_iter().flatten().collect();
        let keys: Vec<&[u8]> = handles.iter().map(|handle| handle.as_bytes().as_slice()).collect();
        let mut trip = Trip::begin(link);
        let flows = trip.add(flow::lock_all(link, &keys));
        // Where nothing is limited there is nothing to count.
        if self.asking.send_limit.is_some() {
            trip.add(budget::lock(link, project, &self.address));
        }
        let budget = trip.add(budget::of(link, project, &self.address));
        let owner = trip.add(identity::owner(link, project, &self.address));
        let provers = provers(link, &mut trip, self.asking.proof);
        let caller = self.change.as_ref().map(|change| trip.add(session::caller(link, change.session)));
        let mut answers = trip.run().await?;
        let flows = flow::read_all(&answers.take(flows))?;
        let present = Present::of(&flows);
        let of = |handle: Handle| flows.iter().find(|flow| flow.handle == handle).cloned();
        let seen = StartSeen {
            flow: of(self.handle),
            known_flow: self.known_handle().and_then(of),
            owner: identity::read_owner(&answers.take(owner))?,
            budget: budget::read_one(&answers.take(budget))?,
            provers: session::read_provers(&answers.take_if(provers))?,
            caller: session::read_callers(&answers.take_if(caller))?.pop(),
        };
        Ok(Loaded { seen, present })
    }
}

impl Load for Resend {
    async fn load(&self, link: &Link, _: Breadth) -> Result<Loaded<StartSeen>, Failure> {
        let project = &self.asking.project;
        let mut trip = Trip::begin(link);
        let flow = trip.add(flow::lock(link, &self.handle));
        if self.asking.send_limit.is_some() {
            trip.add(budget::lock_of_flow(link, &self.handle, project));
        }
        let budget = trip.add(budget::of_flow(link, &self.handle, project));
        let owner = trip.add(identity::owner_of_flow(link, &self.handle, project));
        let provers = provers(link, &mut trip, self.asking.proof);
        let mut answers = trip.run().await?;
        let flow = flow::read_one(&answers.take(flow))?;
        let present = Present::of(flow.as_slice());
        let seen = StartSeen {
            flow,
            known_flow: None,
            owner: identity::read_owner(&answers.take(owner))?,
            budget: budget::read_one(&answers.take(budget))?,
            provers: session::read_provers(&answers.take_if(provers))?,
            caller: None,
        };
        Ok(Loaded { seen, present })
    }
}

impl Load for OpenFlow {
    async fn load(&self, link: &Link, _: Breadth) -> Result<Loaded<()>, Failure> {
        let mut trip = Trip::begin(link);
        let flow = trip.add(flow::lock(link, &self.flow.handle));
        let flows = flow::read_all(&trip.run().await?.take(flow))?;
        Ok(Loaded { seen: (), present: Present::of(&flows) })
    }
}

impl Load for Annotate {
    async fn load(&self, link: &Link, _: Breadth) -> Result<Loaded<Option<Flow>>, Failure> {
        let mut trip = Trip::begin(link);
        let flow = trip.add(flow::lock(link, &self.handle));
        Ok(plain(flow::read_one(&trip.run().await?.take(flow))?))
    }
}

impl Load for Verify {
    async fn load(&self, link: &Link, breadth: Breadth) -> Result<Loaded<VerifySeen>, Failure> {
        let handles: Vec<&[u8]> = self.handles.iter().map(|handle| handle.as_bytes().as_slice()).collect();
        let mut trip = Trip::begin(link);
        if breadth == Breadth::Wide {
            trip.add(flow::lock_concerning(link, &handles));
            trip.add(ticket::lock_of_concerned(link, &handles));
        }
        let flows = trip.add(flow::lock_all(link, &handles));
        // Whatever comes of it, each guess at an address waits for the one before it.
        trip.add(budget::lock_of_flows(link, &handles));
        let budgets = trip.add(budget::of_flows(link, &handles));
        let identities = trip.add(identity::lock_concerned(link, &handles));
        let addresses = trip.add(identity::addresses_of_concerned(link, &handles));
        let devices = trip.add(device::lock_of_flows(link, &handles));
        let provers = provers(link, &mut trip, self.proof);
        let mut answers = trip.run().await?;
        let flows = flow::read_all(&answers.take(flows))?;
        let locked = Locked::read(&answers.take(identities), &answers.take(addresses))?;
        if locked.is_outrun() {
            return Err(Failure::Moved);
        }
        let devices = device::read_all(&answers.take(devices))?;
        let mut present = Present::of(&flows);
        present.devices = devices.iter().map(|device| device.id).collect();
        present.is_wide = breadth == Breadth::Wide;
        let mut seen =
            VerifySeen { provers: session::read_provers(&answers.take_if(provers))?, ..VerifySeen::default() };
        let spent = budget::read_all(&answers.take(budgets))?;
        let found = self.handles.iter().filter_map(|handle| flows.iter().find(|flow| flow.handle == *handle));
        for flow in found {
            let asked = flow.challenge.as_ref().map(|challenge| &challenge.address);
            if let Some(address) = asked.filter(|address| !seen.budgets.has(address)) {
                let is_its = |(project, known, _): &&_| *project == flow.project && known == address;
                let budget = spent.iter().find(is_its).map(|(_, _, budget)| budget.clone());
                seen.budgets.add(&flow.project, address, budget.unwrap_or_default());
            }
            let owner = flow.challenge.as_ref().and_then(|asked| locked.owner(&flow.project, &asked.address));
            let concerned = flow.identity.or(owner.as_ref().map(|owner| owner.identity.id));
            seen.flows.push(FlowSeen {
                account: concerned.and_then(|id| locked.account(id)),
                device: flow.device.and_then(|id| devices.iter().find(|device| device.id == id).cloned()),
                flow: flow.clone(),
                owner,
            });
        }
        Ok(Loaded { seen, present })
    }
}

/// Asks who was proved in the session, or at the device, that a request shows.
fn provers<'a>(link: &'a Link, trip: &mut Trip<'a>, proof: Option<DeviceProof>) -> Option<Place> {
    match proof? {
        DeviceProof::Session(session) => Some(trip.add(session::prover(link, session))),
        DeviceProof::Device(device) => Some(trip.add(session::provers_at(link, device))),
        DeviceProof::Identity { .. } => None,
    }
}

impl Load for Refresh {
    /// Only the session is locked: whatever deactivates an identity ends its sessions in the same transaction.
    async fn load(&self, link: &Link, _: Breadth) -> Result<Loaded<Option<Caller>>, Failure> {
        let mut trip = Trip::begin(link);
        let session = trip.add(session::lock(link, self.session));
        let account = trip.add(session::identity_of(link, self.session));
        let mut answers = trip.run().await?;
        let account = identity::read_account(&answers.take(account))?;
        Ok(plain(session::read_caller(&answers.take(session), account)?))
    }
}

impl Load for EndSessions {
    async fn load(&self, link: &Link, _: Breadth) -> Result<Loaded<Option<Caller>>, Failure> {
        let mut trip = Trip::begin(link);
        match self.which {
            Sessions::This => {
                trip.add(session::lock(link, self.session));
            }
            // All of them are locked when they are ended, in their order, which this one must not be before.
            Sessions::OfIdentity => {
                trip.add(ticket::lock_of_session(link, self.session));
                trip.add(session::lock_identity_of(link, self.session));
            }
        }
        let caller = trip.add(session::caller(link, self.session));
        let seen = session::read_callers(&trip.run().await?.take(caller))?.pop();
        let present = Present { is_wide: self.which == Sessions::OfIdentity, ..Present::default() };
        Ok(Loaded { seen, present })
    }
}

impl Load for Register {
    /// Nothing is locked: of two who take an address at once the index refuses one, who then sees the other.
    async fn load(&self, link: &Link, _: Breadth) -> Result<Loaded<Vec<Owner>>, Failure> {
        let mut trip = Trip::begin(link);
        let project = &self.identity.project;
        let asked: Vec<_> =
            self.addresses.iter().map(|own| trip.add(identity::owner(link, project, &own.address))).collect();
        let mut answers = trip.run().await?;
        let mut owners = Vec::new();
        for place in asked {
            owners.extend(identity::read_owner(&answers.take(place))?);
        }
        Ok(plain(owners))
    }
}

impl Load for ChangeIdentity {
    async fn load(&self, link: &Link, breadth: Breadth) -> Result<Loaded<ChangeSeen>, Failure> {
        let addresses = || self.change.addresses.iter().flatten().map(|wanted| &wanted.address);
        let wanted = Wanted {
            id: self.id,
            project: &self.project,
            addresses: addresses().map(Address::as_str).collect(),
            channels: addresses().map(|address| address.channel().name()).collect(),
        };
        let mut trip = Trip::begin(link);
        if breadth == Breadth::Wide {
            trip.add(flow::lock_of_identity(link, self.id));
            trip.add(ticket::lock_of_identity(link, self.id));
        }
        let identities = trip.add(identity::lock_wanted(link, &wanted));
        let owned = trip.add(identity::addresses_of_wanted(link, &wanted));
        let mut answers = trip.run().await?;
        let locked = Locked::read(&answers.take(identities), &answers.take(owned))?;
        if locked.is_outrun() {
            return Err(Failure::Moved);
        }
        let owners = addresses().filter_map(|address| locked.owner(&self.project, address)).collect();
        let present = Present { is_wide: breadth == Breadth::Wide, ..Present::default() };
        Ok(Loaded { seen: ChangeSeen { account: locked.account(self.id), owners }, present })
    }
}

impl Load for EraseIdentity {
    /// It drops the flows and tickets that concern the identity whatever it sees, so they are locked first, in whatever breadth.
    async fn load(&self, link: &Link, _: Breadth) -> Result<Loaded<Option<Account>>, Failure> {
        let mut trip = Trip::begin(link);
        trip.add(flow::lock_of_identity(link, self.id));
        trip.add(ticket::lock_of_identity(link, self.id));
        let identity = trip.add(identity::lock(link, self.id));
        let addresses = trip.add(identity::addresses(link, self.id));
        let mut answers = trip.run().await?;
        let locked = Locked::read(&answers.take(identity), &answers.take(addresses))?;
        let present = Present { is_wide: true, ..Present::default() };
        Ok(Loaded { seen: locked.account(self.id), present })
    }
}

impl Load for ChangeDevice {
    async fn load(&self, link: &Link, _: Breadth) -> Result<Loaded<Option<DeviceView>>, Failure> {
        let mut trip = Trip::begin(link);
        let device = trip.add(device::lock(link, self.id));
        trip.add(session::lock_of_device(link, self.id));
        let callers = trip.add(session::of_device(link, self.id, self.now));
        let mut answers = trip.run().await?;
        let devices = device::read_all(&answers.take(device))?;
        let present = Present { devices: devices.iter().map(|device| device.id).collect(), ..Present::default() };
        let callers = session::read_callers(&answers.take(callers))?;
        let seen = devices.into_iter().next().map(|device| DeviceView { device, flows: Vec::new(), callers });
        Ok(Loaded { seen, present })
    }
}

impl Load for TakeTicket {
    async fn load(&self, link: &Link, _: Breadth) -> Result<Loaded<TicketSeen>, Failure> {
        let mut trip = Trip::begin(link);
        let ticket = trip.add(ticket::lock(link, &self.digest));
        let identity = trip.add(ticket::lock_identity_of(link, &self.digest));
        let addresses = trip.add(ticket::addresses_of(link, &self.digest));
        let mut answers = trip.run().await?;
        let ticket = ticket::read(&answers.take(ticket), &self.digest)?;
        let locked = Locked::read(&answers.take(identity), &answers.take(addresses))?;
        let account = ticket.as_ref().and_then(|ticket| ticket.identity).and_then(|id| locked.account(id));
        Ok(plain(TicketSeen { ticket, account }))
    }
}

impl Load for Lease {
    async fn load(&self, link: &Link, _: Breadth) -> Result<Loaded<Vec<(OutboxMessage, Option<Flow>)>>, Failure> {
        let mut trip = Trip::begin(link);
        let due = trip.add(outbox::due(link, self.now, self.sight()));
        Ok(plain(outbox::read_with_flows(&trip.run().await?.take(due))?))
    }
}

impl Load for Settle {
    async fn load(&self, link: &Link, _: Breadth) -> Result<Loaded<Vec<OutboxMessage>>, Failure> {
        let mut trip = Trip::begin(link);
        let messages = trip.add(outbox::lock(link, &self.deliveries));
        Ok(plain(outbox::read_of_deliveries(&trip.run().await?.take(messages), &self.deliveries)?))
    }
}

/// Puts down that the flows and tickets of an identity be locked, none of which is waited for.
pub(super) fn seize(link: &Link, identity: IdentityId) -> [Step; 2] {
    [flow::seize_of_identity(link, identity), ticket::seize_of_identity(link, identity)]
}

/// Puts down all changes, in their order. A courier delays and settles many messages at a time: one statement changes all of them.
pub(super) fn apply_all(link: &Link, writes: &[Write], present: &Present) {
    let runs = writes.chunk_by(|one, next| {
        matches!(
            (one, next),
            (Write::DelayMessage { .. }, Write::DelayMessage { .. })
                | (Write::SettleMessage { .. }, Write::SettleMessage { .. })
        )
    });
    for run in runs {
        let _step = run.first().map(|write| apply(link, write, run, present));
    }
}

/// One change of a row; where several of a kind are made by one statement, `run` is all of them.
fn apply(link: &Link, write: &Write, run: &[Write], present: &Present) -> Step {
    match write {
        Write::PutFlow(flow) => flow::put(link, flow, present.flow(&flow.handle)),
        Write::AnnotateFlow { id, memo } => flow::annotate(link, *id, memo),
        Write::CountMiss { flow, attempts } => flow::count_miss(link, *flow, *attempts),
        Write::PassFlow { flow, identity } => flow::pass(link, *flow, *identity),
        Write::DropFlows { identity, except } => flow::drop_all(link, *identity, *except),
        Write::DropChanges { identity, address } => flow::drop_changes(link, *identity, address),
        Write::AddIdentity(identity) => identity::add(link, identity),
        Write::BumpIdentity { id, revision, at } => identity::bump(link, *id, *revision, *at),
        Write::PutTraits { id, traits } => identity::put_traits(link, *id, traits),
        Write::PutMetadata { id, metadata } => identity::put_metadata(link, *id, metadata),
        Write::PutState { id, state } => identity::put_state(link, *id, *state),
        Write::DropIdentity(id) => identity::drop(link, *id),
        Write::DropAddress(id) => identity::drop_address(link, *id),
        Write::AddAddress { project, address } => identity::add_address(link, project, address),
        Write::AskAddress { id, at } => identity::ask_address(link, *id, *at),
        Write::DoubtAddress(id) => identity::doubt_address(link, *id),
        Write::ProveAddress { id, at } => identity::prove_address(link, *id, *at),
        Write::DropUnprovenAddresses { identity, except } => {
            identity::drop_unproven_addresses(link, *identity, *except)
        }
        Write::OpenSession(session) => session::open(link, session),
        Write::RotateSession(session) => session::rotate(link, session),
        Write::EndSession { id, at } => session::end(link, *id, *at),
        Write::EndSessions { identity, at } => session::end_all(link, *identity, *at),
        Write::ForgetSessions(identity) => session::forget(link, *identity),
        Write::PutDevice(device) => device::put(link, device, present.device(device.id)),
        Write::SpendTicket { digest, at, session } => ticket::spend(link, digest, *at, *session),
        Write::DropTickets(identity) => ticket::drop_all(link, *identity),
        Write::PutBudget { project, address, budget } => budget::put(link, project, address, budget),
        Write::OweMessage(message) => outbox::owe(link, message),
        Write::CancelMessage { id, at } => outbox::cancel(link, *id, *at),
        Write::DelayMessage { .. } => outbox::delay(link, run),
        Write::SettleMessage { .. } => outbox::settle(link, run),
    }
}
