//! Asking: what happens when a code is asked for, and asked for again.
//!
//! Two operations, each a pure function of what a store loaded: [`Start`] and [`Resend`]. What happens when the code is brought
//! back is in `verification.rs`.

use std::sync::Arc;
use std::time::Duration;

use crate::address::Address;
use crate::budget::{Budget, DeviceProof, Prover, SendLimit, Standing};
use crate::code::{self, CodeFormat, Label};
use crate::env::Timestamp;
use crate::error::Refusal;
use crate::flow::{Challenge, Flow, FlowState, Handle, Purpose, UNLIMITED};
use crate::id::{AddressId, DeviceId, FlowId, IdentityId, MessageId, SessionId};
use crate::identity::Owner;
use crate::outbox::{MessageKind, MessageState, OutboxMessage};
use crate::project::ProjectId;
use crate::secret::{Digest, Keys};
use crate::session::Caller;
use crate::store::{Decision, Operation, Write};

/// What asking again does to the code that is out already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResendMode {
    /// The same code is sent again, with the same deadline, until less than three minutes of it are left.
    SameCode,
    /// The old code dies at once.
    NewCode,
}

/// Who can name a flow's handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// Only who was told: it is made of something unguessable. A dead flow stays dead.
    Secret,
    /// Anybody: it is made of a login id or the like. A dead flow is replaced by the next start.
    Public,
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
    /// What codes are derived with.
    pub keys: Arc<Keys>,
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
    /// Who owns the address.
    pub owner: Option<Owner>,
    /// What has been spent of the address.
    pub budget: Budget,
    /// Who was proved in the session that the request shows.
    pub prover: Option<Prover>,
    /// The session of a [`Change`] and whose it is.
    pub caller: Option<Caller>,
}

/// What came of a start or a resend.
#[derive(Debug)]
pub enum StartOutcome {
    /// A message is owed; or would be, if anybody owned the address.
    Started(Box<Flow>),
    /// A repeat: nothing more is owed.
    Repeated(Box<Flow>),
    /// The caller's mistake.
    Refused(Refusal),
}

impl StartOutcome {
    const fn refused(refusal: Refusal) -> Decision<Self> {
        Decision { outcome: Self::Refused(refusal), writes: Vec::new() }
    }
}

impl Operation for Start {
    type Seen = StartSeen;
    type Outcome = StartOutcome;

    fn decide(&self, seen: StartSeen) -> Decision<StartOutcome> {
        let StartSeen { flow, owner, budget, prover, caller } = seen;
        let owner = owner.as_ref();
        let budget = self.asking.budget(budget, prover, owner);
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
            let flow = self.new_flow(terms);
            return self.asking.send(flow, &question, Epoch::Next, owner, budget);
        };
        if self.is_asked_already(&flow, &terms) {
            return self.asking.repeat(flow, owner, budget);
        }
        self.put(&mut flow, terms);
        self.asking.send(flow, &question, Epoch::Next, owner, budget)
    }
}

/// Whom a question concerns, as far as the surface says.
#[derive(Clone, Copy)]
struct Terms {
    identity: Option<IdentityId>,
    replaces: Option<AddressId>,
}

impl Start {
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
        let holds = self.naming == Naming::Public
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

    fn new_flow(&self, terms: Terms) -> Flow {
        Flow {
            id: self.flow,
            handle: self.handle,
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
            Some(flow) if flow.challenge.is_none() => StartOutcome::refused(Refusal::FlowNotFound),
            Some(flow) => match askable(&flow, self.asking.now) {
                Ok(()) => {
                    let budget = self.asking.budget(seen.budget, seen.prover, seen.owner.as_ref());
                    self.asking.repeat(flow, seen.owner.as_ref(), budget)
                }
                Err(refusal) => StartOutcome::refused(refusal),
            },
        }
    }
}

/// What is asked.
struct Question<'a> {
    address: &'a Address,
    format: CodeFormat,
    max_attempts: u8,
}

/// What has been spent of the address, as whoever asks may spend it.
struct Purse {
    budget: Budget,
    standing: Standing,
}

/// Which code a message carries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Epoch {
    /// The one that is out already.
    Same,
    /// A new one.
    Next,
}

impl Asking {
    /// Asks a question that is open already, as the resend mode says.
    fn repeat(&self, flow: Flow, owner: Option<&Owner>, purse: Purse) -> Decision<StartOutcome> {
        let Some(challenge) = flow.challenge.clone() else {
            return StartOutcome::refused(Refusal::FlowNotFound);
        };
        let is_repeat = self.now < challenge.sent_at.plus(REPEAT)
            && self.now >= challenge.sent_at
            && (self.mode == ResendMode::SameCode || self.send_limit.is_some());
        if is_repeat {
            return Decision { outcome: StartOutcome::Repeated(Box::new(flow)), writes: Vec::new() };
        }
        let ends_soon = challenge.expires_at < self.now.plus(RENEWAL);
        let epoch = if self.mode == ResendMode::NewCode || ends_soon { Epoch::Next } else { Epoch::Same };
        let (format, max_attempts) = (challenge.format, challenge.max_attempts);
        let question = Question { address: &challenge.address, format, max_attempts };
        self.send(flow, &question, epoch, owner, purse)
    }

    /// What has been spent of the address, as this request may spend it.
    fn budget(&self, budget: Budget, prover: Option<Prover>, owner: Option<&Owner>) -> Purse {
        let prover = self.proof.and_then(DeviceProof::prover).or(prover);
        Purse { budget, standing: Standing::of(prover, owner, self.now) }
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
    fn send(
        &self,
        mut flow: Flow,
        question: &Question<'_>,
        epoch: Epoch,
        owner: Option<&Owner>,
        purse: Purse,
    ) -> Decision<StartOutcome> {
        let mut writes = Vec::with_capacity(4);
        let format = self.form(question.format, flow.challenge.as_ref(), &purse);
        if let Some(limit) = &self.send_limit {
            let Purse { mut budget, standing } = purse;
            let spent = budget.spent_mut(standing);
            match std::mem::take(&mut spent.sends).spend(limit, self.now) {
                Ok(log) => spent.sends = log,
                Err(retry_after) => return StartOutcome::refused(Refusal::TooSoon { retry_after }),
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
            // be somebody's or nobody's, or the key may be gone.
            Some(previous)
                if epoch == Epoch::Same
                    && previous.format == format
                    && concerned == flow.identity
                    && previous.code_digest.is_some()
                    && previous.code_digest == self.digest(&flow, &previous, kind) =>
            {
                Challenge { sends: previous.sends + 1, sent_at: self.now, message: self.message, ..previous }
            }
            previous => match self.new_challenge(&flow, &Question { format, ..*question }, previous.as_ref(), kind) {
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
        writes.push(Write::OweMessage(OutboxMessage {
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
        }));
        flow.challenge = Some(challenge);
        writes.push(Write::PutFlow(Box::new(flow.clone())));
        Decision { outcome: StartOutcome::Started(Box::new(flow)), writes }
    }

    /// A challenge of the next epoch. Guesses already spent stay spent.
    fn new_challenge(
        &self,
        flow: &Flow,
        question: &Question<'_>,
        previous: Option<&Challenge>,
        kind: MessageKind,
    ) -> Option<Challenge> {
        let code_ends_at = self.now.plus(self.code_life);
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
            expires_at: match self.flow_end {
                FlowEnd::Fixed => code_ends_at.min(flow.expires_at),
                FlowEnd::WithCode => code_ends_at,
            },
            format: question.format,
            key: self.keys.newest(),
            code_digest: None,
            message: self.message,
        };
        challenge.code_digest = Some(self.digest(flow, &challenge, kind)?);
        Some(challenge)
    }

    /// What is stored for the code of `challenge`, if a message of `kind` carries it; `None` once its key is gone.
    fn digest(&self, flow: &Flow, challenge: &Challenge, kind: MessageKind) -> Option<Digest> {
        let label = match kind {
            MessageKind::Code => Label::Code,
            MessageKind::Decoy | MessageKind::NoAccount => Label::Decoy,
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
fn askable(flow: &Flow, now: Timestamp) -> Result<(), Refusal> {
    match standing(flow, now) {
        Ok(()) | Err(Refusal::CodeExpired) => Ok(()),
        Err(Refusal::FlowNotFound) if flow.challenge.is_none() => Ok(()),
        Err(refusal) => Err(refusal),
    }
}
