//! Asking: what happens when a code is asked for, and asked for again.
//!
//! Two operations, each a pure function of what a store loaded: [`Start`] and [`Resend`]. What happens when the code is brought
//! back is in `verification.rs`, what both write in `asking.rs`.

use std::time::Duration;

use crate::address::Address;
use crate::asking::{Asking, Epoch, Question, askable};
use crate::budget::{Budget, Prover};
use crate::code::CodeFormat;
use crate::departure::Departure;
use crate::error::Refusal;
use crate::flow::{Flow, FlowState, Handle, Purpose};
use crate::id::{AddressId, DeviceId, FlowId, IdentityId, SessionId};
use crate::identity::Owner;
use crate::outbox::MessageKind;
use crate::session::Caller;
use crate::store::{Decision, Operation};

/// Who can name a flow's handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// Only who was told: it is made of something unguessable. A dead flow stays dead.
    Secret,
    /// Anybody: it is made of a login id or the like. A dead flow is replaced by the next start.
    Public,
    /// Anybody, too. But whoever asks from a device that the address knows asks in a flow of his own, so that what strangers
    /// ask, and the long codes they bring about, are not his. A code is then to be looked for under both handles.
    Divided {
        /// The handle of the known device's flow.
        known: Handle,
    },
}

impl Naming {
    /// Whether anybody can name the handle.
    pub const fn is_public(self) -> bool {
        matches!(self, Self::Public | Self::Divided { .. })
    }
}

/// Asks a question: opens the flow of a handle, or asks in it.
#[derive(Debug)]
pub struct Start {
    /// Who asks, when, and what may be spent.
    pub asking: Asking,
    /// The surface.
    pub dialect: &'static str,
    /// The surface whose sessions count.
    pub sessions_of: &'static str,
    /// The flow's handle.
    pub handle: Handle,
    /// Who can name it.
    pub naming: Naming,
    /// The device it is begun at.
    pub device: Option<DeviceId>,
    /// What passing shall mean.
    pub purpose: Purpose,
    /// Where the code goes.
    pub address: Address,
    /// Whose address it is, where the surface knows: [`Purpose::VerifyAddress`], which otherwise concerns whoever owns it.
    pub identity: Option<IdentityId>,
    /// On whose behalf an address is changed: [`Purpose::ChangeAddress`].
    pub change: Option<Change>,
    /// What is said about the identity that may come to be: a JSON object.
    pub attributes: Option<String>,
    /// The surface's own small note.
    pub memo: Option<String>,
    /// Whether the answer may tell who has an account.
    pub disclosure: Disclosure,
    /// How the code looks.
    pub format: CodeFormat,
    /// How many wrong guesses end the flow.
    pub max_attempts: u8,
    /// How long a new flow lives.
    pub flow_life: Duration,
    /// The id of the flow, if one comes to be.
    pub flow: FlowId,
    /// Its seed.
    pub seed: [u8; 16],
}

/// On whose behalf an address is changed, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// A live session of the identity.
    pub session: SessionId,
    /// The generation of the refresh token that was brought; none for a token that has none.
    pub generation: Option<u32>,
    /// The address of it that the new one comes to.
    pub current: Address,
    /// Whether the identity keeps that one.
    pub keeping: Keeping,
}

/// What becomes of the address that another one comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// The new one takes its place.
    Replace,
    /// The identity has both.
    Both,
}

/// Whether an answer may tell who has an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disclosure {
    /// Known and unknown addresses get the same answer.
    Uniform,
    /// A sign-in of nobody and a sign-up of somebody are refused, as some originals do. Only development.
    Telling,
}

/// What a start or a resend must see.
#[derive(Debug, Default)]
pub struct StartSeen {
    /// The flow of the handle.
    pub flow: Option<Flow>,
    /// The flow that a known device has for itself, where it may be the one that is asked in.
    pub known_flow: Option<Flow>,
    /// Who owns the address.
    pub owner: Option<Owner>,
    /// What has been spent of the address.
    pub budget: Budget,
    /// Who was proved in the session, or at the device, that the request shows.
    pub provers: Vec<Prover>,
    /// The session of a [`Change`] and whose it is.
    pub caller: Option<Caller>,
}

/// What came of a start or a resend.
#[derive(Debug)]
pub enum StartOutcome {
    /// A message is owed; or would be, if anybody owned the address.
    Started {
        /// The flow, asked.
        flow: Box<Flow>,
        /// How the message comes to the courier.
        departure: Departure,
    },
    /// A repeat: nothing more is owed.
    Repeated(Box<Flow>),
    /// The caller's mistake.
    Refused(Refusal),
}

impl StartOutcome {
    pub(crate) const fn refused(refusal: Refusal) -> Decision<Self> {
        Decision { outcome: Self::Refused(refusal), writes: Vec::new() }
    }

    /// It is durable: what is owed may go.
    fn depart(&mut self) {
        if let Self::Started { departure, .. } = self {
            departure.depart();
        }
    }
}

impl Operation for Start {
    type Seen = StartSeen;
    type Outcome = StartOutcome;

    fn decide(&self, seen: StartSeen) -> Decision<StartOutcome> {
        let StartSeen { flow, known_flow, owner, budget, provers, caller } = seen;
        let owner = owner.as_ref();
        let budget = self.asking.purse(budget, provers, owner);
        let (handle, flow) = match self.known_handle().filter(|_| budget.is_known()) {
            Some(known) => (known, known_flow),
            None => (self.handle, flow),
        };
        let terms = match self.terms(caller.as_ref()) {
            Ok(terms) => terms,
            Err(refusal) => return StartOutcome::refused(refusal),
        };
        let question = Question { address: &self.address, format: self.format, max_attempts: self.max_attempts };
        let live = match flow {
            Some(flow) if self.naming == Naming::Secret => match askable(&flow, self.asking.now) {
                Ok(()) => Some(flow),
                Err(refusal) => return StartOutcome::refused(refusal),
            },
            Some(flow) if flow.is_live(self.asking.now) => Some(flow),
            Some(_) | None => None,
        };
        if self.disclosure == Disclosure::Telling
            && let Err(refusal) = self.tell(owner, &terms)
        {
            return StartOutcome::refused(refusal);
        }
        let Some(mut flow) = live else {
            let flow = self.new_flow(handle, terms);
            return self.asking.send(flow, &question, Epoch::Next, owner, budget);
        };
        if self.is_asked_already(&flow, &terms) {
            return self.asking.repeat(flow, owner, budget);
        }
        self.put(&mut flow, terms);
        self.asking.send(flow, &question, Epoch::Next, owner, budget)
    }

    fn committed(outcome: &mut StartOutcome) {
        outcome.depart();
    }
}

/// Whom a question concerns, as far as the surface says.
#[derive(Clone, Copy)]
struct Terms {
    identity: Option<IdentityId>,
    replaces: Option<AddressId>,
}

impl Start {
    /// The handle of the flow that is asked in if the request turns out to be from a known device: none where it shows nothing.
    pub const fn known_handle(&self) -> Option<Handle> {
        match (self.naming, self.asking.proof) {
            (Naming::Divided { known }, Some(_)) => Some(known),
            _ => None,
        }
    }

    /// Whom the question concerns. A change of address needs a live session of somebody who has the present one.
    fn terms(&self, caller: Option<&Caller>) -> Result<Terms, Refusal> {
        let Some(change) = &self.change else {
            return Ok(Terms { identity: self.identity, replaces: None });
        };
        let caller = caller.ok_or(Refusal::SessionEnded)?;
        caller.check(self.sessions_of, &self.asking.project, self.asking.now)?;
        if !change.generation.is_none_or(|generation| caller.session.accepts(generation, self.asking.now)) {
            return Err(Refusal::TokenInvalid);
        }
        let current = caller.account.find(&change.current).ok_or(Refusal::IdentityNotFound)?;
        let replaces = (change.keeping == Keeping::Replace).then_some(current.id);
        Ok(Terms { identity: Some(caller.account.identity.id), replaces })
    }

    /// Refuses at once what could not pass, for surfaces whose originals do.
    fn tell(&self, owner: Option<&Owner>, terms: &Terms) -> Result<(), Refusal> {
        let is_proven = owner.is_some_and(|owner| owner.address.verified_at.is_some());
        let is_other = owner.is_some_and(|owner| Some(owner.identity.id) != terms.identity);
        match self.purpose {
            Purpose::SignIn if owner.is_none() => Err(Refusal::IdentityNotFound),
            Purpose::SignUp if is_proven => Err(Refusal::AddressTaken),
            Purpose::ChangeAddress if is_other => Err(Refusal::AddressTaken),
            Purpose::SignIn
            | Purpose::SignUp
            | Purpose::SignInOrUp
            | Purpose::VerifyAddress
            | Purpose::ChangeAddress => Ok(()),
        }
    }

    /// Whether `flow`, which is live, asks this question already, so that asking is a resend.
    ///
    /// Where anybody can name the flow, a question that somebody can answer holds until it is over, whatever else is asked without
    /// saying for whom: else a stranger's start would put his purpose and his attributes in the place of the owner's.
    fn is_asked_already(&self, flow: &Flow, terms: &Terms) -> bool {
        let Some(challenge) = &flow.challenge else { return false };
        if challenge.address != self.address || ![self.format, self.format.long()].contains(&challenge.format) {
            return false;
        }
        let is_same = flow.purpose == self.purpose
            && flow.attributes == self.attributes
            && flow.memo == self.memo
            && flow.replaces == terms.replaces
            && (terms.identity.is_none() || flow.identity == terms.identity);
        let holds = self.naming.is_public()
            && terms.identity.is_none()
            && challenge.code_digest == self.asking.digest(flow, challenge, MessageKind::Code);
        is_same || holds
    }

    fn put(&self, flow: &mut Flow, terms: Terms) {
        flow.purpose = self.purpose;
        flow.identity = terms.identity;
        flow.replaces = terms.replaces;
        flow.attributes.clone_from(&self.attributes);
        flow.memo.clone_from(&self.memo);
    }

    fn new_flow(&self, handle: Handle, terms: Terms) -> Flow {
        Flow {
            id: self.flow,
            handle,
            project: self.asking.project.clone(),
            dialect: self.dialect.to_owned(),
            purpose: self.purpose,
            state: FlowState::Open,
            identity: terms.identity,
            device: self.device,
            replaces: terms.replaces,
            attributes: self.attributes.clone(),
            memo: self.memo.clone(),
            seed: self.seed,
            challenge: None,
            issued_at: self.asking.now,
            expires_at: self.asking.now.plus(self.flow_life),
        }
    }
}

/// Asks the question of a flow again.
#[derive(Debug)]
pub struct Resend {
    /// Who asks, when, and what may be spent.
    pub asking: Asking,
    /// The flow's handle.
    pub handle: Handle,
}

impl Operation for Resend {
    type Seen = StartSeen;
    type Outcome = StartOutcome;

    fn decide(&self, seen: StartSeen) -> Decision<StartOutcome> {
        match seen.flow {
            None => StartOutcome::refused(Refusal::FlowNotFound),
            Some(flow) => match askable(&flow, self.asking.now) {
                Ok(()) => {
                    let budget = self.asking.purse(seen.budget, seen.provers, seen.owner.as_ref());
                    self.asking.repeat(flow, seen.owner.as_ref(), budget)
                }
                Err(refusal) => StartOutcome::refused(refusal),
            },
        }
    }

    fn committed(outcome: &mut StartOutcome) {
        outcome.depart();
    }
}
