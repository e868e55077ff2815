//! What asking is, whoever asks and however often: the send budget is spent, a code is made or kept, a message is owed.
//!
//! A start and a resend decide whether something is asked; here is what it then costs and writes, the same for an address that
//! somebody owns and for one that nobody does.

use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;
use crate::budget::{Budget, DeviceProof, Prover, SendLimit, Standing};
use crate::cap::Network;
use crate::challenge::StartOutcome;
use crate::code::{self, CodeFormat, Label};
use crate::departure::{Departure, Place};
use crate::env::Timestamp;
use crate::error::Refusal;
use crate::flow::{Challenge, Flow, FlowState, Purpose, UNLIMITED};
use crate::id::{AddressId, MessageId};
use crate::identity::Owner;
use crate::outbox::{Content, LEASE, MessageKind, MessageState, OutboxMessage};
use crate::project::ProjectId;
use crate::secret::{Digest, Keys};
use crate::store::{Decision, Write};

/// What asking again does to the code that is out already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResendMode {
    /// The same code is sent again, with the same deadline, until less than three minutes of it are left.
    SameCode,
    /// The old code dies at once.
    NewCode,
}

/// Whether a project sees too many wrong guesses over all its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaker {
    /// It does not.
    Closed,
    /// It does: strangers are sent long codes.
    Open,
}

/// What somebody is told who reads an address that nobody has an account with, and that was asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strangers {
    /// Nothing.
    Silent,
    /// That nobody has.
    Told,
}

/// Until when a flow lives that something is asked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowEnd {
    /// As long as was said when it was opened: a code ends with its flow at the latest.
    Fixed,
    /// At least as long as its code.
    WithCode,
}

/// A repeat within this answers as the send did and owes nothing.
pub const REPEAT: Duration = Duration::from_secs(2);

/// With less than this left of a code's life, a resend makes a new one.
pub const RENEWAL: Duration = Duration::from_mins(3);

/// What a start and a resend have in common: who asks, when, and what may be spent.
#[derive(Debug)]
pub struct Asking {
    /// Whose tenant's.
    pub project: ProjectId,
    /// When.
    pub now: Timestamp,
    /// How long a new code lives.
    pub code_life: Duration,
    /// What the address may be sent; `None` lifts it.
    pub send_limit: Option<SendLimit>,
    /// The network that asks, where it is known.
    pub network: Option<Network>,
    /// How long strangers must wait, whatever the address may be sent: a cap of their network or of the project holds.
    pub capped: Option<Duration>,
    /// What a resend does to the code.
    pub mode: ResendMode,
    /// Until when the flow lives.
    pub flow_end: FlowEnd,
    /// What whoever reads an address nobody owns is told.
    pub strangers: Strangers,
    /// The id of the message, if one comes to be owed.
    pub message: MessageId,
    /// The link that is mailed beside the code, sealed for that message.
    pub link: Option<Vec<u8>>,
    /// What shows that the request is from a known device.
    pub proof: Option<DeviceProof>,
    /// Whether short codes are sent to strangers at all.
    pub breaker: Breaker,
    /// Room for the message on the courier's desk, where there is any.
    pub place: Option<Place>,
    /// What codes are derived with.
    pub keys: Arc<Keys>,
}

/// What is asked.
pub(crate) struct Question<'a> {
    pub(crate) address: &'a Address,
    pub(crate) format: CodeFormat,
    pub(crate) max_attempts: u8,
}

/// What has been spent of the address, as whoever asks may spend it.
pub(crate) struct Purse {
    budget: Budget,
    standing: Standing,
}

impl Purse {
    /// Whether it is a known device's.
    pub(crate) fn is_known(&self) -> bool {
        self.standing == Standing::Known
    }
}

/// Which code a message carries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Epoch {
    /// The one that is out already.
    Same,
    /// A new one.
    Next,
}

impl Asking {
    /// Asks a question that is open already, as the resend mode says.
    pub(crate) fn repeat(&self, flow: Flow, owner: Option<&Owner>, purse: Purse) -> Decision<StartOutcome> {
        let Some(challenge) = flow.challenge.clone() else {
            return StartOutcome::refused(Refusal::FlowNotFound);
        };
        let is_repeat = self.now < challenge.sent_at.plus(REPEAT)
            && self.now >= challenge.sent_at
            && (self.mode == ResendMode::SameCode || self.send_limit.is_some());
        if is_repeat {
            return Decision { outcome: StartOutcome::Repeated(Box::new(flow)), writes: Vec::new() };
        }
        // Where the flow ends with the code, a new one would live no longer: the one that is out stays good.
        let ends_soon = challenge.expires_at < self.now.plus(RENEWAL) && challenge.expires_at < self.code_end(&flow);
        let epoch = if self.mode == ResendMode::NewCode || ends_soon { Epoch::Next } else { Epoch::Same };
        let (format, max_attempts) = (challenge.format, challenge.max_attempts);
        let question = Question { address: &challenge.address, format, max_attempts };
        self.send(flow, &question, epoch, owner, purse)
    }

    /// What has been spent of the address, as this request may spend it.
    pub(crate) fn purse(&self, budget: Budget, mut provers: Vec<Prover>, owner: Option<&Owner>) -> Purse {
        provers.extend(self.proof.and_then(DeviceProof::prover));
        Purse { budget, standing: Standing::of(&provers, owner, self.now) }
    }

    /// The form of the code that is sent: short while the asker's short codes may still be guessed. A flow never goes back from
    /// long to short.
    fn form(&self, format: CodeFormat, previous: Option<&Challenge>, purse: &Purse) -> CodeFormat {
        let was_long = previous.is_some_and(|previous| previous.format.is_long() && !previous.is_over(self.now));
        let is_broken = purse.standing == Standing::Stranger && self.breaker == Breaker::Open;
        let has_room = purse.budget.spent(purse.standing).guesses.has_room(format, self.now);
        if was_long || is_broken || !has_room { format.long() } else { format }
    }

    /// Spends the send budget and owes the message.
    pub(crate) fn send(
        &self,
        mut flow: Flow,
        question: &Question<'_>,
        epoch: Epoch,
        owner: Option<&Owner>,
        purse: Purse,
    ) -> Decision<StartOutcome> {
        let mut writes = Vec::with_capacity(4);
        let format = self.form(question.format, flow.challenge.as_ref(), &purse);
        // Mail to an address that somebody owns goes to the mailbox that is stored with it, whatever was typed now.
        let address = owner.map_or(question.address, |owner| &owner.address.address);
        let question = Question { address, format, ..*question };
        if let Some(limit) = &self.send_limit {
            let Purse { mut budget, standing } = purse;
            let spent = budget.spent_mut(standing);
            let capped = self.capped.filter(|_| standing == Standing::Stranger);
            match (std::mem::take(&mut spent.sends).spend(limit, self.network, self.now), capped) {
                (Ok(log), None) => spent.sends = log,
                (log, capped) => {
                    let retry_after = log.err().max(capped).unwrap_or_default();
                    return StartOutcome::refused(Refusal::TooSoon { retry_after });
                }
            }
            writes.push(Write::PutBudget { project: self.project.clone(), address: question.address.clone(), budget });
        }
        let concerned = flow.identity;
        let kind = concern(&mut flow, owner, self.strangers);
        let previous = flow.challenge.take();
        if let Some(previous) = &previous {
            writes.push(Write::CancelMessage { id: previous.message, at: self.now });
        }
        let challenge = match previous {
            // Only a code that still passes, for whom it was asked, is worth sending again: since then the address may have come to
            // be somebody's or nobody's, or somebody's at another mailbox, or the key may be gone.
            Some(previous)
                if epoch == Epoch::Same
                    && previous.format == format
                    && previous.address.mailbox() == address.mailbox()
                    && concerned == flow.identity
                    && previous.code_digest.is_some()
                    && previous.code_digest == self.digest(&flow, &previous, kind) =>
            {
                Challenge { sends: previous.sends + 1, sent_at: self.now, message: self.message, ..previous }
            }
            previous => match self.new_challenge(&flow, &question, previous.as_ref(), kind) {
                Some(challenge) => challenge,
                None => return StartOutcome::refused(Refusal::CodeExpired),
            },
        };
        flow.state = FlowState::Sent;
        flow.expires_at = flow.expires_at.max(challenge.expires_at);
        if flow.purpose == Purpose::VerifyAddress {
            // A decoy writes to no row at the same cost.
            let asked = owner.filter(|_| kind == MessageKind::Code).map_or(AddressId::new(0), |owner| owner.address.id);
            writes.push(Write::AskAddress { id: asked, at: self.now });
        }
        let mut message = OutboxMessage {
            id: self.message,
            project: self.project.clone(),
            kind,
            state: MessageState::Owed,
            flow: flow.id,
            epoch: challenge.epoch,
            recipient: challenge.address.clone(),
            due_at: self.now,
            attempts: 0,
            not_after: challenge.expires_at,
            created_at: self.now,
            last_error: None,
            link: self.link.clone(),
            replaced_by: None,
        };
        flow.challenge = Some(challenge);
        let departure = self.departure(&mut message, &flow);
        writes.push(Write::OweMessage(message));
        writes.push(Write::PutFlow(Box::new(flow.clone())));
        Decision { outcome: StartOutcome::Started { flow: Box::new(flow), departure }, writes }
    }

    /// Leases `message` at once, if there is room for it. A decoy is as much work, and stays where it is.
    fn departure(&self, message: &mut OutboxMessage, flow: &Flow) -> Departure {
        let Some(place) = self.place.clone() else { return Departure::Later };
        // Nobody shall tell from the time it takes what is owed, so whatever it is, it is made like one with a code.
        let leased = OutboxMessage { kind: MessageKind::Code, due_at: self.now.plus(LEASE), ..message.clone() };
        let Some((purpose, mut content)) = leased.content(Some(flow), &self.keys) else { return Departure::Later };
        if message.kind == MessageKind::NoAccount {
            content = Content::NoAccount;
        }
        let is_decoy = message.kind == MessageKind::Decoy;
        if !is_decoy {
            message.due_at = leased.due_at;
        }
        Departure::AtOnce { message: Some(Box::new(leased.leased(purpose, content))), place, is_decoy }
    }

    /// A challenge of the next epoch. Guesses already spent stay spent.
    fn new_challenge(
        &self,
        flow: &Flow,
        question: &Question<'_>,
        previous: Option<&Challenge>,
        kind: MessageKind,
    ) -> Option<Challenge> {
        let mut challenge = Challenge {
            address: question.address.clone(),
            epoch: previous.map_or(1, |previous| previous.epoch.saturating_add(1)),
            sends: previous.map_or(1, |previous| previous.sends.saturating_add(1)),
            attempts: previous.map_or(0, |previous| previous.attempts),
            max_attempts: match self.flow_end {
                // Where anybody can name the flow, wrong guesses must not end what cannot be guessed: they would lock its owner out.
                FlowEnd::WithCode if question.format.is_long() => UNLIMITED,
                FlowEnd::WithCode | FlowEnd::Fixed => question.max_attempts,
            },
            sent_at: self.now,
            expires_at: self.code_end(flow),
            format: question.format,
            key: self.keys.newest(),
            code_digest: None,
            message: self.message,
        };
        challenge.code_digest = Some(self.digest(flow, &challenge, kind)?);
        Some(challenge)
    }

    /// When a code's life ends that is made now in `flow`.
    fn code_end(&self, flow: &Flow) -> Timestamp {
        let code_ends_at = self.now.plus(self.code_life);
        match self.flow_end {
            FlowEnd::Fixed => code_ends_at.min(flow.expires_at),
            FlowEnd::WithCode => code_ends_at,
        }
    }

    /// What is stored for the code of `challenge`, if a message of `kind` carries it; `None` once its key is gone.
    pub(crate) fn digest(&self, flow: &Flow, challenge: &Challenge, kind: MessageKind) -> Option<Digest> {
        let label = match kind {
            MessageKind::Code => Label::Code,
            MessageKind::Decoy | MessageKind::NoAccount | MessageKind::AddressReplaced => Label::Decoy,
        };
        let code = flow.derivation(label, challenge).code(&self.keys, challenge.key)?;
        code::digest(&self.keys, challenge.key, &flow.handle, code.expose())
    }
}

/// Notes in `flow` whom it concerns, and says whether a code is sent at all. Where nobody could pass, a decoy is owed: the same
/// rows and the same work, and no mail.
fn concern(flow: &mut Flow, owner: Option<&Owner>, strangers: Strangers) -> MessageKind {
    let owner_id = owner.map(|owner| owner.identity.id);
    let is_proven = owner.is_some_and(|owner| owner.address.verified_at.is_some());
    let (identity, can_pass) = match flow.purpose {
        Purpose::SignIn => (owner_id, owner_id.is_some()),
        Purpose::SignInOrUp => (owner_id, true),
        // An address that is owned but was never proved may be signed up for: whoever reads it is its owner.
        Purpose::SignUp => (owner_id.filter(|_| !is_proven), !is_proven),
        Purpose::VerifyAddress => {
            let identity = flow.identity.or(owner_id);
            (identity, owner_id.is_some() && owner_id == identity)
        }
        Purpose::ChangeAddress => (flow.identity, owner_id.is_none() || owner_id == flow.identity),
    };
    flow.identity = identity;
    match strangers {
        _ if can_pass => MessageKind::Code,
        Strangers::Told if owner.is_none() => MessageKind::NoAccount,
        Strangers::Told | Strangers::Silent => MessageKind::Decoy,
    }
}

/// Whether a code can be compared in `flow`, or why not.
pub(crate) fn standing(flow: &Flow, now: Timestamp) -> Result<(), Refusal> {
    if flow.state == FlowState::Passed {
        return Err(Refusal::FlowPassed);
    }
    if now >= flow.expires_at {
        return Err(Refusal::FlowExpired);
    }
    let Some(challenge) = &flow.challenge else {
        return Err(Refusal::FlowNotFound);
    };
    if challenge.is_exhausted() {
        return Err(Refusal::AttemptsExhausted);
    }
    if now >= challenge.expires_at {
        return Err(Refusal::CodeExpired);
    }
    Ok(())
}

/// Whether something may be asked in `flow`, for the first time or again, or why not.
pub(crate) fn askable(flow: &Flow, now: Timestamp) -> Result<(), Refusal> {
    match standing(flow, now) {
        Ok(()) | Err(Refusal::CodeExpired) => Ok(()),
        Err(Refusal::FlowNotFound) if flow.challenge.is_none() => Ok(()),
        Err(refusal) => Err(refusal),
    }
}
