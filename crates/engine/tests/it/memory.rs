//! The least there is of a store: loads and applies in memory, so that a rule can be watched over several operations.

use std::collections::BTreeMap;

use engine::{
    Account, Address, AddressId, Annotate, Budget, Caller, ChangeDevice, ChangeIdentity, ChangeSeen, Decision, Device,
    DeviceId, DeviceProof, DeviceView, EndSessions, EraseIdentity, Flow, FlowId, FlowSeen, FlowState, Handle, Identity,
    IdentityId, Lease, Leases, MessageId, MessageState, OpenFlow, Operation, OutboxMessage, Owner, ProjectId, Prover,
    Purpose, Refresh, RefreshOutcome, Refusal, Register, Registered, Resend, Session, SessionId, Settle, Start,
    StartOutcome, StartSeen, TakeTicket, Taken, Ticket, TicketSeen, Timestamp, VerifiableAddress, Verify,
    VerifyOutcome, VerifySeen, Write,
};

/// Rows, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) flows: BTreeMap<FlowId, Flow>,
    pub(crate) identities: BTreeMap<IdentityId, Identity>,
    pub(crate) addresses: BTreeMap<AddressId, (ProjectId, VerifiableAddress)>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) budgets: BTreeMap<(ProjectId, Address), Budget>,
    pub(crate) outbox: BTreeMap<MessageId, OutboxMessage>,
    pub(crate) devices: BTreeMap<DeviceId, Device>,
    pub(crate) tickets: BTreeMap<[u8; 32], Ticket>,
}

impl Memory {
    pub(crate) fn start(&mut self, operation: &Start) -> StartOutcome {
        let mut seen = self.start_seen(self.flow(&operation.handle), &operation.asking.project, &operation.address);
        seen.known_flow = operation.known_handle().and_then(|handle| self.flow(&handle)).cloned();
        seen.provers = self.provers(operation.asking.proof);
        seen.caller = operation.change.as_ref().and_then(|change| self.caller(change.session));
        self.apply(operation.decide(seen))
    }

    pub(crate) fn resend(&mut self, operation: &Resend) -> StartOutcome {
        let flow = self.flow(&operation.handle);
        let address = flow.and_then(|flow| flow.challenge.as_ref()).map(|challenge| challenge.address.clone());
        let mut seen = match address {
            Some(address) => self.start_seen(flow, &operation.asking.project, &address),
            None => StartSeen { flow: flow.cloned(), ..StartSeen::default() },
        };
        seen.provers = self.provers(operation.asking.proof);
        self.apply(operation.decide(seen))
    }

    pub(crate) fn verify(&mut self, operation: &Verify) -> VerifyOutcome {
        let mut seen = VerifySeen::default();
        for flow in operation.handles.iter().filter_map(|handle| self.seen(handle)) {
            if let Some(challenge) = flow.flow.challenge.as_ref().filter(|it| !seen.budgets.has(&it.address)) {
                let budget = self.budget(&flow.flow.project, &challenge.address);
                seen.budgets.add(&flow.flow.project, &challenge.address, budget);
            }
            seen.flows.push(flow);
        }
        seen.provers = self.provers(operation.proof);
        self.apply(operation.decide(seen))
    }

    pub(crate) fn register(&mut self, operation: &Register) -> Registered {
        let project = &operation.identity.project;
        let seen = operation.addresses.iter().filter_map(|own| self.owner(project, &own.address)).collect();
        self.apply(operation.decide(seen))
    }

    pub(crate) fn open_flow(&mut self, operation: &OpenFlow) -> Flow {
        self.apply(operation.decide(()))
    }

    pub(crate) fn annotate(&mut self, operation: &Annotate) -> Result<(), Refusal> {
        self.apply(operation.decide(self.flow(&operation.handle).cloned()))
    }

    pub(crate) fn change_identity(&mut self, operation: &ChangeIdentity) -> Result<Account, Refusal> {
        let wanted = operation.change.addresses.iter().flatten();
        let owners = wanted.filter_map(|wanted| self.owner(&operation.project, &wanted.address)).collect();
        let seen = ChangeSeen { account: self.account(operation.id), owners };
        self.apply(operation.decide(seen))
    }

    pub(crate) fn erase_identity(&mut self, operation: &EraseIdentity) -> Result<(), Refusal> {
        self.apply(operation.decide(self.account(operation.id)))
    }

    pub(crate) fn change_device(&mut self, operation: &ChangeDevice) -> Result<Device, Refusal> {
        self.apply(operation.decide(self.device(operation.id, operation.now)))
    }

    pub(crate) fn take_ticket(&mut self, operation: &TakeTicket) -> Result<Taken, Refusal> {
        let ticket = self.tickets.get(&operation.digest).cloned();
        let account = ticket.as_ref().and_then(|ticket| ticket.identity).and_then(|id| self.account(id));
        self.apply(operation.decide(TicketSeen { ticket, account }))
    }

    /// A device and its live sessions.
    pub(crate) fn device(&self, id: DeviceId, now: Timestamp) -> Option<DeviceView> {
        let is_its = |session: &&Session| session.device == Some(id) && session.is_live(now);
        let callers = self.sessions.values().filter(is_its).filter_map(|session| self.caller(session.id)).collect();
        Some(DeviceView { device: self.devices.get(&id)?.clone(), flows: Vec::new(), callers })
    }

    pub(crate) fn lease(&mut self, operation: &Lease) -> Leases {
        let mut due: Vec<_> = self
            .outbox
            .values()
            .filter(|message| message.state == MessageState::Owed && message.due_at <= operation.now)
            .cloned()
            .collect();
        due.sort_by_key(|message| message.due_at);
        due.truncate(usize::try_from(operation.sight()).unwrap());
        let seen = due.into_iter().map(|message| (message.clone(), self.flows.get(&message.flow).cloned())).collect();
        self.apply(operation.decide(seen))
    }

    pub(crate) fn settle(&mut self, operation: &Settle) -> Vec<MessageState> {
        let seen = operation.deliveries.iter().filter_map(|delivery| self.outbox.get(&delivery.id).cloned()).collect();
        self.apply(operation.decide(seen))
    }

    pub(crate) fn flow(&self, handle: &Handle) -> Option<&Flow> {
        self.flows.values().find(|flow| flow.handle == *handle)
    }

    /// What a verification sees of the flow of `handle`.
    pub(crate) fn seen(&self, handle: &Handle) -> Option<FlowSeen> {
        let flow = self.flow(handle)?.clone();
        let owner = flow.challenge.as_ref().and_then(|challenge| self.owner(&flow.project, &challenge.address));
        let concerned = flow.identity.or(owner.as_ref().map(|owner| owner.identity.id));
        let account = concerned.and_then(|identity| self.account(identity));
        let device = flow.device.and_then(|device| self.devices.get(&device).cloned());
        Some(FlowSeen { flow, owner, account, device })
    }

    pub(crate) fn account(&self, identity: IdentityId) -> Option<Account> {
        let addresses =
            self.addresses.values().map(|(_, it)| it).filter(|it| it.identity == identity).cloned().collect();
        Some(Account { identity: self.identities.get(&identity)?.clone(), addresses })
    }

    pub(crate) fn caller(&self, session: SessionId) -> Option<Caller> {
        let session = self.sessions.get(&session)?.clone();
        Some(Caller { account: self.account(session.identity)?, session })
    }

    pub(crate) fn refresh(&mut self, operation: &Refresh) -> RefreshOutcome {
        self.apply(operation.decide(self.caller(operation.session)))
    }

    pub(crate) fn end_sessions(&mut self, operation: &EndSessions) -> Result<(), Refusal> {
        self.apply(operation.decide(self.caller(operation.session)))
    }

    pub(crate) fn owner(&self, project: &ProjectId, address: &Address) -> Option<Owner> {
        let (_, address) = self.addresses.values().find(|(of, it)| of == project && it.address == *address)?;
        Some(Owner { identity: self.identities[&address.identity].clone(), address: address.clone() })
    }

    fn start_seen(&self, flow: Option<&Flow>, project: &ProjectId, address: &Address) -> StartSeen {
        StartSeen {
            flow: flow.cloned(),
            known_flow: None,
            owner: self.owner(project, address),
            budget: self.budget(project, address),
            provers: Vec::new(),
            caller: None,
        }
    }

    fn budget(&self, project: &ProjectId, address: &Address) -> Budget {
        self.budgets.get(&(project.clone(), address.clone())).cloned().unwrap_or_default()
    }

    fn provers(&self, proof: Option<DeviceProof>) -> Vec<Prover> {
        let is_shown = |session: &&Session| match proof {
            Some(DeviceProof::Session(id)) => session.id == id,
            Some(DeviceProof::Device(device)) => session.device == Some(device),
            Some(DeviceProof::Identity { .. }) | None => false,
        };
        let prover = |session: &Session| Prover { identity: session.identity, proved_at: session.issued_at };
        self.sessions.values().filter(is_shown).map(prover).collect()
    }

    fn apply<T>(&mut self, decision: Decision<T>) -> T {
        for write in decision.writes {
            self.write(write);
        }
        decision.outcome
    }

    fn write(&mut self, write: Write) {
        match write {
            Write::PutFlow(flow) => {
                self.flows.retain(|_, it| it.handle != flow.handle);
                self.flows.insert(flow.id, *flow);
            }
            Write::AnnotateFlow { id, memo } => self.flows.get_mut(&id).unwrap().memo = Some(memo),
            Write::CountMiss { flow, attempts } => {
                self.flows.get_mut(&flow).unwrap().challenge.as_mut().unwrap().attempts = attempts;
            }
            Write::PassFlow { flow, identity } => {
                let flow = self.flows.get_mut(&flow).unwrap();
                flow.state = FlowState::Passed;
                flow.identity = identity;
                flow.challenge.as_mut().unwrap().code_digest = None;
            }
            Write::DropFlows { identity, except } => {
                self.flows.retain(|id, flow| flow.identity != Some(identity) || Some(*id) == except);
            }
            Write::DropChanges { identity, address } => {
                let would_give = |flow: &Flow| {
                    flow.purpose == Purpose::ChangeAddress
                        && flow.state != FlowState::Passed
                        && flow.identity == Some(identity)
                        && flow.challenge.as_ref().is_some_and(|challenge| challenge.address == address)
                };
                self.flows.retain(|_, flow| !would_give(flow));
            }
            Write::AddIdentity(identity) => {
                assert!(self.identities.insert(identity.id, identity).is_none());
            }
            Write::BumpIdentity { id, revision, at } => {
                let identity = self.identities.get_mut(&id).unwrap();
                identity.revision = revision;
                identity.updated_at = at;
            }
            Write::PutTraits { id, traits } => self.identities.get_mut(&id).unwrap().traits = traits,
            Write::PutMetadata { id, metadata } => self.identities.get_mut(&id).unwrap().metadata = metadata,
            Write::PutState { id, state } => self.identities.get_mut(&id).unwrap().state = state,
            Write::DropIdentity(id) => {
                assert!(self.addresses.values().all(|(_, own)| own.identity != id), "what it owned goes before it");
                assert!(self.identities.remove(&id).is_some());
            }
            Write::DropAddress(id) => assert!(self.addresses.remove(&id).is_some()),
            Write::AddAddress { project, address } => {
                assert!(self.owner(&project, &address.address).is_none(), "an address has one owner");
                self.addresses.insert(address.id, (project, address));
            }
            Write::AskAddress { id, at } => {
                if let Some((_, own)) = self.addresses.get_mut(&id) {
                    own.asked_at = Some(at);
                }
            }
            Write::DoubtAddress(id) => self.addresses.get_mut(&id).unwrap().1.verified_at = None,
            Write::ProveAddress { id, at } => {
                let (_, own) = self.addresses.get_mut(&id).unwrap();
                own.verified_at = Some(at);
                own.asked_at = None;
            }
            Write::DropUnprovenAddresses { identity, except } => {
                self.addresses
                    .retain(|id, (_, it)| it.identity != identity || it.verified_at.is_some() || *id == except);
            }
            Write::OpenSession(session) => {
                assert!(self.sessions.insert(session.id, session).is_none());
            }
            Write::RotateSession(session) => assert!(self.sessions.insert(session.id, session).is_some()),
            Write::EndSession { id, at } => {
                self.sessions.get_mut(&id).unwrap().ended_at.get_or_insert(at);
            }
            Write::EndSessions { identity, at } => {
                for session in self.sessions.values_mut().filter(|session| session.identity == identity) {
                    session.ended_at.get_or_insert(at);
                }
            }
            Write::ForgetSessions(identity) => {
                for session in self.sessions.values_mut().filter(|session| session.identity == identity) {
                    session.memo = None;
                }
            }
            Write::DropTickets(identity) => self.tickets.retain(|_, ticket| ticket.identity != Some(identity)),
            Write::PutDevice(device) => {
                self.devices.insert(device.id, device);
            }
            Write::SpendTicket { digest, at, session } => {
                let ticket = self.tickets.get_mut(&digest).unwrap();
                ticket.spent_at = Some(at);
                ticket.session = session;
            }
            message @ (Write::PutBudget { .. }
            | Write::OweMessage(_)
            | Write::CancelMessage { .. }
            | Write::DelayMessage { .. }
            | Write::SettleMessage { .. }) => self.write_message(message),
        }
    }

    /// What concerns messages.
    fn write_message(&mut self, write: Write) {
        match write {
            Write::PutBudget { project, address, budget } => {
                self.budgets.insert((project, address), budget);
            }
            Write::OweMessage(message) => {
                assert!(self.outbox.insert(message.id, message).is_none());
            }
            Write::CancelMessage { id, .. } => {
                if let Some(message) = self.outbox.get_mut(&id).filter(|it| it.state == MessageState::Owed) {
                    message.state = MessageState::Dropped;
                }
            }
            Write::DelayMessage { id, due_at, attempts, error } => {
                let message = self.outbox.get_mut(&id).unwrap();
                message.due_at = due_at;
                message.attempts = attempts;
                message.last_error = error.or(message.last_error.take());
            }
            Write::SettleMessage { id, state, error, .. } => {
                let message = self.outbox.get_mut(&id).unwrap();
                message.state = state;
                message.last_error = error.or(message.last_error.take());
            }
            other => unreachable!("{other:?} concerns no message"),
        }
    }
}
