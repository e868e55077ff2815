//! The rows, how each change is made, and what may not be twice.

use std::collections::BTreeMap;

use engine::{
    Account, Address, AddressId, Budget, Caller, Device, DeviceId, DeviceView, FLOWS_SHOWN, Flow, FlowId, FlowState,
    Handle, Identity, IdentityId, MessageId, MessageKind, MessageQuery, MessageState, OutboxMessage, Owner, ProjectId,
    Purpose, SealedKey, Session, SessionId, StoreError, Swept, Ticket, Timestamp, VerifiableAddress, Write,
};

use super::count;

/// An address with whose tenant's it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// The tenant.
    pub project: ProjectId,
    /// The address.
    pub address: VerifiableAddress,
}

/// A message with what only a sweep wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The message.
    pub message: OutboxMessage,
    /// Since when it is not owed any more.
    pub settled_at: Option<Timestamp>,
}

/// All rows, by their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables {
    /// Flows; of each handle at most one.
    pub flows: BTreeMap<FlowId, Flow>,
    /// Identities.
    pub identities: BTreeMap<IdentityId, Identity>,
    /// Addresses of identities that are there; each in a project once.
    pub addresses: BTreeMap<AddressId, Owned>,
    /// Sessions; also of identities that are gone.
    pub sessions: BTreeMap<SessionId, Session>,
    /// Devices that had a session.
    pub devices: BTreeMap<DeviceId, Device>,
    /// Tickets, by their digests.
    pub tickets: BTreeMap<[u8; 32], Ticket>,
    /// Messages.
    pub outbox: BTreeMap<MessageId, Kept>,
    /// What was spent of addresses.
    pub budgets: BTreeMap<(ProjectId, Address), Budget>,
    /// Signing keys; of each project, algorithm and slot one.
    pub signing_keys: Vec<SealedKey>,
    /// What the installation knows about itself.
    pub meta: BTreeMap<String, Vec<u8>>,
}

/// A change that would make something be there twice, or belong to nobody.
fn broken(what: &'static str) -> StoreError {
    StoreError::Driver(what.into())
}

/// Adds a row whose key must be new.
fn add<K: Ord, V>(table: &mut BTreeMap<K, V>, key: K, row: V) -> Result<(), StoreError> {
    if table.contains_key(&key) {
        return Err(broken("a row with this key is there already"));
    }
    table.insert(key, row);
    Ok(())
}

/// Changes a row, if it is there: one that is not is nothing to change.
fn edit<K: Ord, V>(table: &mut BTreeMap<K, V>, key: &K, change: impl FnOnce(&mut V)) {
    if let Some(row) = table.get_mut(key) {
        change(row);
    }
}

/// Removes the first `limit` rows that are over, and gives them.
fn take<K: Ord + Clone, V>(table: &mut BTreeMap<K, V>, limit: usize, is_over: impl Fn(&V) -> bool) -> Vec<V> {
    let over: Vec<K> = table.iter().filter(|(_, row)| is_over(row)).map(|(key, _)| key.clone()).take(limit).collect();
    over.iter().filter_map(|key| table.remove(key)).collect()
}

/// What is looked up.
impl Tables {
    pub(super) fn flow(&self, handle: &Handle) -> Option<&Flow> {
        self.flows.values().find(|flow| flow.handle == *handle)
    }

    pub(super) fn owner(&self, project: &ProjectId, address: &Address) -> Option<Owner> {
        let is_it = |owned: &&Owned| owned.project == *project && owned.address.address == *address;
        let address = self.addresses.values().find(is_it)?.address.clone();
        Some(Owner { identity: self.identities.get(&address.identity)?.clone(), address })
    }

    pub(super) fn account(&self, id: IdentityId) -> Option<Account> {
        let identity = self.identities.get(&id)?.clone();
        let own = self.addresses.values().map(|owned| &owned.address).filter(|address| address.identity == id);
        Some(Account { identity, addresses: own.cloned().collect() })
    }

    /// A session and whose it is; without its identity it is nobody's.
    pub(super) fn caller(&self, id: SessionId) -> Option<Caller> {
        let session = self.sessions.get(&id)?.clone();
        Some(Caller { account: self.account(session.identity)?, session })
    }

    /// The sessions of a device that are not over at `now`, and whose they are.
    pub(super) fn callers(&self, device: DeviceId, now: Timestamp) -> Vec<Caller> {
        let is_its = |session: &&Session| session.device == Some(device) && session.is_live(now);
        self.sessions.values().filter(is_its).filter_map(|session| self.caller(session.id)).collect()
    }

    pub(super) fn device_view(&self, id: DeviceId, now: Timestamp) -> Option<DeviceView> {
        let newest = self.flows.values().rev().filter(|flow| flow.device == Some(id)).take(count(FLOWS_SHOWN));
        let mut flows: Vec<_> = newest.cloned().collect();
        flows.reverse();
        // Before its first session a device is what its flows say.
        let said = || flows.first().map(|flow| Device::new(id, &flow.project, &flow.dialect));
        let device = self.devices.get(&id).cloned().or_else(said)?;
        Some(DeviceView { device, flows, callers: self.callers(id, now) })
    }

    pub(super) fn budget(&self, project: &ProjectId, address: &Address) -> Budget {
        self.budgets.get(&(project.clone(), address.clone())).cloned().unwrap_or_default()
    }

    pub(super) fn messages(&self, query: &MessageQuery) -> Vec<(OutboxMessage, Option<Flow>)> {
        let is_asked_for = |message: &&OutboxMessage| {
            message.id > query.after
                && message.kind != MessageKind::Decoy
                && query.recipient.as_ref().is_none_or(|recipient| message.recipient == *recipient)
        };
        let newest_first = self.outbox.values().rev().map(|kept| &kept.message);
        let shown = newest_first.filter(is_asked_for).take(count(query.limit));
        shown.map(|message| (message.clone(), self.flows.get(&message.flow).cloned())).collect()
    }

    pub(super) fn highest_id(&self) -> i64 {
        let highest = [
            self.flows.keys().last().map(|id| id.get()),
            self.identities.keys().last().map(|id| id.get()),
            self.addresses.keys().last().map(|id| id.get()),
            self.sessions.keys().last().map(|id| id.get()),
            self.outbox.keys().last().map(|id| id.get()),
            self.devices.keys().last().map(|id| id.get()),
            self.flows.values().filter_map(|flow| flow.device).map(DeviceId::get).max(),
        ];
        highest.into_iter().flatten().max().unwrap_or(0)
    }
}

/// What is changed.
impl Tables {
    pub(super) fn add_ticket(&mut self, ticket: Ticket) -> Result<(), StoreError> {
        add(&mut self.tickets, ticket.digest, ticket)
    }

    /// One change of a row.
    pub(super) fn apply(&mut self, write: Write) -> Result<(), StoreError> {
        match write {
            Write::PutFlow(flow) => {
                self.flows.retain(|_, there| there.handle != flow.handle);
                add(&mut self.flows, flow.id, *flow)?;
            }
            Write::AnnotateFlow { id, memo } => edit(&mut self.flows, &id, |flow| flow.memo = Some(memo)),
            Write::CountMiss { flow, attempts } => edit(&mut self.flows, &flow, |flow| {
                if let Some(challenge) = &mut flow.challenge {
                    challenge.attempts = attempts;
                }
            }),
            Write::PassFlow { flow, identity } => edit(&mut self.flows, &flow, |flow| {
                flow.state = FlowState::Passed;
                flow.identity = identity;
                if let Some(challenge) = &mut flow.challenge {
                    challenge.code_digest = None;
                }
            }),
            Write::DropFlows { identity, except } => {
                self.flows.retain(|id, flow| flow.identity != Some(identity) || Some(*id) == except);
            }
            Write::DropChanges { identity, address } => self.drop_changes(identity, &address),
            Write::AddIdentity(identity) => add(&mut self.identities, identity.id, identity)?,
            Write::BumpIdentity { id, revision, at } => edit(&mut self.identities, &id, |identity| {
                identity.revision = revision;
                identity.updated_at = at;
            }),
            Write::PutTraits { id, traits } => edit(&mut self.identities, &id, |identity| identity.traits = traits),
            Write::PutMetadata { id, metadata } => {
                edit(&mut self.identities, &id, |identity| identity.metadata = metadata);
            }
            Write::PutState { id, state } => edit(&mut self.identities, &id, |identity| identity.state = state),
            Write::DropIdentity(id) => self.drop_identity(id)?,
            Write::AddAddress { project, address } => self.add_address(Owned { project, address })?,
            Write::AskAddress { id, at } => {
                edit(&mut self.addresses, &id, |owned| owned.address.asked_at = Some(at));
            }
            Write::DoubtAddress(id) => edit(&mut self.addresses, &id, |owned| owned.address.verified_at = None),
            Write::ProveAddress { id, at } => edit(&mut self.addresses, &id, |owned| {
                owned.address.verified_at = Some(at);
                owned.address.asked_at = None;
            }),
            Write::DropAddress(id) => drop(self.addresses.remove(&id)),
            Write::DropUnprovenAddresses { identity, except } => self.addresses.retain(|id, Owned { address, .. }| {
                address.identity != identity || address.verified_at.is_some() || *id == except
            }),
            Write::OpenSession(session) => add(&mut self.sessions, session.id, session)?,
            Write::RotateSession(rotated) => edit(&mut self.sessions, &rotated.id, |session| {
                session.generation = rotated.generation;
                session.rotated_at = rotated.rotated_at;
                session.previous_rotated_at = rotated.previous_rotated_at;
            }),
            Write::EndSession { id, at } => edit(&mut self.sessions, &id, |session| {
                session.ended_at.get_or_insert(at);
            }),
            Write::EndSessions { identity, at } => {
                for session in self.sessions_of(identity) {
                    session.ended_at.get_or_insert(at);
                }
            }
            Write::ForgetSessions(identity) => {
                for session in self.sessions_of(identity) {
                    session.memo = None;
                }
            }
            Write::PutDevice(device) => drop(self.devices.insert(device.id, device)),
            Write::SpendTicket { digest, at, session } => edit(&mut self.tickets, &digest, |ticket| {
                ticket.spent_at = Some(at);
                ticket.session = session;
            }),
            Write::DropTickets(identity) => self.tickets.retain(|_, ticket| ticket.identity != Some(identity)),
            Write::PutBudget { project, address, budget } => drop(self.budgets.insert((project, address), budget)),
            Write::OweMessage(message) => {
                add(&mut self.outbox, message.id, Kept { message, settled_at: None })?;
            }
            Write::CancelMessage { id, at } => edit(&mut self.outbox, &id, |kept| {
                if kept.message.state == MessageState::Owed {
                    (kept.message.state, kept.settled_at) = (MessageState::Dropped, Some(at));
                }
            }),
            Write::DelayMessage { id, due_at, attempts, error } => edit(&mut self.outbox, &id, |kept| {
                (kept.message.due_at, kept.message.attempts) = (due_at, attempts);
                kept.message.last_error = error.or(kept.message.last_error.take());
            }),
            Write::SettleMessage { id, state, at, error } => edit(&mut self.outbox, &id, |kept| {
                (kept.message.state, kept.settled_at) = (state, Some(at));
                kept.message.last_error = error.or(kept.message.last_error.take());
            }),
        }
        Ok(())
    }

    fn drop_changes(&mut self, identity: IdentityId, address: &Address) {
        let would_give = |flow: &Flow| {
            flow.purpose == Purpose::ChangeAddress
                && flow.state != FlowState::Passed
                && flow.identity == Some(identity)
                && flow.challenge.as_ref().is_some_and(|challenge| challenge.address == *address)
        };
        self.flows.retain(|_, flow| !would_give(flow));
    }

    fn drop_identity(&mut self, id: IdentityId) -> Result<(), StoreError> {
        if self.addresses.values().any(|owned| owned.address.identity == id) {
            return Err(broken("an identity that owns an address cannot go"));
        }
        self.identities.remove(&id);
        Ok(())
    }

    fn add_address(&mut self, owned: Owned) -> Result<(), StoreError> {
        let is_same = |there: &Owned| there.project == owned.project && there.address.address == owned.address.address;
        if self.addresses.values().any(is_same) {
            return Err(broken("an address of a project has one owner"));
        }
        if !self.identities.contains_key(&owned.address.identity) {
            return Err(broken("an address belongs to somebody"));
        }
        add(&mut self.addresses, owned.address.id, owned)
    }

    fn sessions_of(&mut self, identity: IdentityId) -> impl Iterator<Item = &mut Session> {
        self.sessions.values_mut().filter(move |session| session.identity == identity)
    }

    /// Removes what is over: of each kind at most `limit`.
    pub(super) fn sweep(
        &mut self,
        now: Timestamp,
        before: Timestamp,
        sessions_before: Timestamp,
        limit: usize,
    ) -> Swept {
        let ended_at = |session: &Session| session.ended_at.map_or(session.expires_at, |at| at.min(session.expires_at));
        let sessions = take(&mut self.sessions, limit, |session| ended_at(session) < sessions_before);
        let mut devices = 0;
        for device in sessions.iter().filter_map(|session| session.device) {
            // It goes with the last of its sessions.
            if self.sessions.values().all(|session| session.device != Some(device)) {
                devices += usize::from(self.devices.remove(&device).is_some());
            }
        }
        Swept {
            flows: take(&mut self.flows, limit, |flow| flow.expires_at < before).len(),
            messages: take(&mut self.outbox, limit, |kept| kept.settled_at.is_some_and(|at| at < before)).len(),
            sessions: sessions.len(),
            budgets: take(&mut self.budgets, limit, |budget| budget.forgotten_at() < now).len(),
            others: devices + take(&mut self.tickets, limit, |ticket| ticket.expires_at < before).len(),
        }
    }
}
