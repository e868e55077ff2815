//! Flows: opened, asked in, answered.

use std::sync::Arc;
use std::time::Duration;

use super::{Attempt, Context, Engine, NewChallenge, Started};
use crate::asking::{Asking, FlowEnd, ResendMode, Strangers};
use crate::cap::{Network, Taken};
use crate::challenge::{Disclosure, Naming, Resend, Start, StartOutcome};
use crate::departure::Departure;
use crate::error::{Error, Refusal, Result, StoreError};
use crate::event::{ChallengeOutcome, Event, VerificationOutcome};
use crate::flow::{Challenge, Flow, FlowState, Handle, Purpose};
use crate::id::{AddressId, DeviceId, FlowId, IdentityId, MessageId, SessionId};
use crate::opening::{Annotate, OpenFlow};
use crate::outbox::OutboxMessage;
use crate::project::MOST_ATTEMPTS;
use crate::secret::Secret;
use crate::verification::{Verified, Verify, VerifyOutcome};

/// A flow that a surface opens before anything is asked in it.
#[derive(Debug, Clone)]
pub struct NewFlow {
    /// How the surface finds it again: made of something unguessable.
    pub handle: Handle,
    /// What passing shall mean.
    pub purpose: Purpose,
    /// The device it is begun at, for surfaces that know devices.
    pub device: Option<DeviceId>,
    /// What is said about the identity that may come to be: a JSON object, as text.
    pub attributes: Option<String>,
    /// The surface's own small note.
    pub memo: Option<String>,
    /// How long it lives.
    pub flow_life: Duration,
}

impl Engine {
    /// Opens a flow in which nothing is asked yet: one operation of the store.
    pub async fn open_flow(&self, context: &Context<'_>, new: NewFlow) -> Result<Flow> {
        let flow = Flow {
            id: FlowId::new(self.env.ids.next(context.now)),
            handle: new.handle,
            project: context.project.id.clone(),
            dialect: context.dialect.to_owned(),
            purpose: new.purpose,
            state: FlowState::Open,
            identity: None,
            device: new.device,
            replaces: None,
            attributes: new.attributes,
            memo: new.memo,
            seed: self.env.bytes(),
            challenge: None,
            issued_at: context.now,
            expires_at: context.now.plus(new.flow_life),
        };
        Ok(self.store.open_flow(OpenFlow { flow }).await?)
    }

    /// Replaces the surface's note of a flow, in whatever state that is: one operation of the store.
    ///
    /// # Refusals
    /// `FlowNotFound`.
    pub async fn annotate(&self, handle: Handle, memo: String) -> Result<()> {
        Ok(self.store.annotate(Annotate { handle, memo }).await??)
    }

    /// Sends a code: one operation of the store.
    ///
    /// The answer is the same whether or not anybody owns the address.
    ///
    /// # Refusals
    /// `TooSoon`; for a change of address `SessionEnded`, `IdentityInactive`, `TokenInvalid` and, where the present address is not the identity's,
    /// `IdentityNotFound`; where accounts are told `IdentityNotFound` and `AddressTaken`; for a handle that only its owner can name and whose flow is over also `FlowPassed`, `FlowExpired`,
    /// `AttemptsExhausted`.
    pub async fn start_challenge(&self, context: &Context<'_>, new: NewChallenge) -> Result<Started> {
        let NewChallenge { handle, naming, purpose, address, identity, change, attributes, memo, disclosure, .. } = new;
        let channel = address.channel();
        let policy = &context.project.policy;
        let disclosure = if policy.reveals_accounts { disclosure } else { Disclosure::Uniform };
        let operation = Start {
            asking: Asking {
                code_life: new.code_life.unwrap_or(policy.code_life),
                strangers: new.strangers,
                ..self.asking(context, new.mode, naming, new.link.as_ref())?
            },
            dialect: context.dialect,
            sessions_of: context.sessions_of,
            handle,
            naming,
            device: new.device,
            purpose,
            address,
            identity,
            change,
            attributes,
            memo,
            disclosure,
            format: new.format,
            max_attempts: new.max_attempts.unwrap_or(policy.max_attempts).min(MOST_ATTEMPTS),
            flow_life: new.flow_life,
            flow: FlowId::new(self.env.ids.next(context.now)),
            seed: self.env.bytes(),
        };
        let capped = operation.asking.capped;
        let outcome = self.store.start(operation).await;
        let (result, outcome) = started(self.counted(context, capped, outcome)?);
        self.observe(&Event::Challenged { dialect: context.dialect, channel, purpose, outcome });
        result
    }

    /// Sends a flow's code again, or a new one, as `mode` says, without a link: one operation of the store.
    ///
    /// # Refusals
    /// `FlowNotFound`, `FlowPassed`, `FlowExpired`, `AttemptsExhausted`, `TooSoon`.
    pub async fn resend(
        &self,
        context: &Context<'_>,
        handle: Handle,
        naming: Naming,
        mode: ResendMode,
    ) -> Result<Started> {
        let asking = self.asking(context, mode, naming, None)?;
        let capped = asking.capped;
        let outcome = self.store.resend(Resend { asking, handle }).await;
        let (result, outcome) = started(self.counted(context, capped, outcome)?);
        if let Some((channel, purpose)) = result.as_ref().ok().and_then(|started| {
            let challenge = started.flow.challenge.as_ref()?;
            Some((challenge.address.channel(), started.flow.purpose))
        }) {
            self.observe(&Event::Challenged { dialect: context.dialect, channel, purpose, outcome });
        }
        result
    }

    /// Compares a code, and does what its flow is for if it is right: one operation of the store.
    ///
    /// # Refusals
    /// `FlowNotFound`, `FlowPassed`, `FlowExpired`, `CodeMismatch`, `CodeExpired`, `AttemptsExhausted`; and after a right code
    /// whose purpose cannot be done any more `AddressTaken`, `IdentityNotFound`, `IdentityInactive`.
    pub async fn verify(&self, context: &Context<'_>, attempt: Attempt<'_>) -> Result<Verified> {
        let next = || self.env.ids.next(context.now);
        let operation = Verify {
            now: context.now,
            handles: attempt.handles.to_vec(),
            code: Secret::new(attempt.code.to_owned()),
            proof: context.proof,
            session: attempt.session,
            session_id: SessionId::new(next()),
            identity_id: IdentityId::new(next()),
            address_id: AddressId::new(next()),
            notice_id: MessageId::new(next()),
            keys: Arc::clone(&self.keys),
        };
        match self.store.verify(operation).await? {
            VerifyOutcome::Passed(verified) => {
                self.observe(&Event::Verified { dialect: context.dialect, outcome: VerificationOutcome::Passed });
                Ok(*verified)
            }
            VerifyOutcome::NotCompared { flow } => {
                self.observe(&Event::Verified { dialect: context.dialect, outcome: VerificationOutcome::NotCompared });
                let left = flow.challenge.as_ref().map_or(0, Challenge::left);
                Err(Error::Refused { refusal: Refusal::CodeMismatch { left }, flow: Some(flow) })
            }
            VerifyOutcome::Refused { refusal, flow, missed } => {
                for form in missed {
                    self.observe(&Event::Missed { dialect: context.dialect, form });
                    if self.breakers.miss(&context.project.id, context.now) {
                        self.observe(&Event::BreakerOpened { project: context.project.id.clone() });
                    }
                }
                self.observe(&Event::Verified { dialect: context.dialect, outcome: verification_outcome(refusal) });
                Err(Error::Refused { refusal, flow })
            }
        }
    }

    /// The flow of a handle.
    ///
    /// # Refusals
    /// `FlowNotFound`.
    pub async fn flow(&self, handle: Handle) -> Result<Flow> {
        self.store.flow(handle).await?.ok_or_else(|| Refusal::FlowNotFound.into())
    }

    /// Says how many nodes there are: each counts its share of what a network and a project may cause.
    ///
    /// A request goes to whichever node, so that all together keep to the whole, and who always asks the same node has less.
    pub fn share_caps(&self, nodes: u32) {
        self.caps.share(nodes);
    }

    /// The network that a request comes from.
    fn network(&self, context: &Context<'_>) -> Option<Network> {
        context.client.address.map(|address| Network::of(address, &self.public_ids))
    }

    /// Counts a message that `network` asks for, or says how long strangers must wait.
    fn take(&self, context: &Context<'_>, network: Option<Network>) -> Option<Duration> {
        let limit = context.project.policy.send_limit.as_ref()?;
        match self.caps.take(limit, &context.project.id, network, context.now) {
            Taken::One => None,
            Taken::TooSoon { wait, is_news } => {
                if is_news {
                    self.observe(&Event::CapReached { project: context.project.id.clone() });
                }
                Some(wait)
            }
        }
    }

    /// Takes back that a message was counted, where none came to be owed.
    fn counted(
        &self,
        context: &Context<'_>,
        capped: Option<Duration>,
        outcome: std::result::Result<StartOutcome, StoreError>,
    ) -> std::result::Result<StartOutcome, StoreError> {
        let is_owed = matches!(outcome, Ok(StartOutcome::Started { .. }));
        if matches!(outcome, Ok(StartOutcome::Started { departure: Departure::Later, .. })) {
            self.departures.owed();
        }
        if let (false, None, Some(limit)) = (is_owed, capped, &context.project.policy.send_limit) {
            self.caps.give_back(limit, &context.project.id, self.network(context));
        }
        outcome
    }

    fn asking(
        &self,
        context: &Context<'_>,
        mode: ResendMode,
        naming: Naming,
        link: Option<&Secret<String>>,
    ) -> Result<Asking> {
        let network = self.network(context);
        let message = MessageId::new(self.env.ids.next(context.now));
        let place = OutboxMessage::link_place(message);
        let seal = |link: &Secret<String>| self.keys.seal(self.env.bytes(), &place, link.expose().as_bytes());
        let link = link.map(seal).transpose()?;
        Ok(Asking {
            project: context.project.id.clone(),
            now: context.now,
            code_life: context.project.policy.code_life,
            send_limit: context.project.policy.send_limit,
            network,
            capped: self.take(context, network),
            mode,
            flow_end: match naming {
                Naming::Secret => FlowEnd::Fixed,
                Naming::Public | Naming::Divided { .. } => FlowEnd::WithCode,
            },
            strangers: Strangers::Silent,
            proof: context.proof,
            breaker: self.breakers.state(&context.project.id, context.now),
            message,
            link,
            place: self.departures.reserve(),
            keys: Arc::clone(&self.keys),
        })
    }
}

/// What a surface and the observer are told of a start or resend.
fn started(outcome: StartOutcome) -> (Result<Started>, ChallengeOutcome) {
    let (flow, outcome) = match outcome {
        StartOutcome::Started { flow, departure: _ } => (flow, ChallengeOutcome::Started),
        StartOutcome::Repeated(flow) => (flow, ChallengeOutcome::Repeated),
        StartOutcome::Refused(refusal) => {
            let is_budget = matches!(refusal, Refusal::TooSoon { .. });
            let outcome = if is_budget { ChallengeOutcome::TooSoon } else { ChallengeOutcome::Refused };
            return (Err(refusal.into()), outcome);
        }
    };
    let masked = flow.challenge.as_ref().map(|challenge| challenge.address.masked()).unwrap_or_default();
    (Ok(Started { flow: *flow, masked }), outcome)
}

fn verification_outcome(refusal: Refusal) -> VerificationOutcome {
    match refusal {
        Refusal::CodeMismatch { .. } => VerificationOutcome::Mismatch,
        Refusal::AttemptsExhausted => VerificationOutcome::Exhausted,
        Refusal::FlowExpired | Refusal::CodeExpired => VerificationOutcome::Expired,
        Refusal::FlowPassed => VerificationOutcome::Replayed,
        Refusal::FlowNotFound => VerificationOutcome::NotFound,
        Refusal::AddressMalformed
        | Refusal::AddressTaken
        | Refusal::IdentityNotFound
        | Refusal::IdentityInactive
        | Refusal::IdentityChanged
        | Refusal::TicketInvalid
        | Refusal::TicketReused
        | Refusal::SessionEnded
        | Refusal::TokenInvalid
        | Refusal::TokenReused
        | Refusal::TooSoon { .. } => VerificationOutcome::Refused,
    }
}
