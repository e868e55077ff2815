//! What each operation must see.

use engine::{
    Account, Address, Annotate, Caller, ChangeDevice, ChangeIdentity, ChangeSeen, DeviceProof, DeviceView, EndSessions,
    EraseIdentity, Flow, FlowSeen, Lease, MessageState, OpenFlow, Operation, OutboxMessage, Owner, Prover, Refresh,
    Register, Resend, SIGN_INS_SEEN, Session, Settle, Start, StartSeen, TakeTicket, TicketSeen, Verify, VerifySeen,
};

use super::count;
use super::tables::Tables;

/// Looks up what an operation must see.
pub(super) trait Load: Operation {
    fn load(&self, tables: &Tables) -> Self::Seen;
}

impl Load for Start {
    fn load(&self, tables: &Tables) -> StartSeen {
        StartSeen {
            flow: tables.flow(&self.handle).cloned(),
            known_flow: self.known_handle().and_then(|handle| tables.flow(&handle)).cloned(),
            owner: tables.owner(&self.asking.project, &self.address),
            budget: tables.budget(&self.asking.project, &self.address),
            provers: provers(tables, self.asking.proof),
            caller: self.change.as_ref().and_then(|change| tables.caller(change.session)),
        }
    }
}

impl Load for Resend {
    fn load(&self, tables: &Tables) -> StartSeen {
        let mut seen = StartSeen { flow: tables.flow(&self.handle).cloned(), ..StartSeen::default() };
        if let Some(challenge) = seen.flow.as_ref().and_then(|flow| flow.challenge.as_ref()) {
            seen.owner = tables.owner(&self.asking.project, &challenge.address);
            seen.budget = tables.budget(&self.asking.project, &challenge.address);
            seen.provers = provers(tables, self.asking.proof);
        }
        seen
    }
}

impl Load for OpenFlow {
    fn load(&self, _: &Tables) {}
}

impl Load for Annotate {
    fn load(&self, tables: &Tables) -> Option<Flow> {
        tables.flow(&self.handle).cloned()
    }
}

impl Load for Verify {
    fn load(&self, tables: &Tables) -> VerifySeen {
        let mut seen = VerifySeen { provers: provers(tables, self.proof), ..VerifySeen::default() };
        for flow in self.handles.iter().filter_map(|handle| tables.flow(handle)) {
            let asked = flow.challenge.as_ref().map(|challenge| &challenge.address);
            if let Some(address) = asked.filter(|address| !seen.budgets.has(address)) {
                seen.budgets.add(&flow.project, address, tables.budget(&flow.project, address));
            }
            let owner = asked.and_then(|address| tables.owner(&flow.project, address));
            let concerned = flow.identity.or(owner.as_ref().map(|owner| owner.identity.id));
            seen.flows.push(FlowSeen {
                account: concerned.and_then(|id| tables.account(id)),
                device: flow.device.and_then(|id| tables.devices.get(&id).cloned()),
                flow: flow.clone(),
                owner,
            });
        }
        seen
    }
}

/// Who was proved in the session that a request shows, over or not, or at its device: the newest first.
fn provers(tables: &Tables, proof: Option<DeviceProof>) -> Vec<Prover> {
    let is_shown = |session: &&Session| match proof {
        Some(DeviceProof::Session(id)) => session.id == id,
        Some(DeviceProof::Device(device)) => session.device == Some(device),
        Some(DeviceProof::Identity { .. }) | None => false,
    };
    let prover = |session: &Session| Prover { identity: session.identity, proved_at: session.issued_at };
    tables.sessions.values().rev().filter(is_shown).take(count(SIGN_INS_SEEN)).map(prover).collect()
}

impl Load for Refresh {
    fn load(&self, tables: &Tables) -> Option<Caller> {
        tables.caller(self.session)
    }
}

impl Load for EndSessions {
    fn load(&self, tables: &Tables) -> Option<Caller> {
        tables.caller(self.session)
    }
}

impl Load for Register {
    fn load(&self, tables: &Tables) -> Vec<Owner> {
        let owner = |address: &Address| tables.owner(&self.identity.project, address);
        self.addresses.iter().filter_map(|own| owner(&own.address)).collect()
    }
}

impl Load for ChangeIdentity {
    fn load(&self, tables: &Tables) -> ChangeSeen {
        let wanted = self.change.addresses.iter().flatten();
        ChangeSeen {
            account: tables.account(self.id),
            owners: wanted.filter_map(|wanted| tables.owner(&self.project, &wanted.address)).collect(),
        }
    }
}

impl Load for EraseIdentity {
    fn load(&self, tables: &Tables) -> Option<Account> {
        tables.account(self.id)
    }
}

impl Load for ChangeDevice {
    fn load(&self, tables: &Tables) -> Option<DeviceView> {
        let device = tables.devices.get(&self.id)?.clone();
        Some(DeviceView { device, flows: Vec::new(), callers: tables.callers(self.id, self.now) })
    }
}

impl Load for TakeTicket {
    fn load(&self, tables: &Tables) -> TicketSeen {
        let ticket = tables.tickets.get(&self.digest).cloned();
        let account = ticket.as_ref().and_then(|ticket| ticket.identity).and_then(|id| tables.account(id));
        TicketSeen { ticket, account }
    }
}

impl Load for Lease {
    fn load(&self, tables: &Tables) -> Vec<(OutboxMessage, Option<Flow>)> {
        let messages = tables.outbox.values().map(|kept| &kept.message);
        let is_due = |message: &&OutboxMessage| message.state == MessageState::Owed && message.due_at <= self.now;
        let mut due: Vec<_> = messages.filter(is_due).collect();
        due.sort_by_key(|message| (message.due_at, message.id));
        due.truncate(count(self.sight()));
        due.into_iter().map(|message| (message.clone(), tables.flows.get(&message.flow).cloned())).collect()
    }
}

impl Load for Settle {
    fn load(&self, tables: &Tables) -> Vec<OutboxMessage> {
        let message = |id| tables.outbox.get(id).map(|kept| kept.message.clone());
        self.deliveries.iter().filter_map(|delivery| message(&delivery.id)).collect()
    }
}
