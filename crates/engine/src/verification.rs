//! Answering: what happens when a code is brought back. The page to read first.
//!
//! [`Verify`] is a pure function of what a store loaded. A guess is counted in the transaction that compares it, whatever comes of it;
//! five wrong ones end a flow; a right one passes once.

use std::sync::Arc;

use crate::address::Address;
use crate::asking::standing;
use crate::budget::{Budget, DeviceProof, Prover, Spent, Standing};
use crate::code::{self, Form};
use crate::device::Device;
use crate::env::Timestamp;
use crate::error::Refusal;
use crate::flow::{Challenge, Flow, FlowState, Handle, Purpose};
use crate::id::{AddressId, IdentityId, MessageId, SessionId};
use crate::identity::{Account, Identity, IdentityState, Owner, VerifiableAddress};
use crate::outbox::{MessageKind, MessageState, NOTICE_LIFE, OutboxMessage};
use crate::project::ProjectId;
use crate::secret::{Keys, Secret};
use crate::session::{Beginning, Session, SessionTerms};
use crate::store::{Decision, Operation, Write};

/// Brings a code back.
#[derive(Debug)]
pub struct Verify {
    /// When.
    pub now: Timestamp,
    /// The handles of the flows it may belong to: one, but for surfaces whose wire does not say which.
    pub handles: Vec<Handle>,
    /// What was typed.
    pub code: Secret<String>,
    /// What shows that the request is from a known device.
    pub proof: Option<DeviceProof>,
    /// The session to open on success, if any.
    pub session: Option<SessionTerms>,
    /// The session's id.
    pub session_id: SessionId,
    /// The identity's id, if one comes to be.
    pub identity_id: IdentityId,
    /// Its address's id.
    pub address_id: AddressId,
    /// The id of the message to an address that is replaced, if one is.
    pub notice_id: MessageId,
    /// What digests are made with.
    pub keys: Arc<Keys>,
}

/// What a verification must see.
#[derive(Debug, Default)]
pub struct VerifySeen {
    /// The flows of its handles.
    pub flows: Vec<FlowSeen>,
    /// What has been spent of their addresses.
    pub budgets: Budgets,
    /// Who was proved in the session, or at the device, that the request shows.
    pub provers: Vec<Prover>,
}

/// A flow as a verification must see it.
#[derive(Debug)]
pub struct FlowSeen {
    /// The flow.
    pub flow: Flow,
    /// Who owns the address of its challenge now.
    pub owner: Option<Owner>,
    /// The identity that the flow concerns, or else that owner, with all its addresses.
    pub account: Option<Account>,
    /// The device it was begun at, once that has had a session.
    pub device: Option<Device>,
}

/// What came of a submitted code.
#[derive(Debug)]
pub enum VerifyOutcome {
    /// It was right, and its purpose is done.
    Passed(Box<Verified>),
    /// It was not, or its purpose cannot be done any more.
    Refused {
        /// What was wrong.
        refusal: Refusal,
        /// The flow as it is now, if there is one.
        flow: Option<Box<Flow>>,
        /// The forms of the codes it was compared with, in vain.
        missed: Vec<Form>,
    },
    /// Too much was guessed about the address: nothing was compared and nothing counted. To whoever asks it is a wrong code.
    NotCompared {
        /// The flow.
        flow: Box<Flow>,
    },
}

/// A code that was right, and what it brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The flow, passed.
    pub flow: Flow,
    /// Who proved the address.
    pub identity: Identity,
    /// The address, proved.
    pub address: VerifiableAddress,
    /// All addresses the identity has now, the oldest first.
    pub addresses: Vec<VerifiableAddress>,
    /// The session, if one was asked for.
    pub session: Option<Session>,
    /// Whether this identity never proved an address before.
    pub is_first_proof: bool,
}

impl Operation for Verify {
    type Seen = VerifySeen;
    type Outcome = VerifyOutcome;

    fn decide(&self, seen: VerifySeen) -> Decision<VerifyOutcome> {
        let VerifySeen { flows, mut budgets, mut provers } = seen;
        provers.extend(self.proof.and_then(DeviceProof::prover));
        let mut writes = Vec::new();
        let mut missed = Vec::new();
        let mut answer: Option<(Answer, Flow)> = None;
        for mut candidate in flows {
            let given = if let Err(refusal) = standing(&candidate.flow, self.now) {
                Answer::Over(refusal)
            } else {
                let standing = Standing::of(&provers, candidate.owner.as_ref(), self.now);
                let spent = budgets.of(candidate.flow.challenge.as_ref()).map(|budget| budget.spent_mut(standing));
                match spent.filter(|spent| self.may_compare(&candidate.flow, spent)) {
                    Some(_) if self.is_right(&candidate.flow) => return self.pass(candidate),
                    Some(spent) => {
                        missed.extend(candidate.flow.challenge.as_ref().map(|challenge| challenge.format.form()));
                        miss(&mut candidate.flow, spent, self.now, &mut writes)
                    }
                    // Where no budget was loaded there is none left.
                    None => Answer::NotCompared,
                }
            };
            // A wrong code in a live flow is the better answer than another flow that is over; of two that are, the newer one's.
            if answer.as_ref().is_none_or(|(held, flow)| (given.weight(), candidate.flow.id) > (held.weight(), flow.id))
            {
                answer = Some((given, candidate.flow));
            }
        }
        writes.extend(budgets.into_writes());
        let outcome = match answer {
            None => VerifyOutcome::Refused { refusal: Refusal::FlowNotFound, flow: None, missed },
            Some((Answer::Over(refusal) | Answer::Missed(refusal), flow)) => {
                VerifyOutcome::Refused { refusal, flow: Some(Box::new(flow)), missed }
            }
            Some((Answer::NotCompared, flow)) => VerifyOutcome::NotCompared { flow: Box::new(flow) },
        };
        Decision { outcome, writes }
    }
}

/// What one flow says to a code that does not pass it.
#[derive(Clone, Copy)]
enum Answer {
    /// It is over.
    Over(Refusal),
    /// Too much was guessed about its address.
    NotCompared,
    /// The code is wrong.
    Missed(Refusal),
}

impl Answer {
    const fn weight(self) -> u8 {
        match self {
            Self::Over(_) => 0,
            Self::NotCompared => 1,
            Self::Missed(_) => 2,
        }
    }
}

/// Counts a wrong guess.
fn miss(flow: &mut Flow, spent: &mut Spent, now: Timestamp, writes: &mut Vec<Write>) -> Answer {
    let Some(challenge) = flow.challenge.as_mut() else {
        return Answer::Over(Refusal::FlowNotFound);
    };
    spent.guesses.miss(challenge.format, now);
    challenge.attempts = challenge.attempts.saturating_add(1);
    writes.push(Write::CountMiss { flow: flow.id, attempts: challenge.attempts });
    Answer::Missed(Refusal::CodeMismatch { left: challenge.left() })
}

/// The budgets of the addresses that are asked about, each once, however many flows ask.
#[derive(Debug, Default)]
pub struct Budgets(Vec<SeenBudget>);

#[derive(Debug)]
struct SeenBudget {
    project: ProjectId,
    address: Address,
    budget: Budget,
    was: Budget,
}

impl Budgets {
    /// Adds what a store loaded, once for each address.
    pub fn add(&mut self, project: &ProjectId, address: &Address, budget: Budget) {
        let (project, address) = (project.clone(), address.clone());
        self.0.push(SeenBudget { project, address, was: budget.clone(), budget });
    }

    /// Whether that of `address` is there.
    pub fn has(&self, address: &Address) -> bool {
        self.0.iter().any(|seen| seen.address == *address)
    }

    fn of(&mut self, challenge: Option<&Challenge>) -> Option<&mut Budget> {
        let challenge = challenge?;
        self.0.iter_mut().find(|seen| seen.address == challenge.address).map(|seen| &mut seen.budget)
    }

    /// Writes those that changed.
    fn into_writes(self) -> impl Iterator<Item = Write> {
        self.0.into_iter().filter(|seen| seen.budget != seen.was).map(|seen| Write::PutBudget {
            project: seen.project,
            address: seen.address,
            budget: seen.budget,
        })
    }
}

impl Verify {
    /// Whether the submitter may still guess at the code of `flow`.
    fn may_compare(&self, flow: &Flow, spent: &Spent) -> bool {
        flow.challenge.as_ref().is_some_and(|challenge| spent.guesses.has_room(challenge.format, self.now))
    }

    /// Compares, in constant time.
    fn is_right(&self, flow: &Flow) -> bool {
        let Some(challenge) = &flow.challenge else { return false };
        let typed = challenge.format.normalise(self.code.expose());
        let submitted = code::digest(&self.keys, challenge.key, &flow.handle, typed.expose());
        matches!((submitted, challenge.code_digest), (Some(submitted), Some(stored)) if submitted == stored)
    }

    /// Does what passing means. Whatever comes of it, the code is spent.
    fn pass(&self, seen: FlowSeen) -> Decision<VerifyOutcome> {
        let FlowSeen { mut flow, owner, account, device } = seen;
        flow.state = FlowState::Passed;
        let Some(challenge) = flow.challenge.as_mut() else {
            return Decision {
                outcome: VerifyOutcome::Refused { refusal: Refusal::FlowNotFound, flow: None, missed: Vec::new() },
                writes: Vec::new(),
            };
        };
        challenge.code_digest = None;
        let address = challenge.address.clone();
        let mut writes = Vec::with_capacity(4);
        let proof = match allowed(&flow, owner.as_ref(), account) {
            Ok(Some(account)) => self.prove(&flow, &address, account, &mut writes),
            Ok(None) => self.create(&flow, address, &mut writes),
            Err(refusal) => {
                let writes = vec![Write::PassFlow { flow: flow.id, identity: flow.identity }];
                let flow = Some(Box::new(flow));
                return Decision { outcome: VerifyOutcome::Refused { refusal, flow, missed: Vec::new() }, writes };
            }
        };
        let Proof { identity, address, addresses, is_first } = proof;
        flow.identity = Some(identity.id);
        writes.push(Write::PassFlow { flow: flow.id, identity: flow.identity });
        let terms = self.session.as_ref().filter(|_| identity.state == IdentityState::Active);
        let device = flow.device.map(|id| device.unwrap_or_else(|| Device::new(id, &flow.project, &flow.dialect)));
        // A device of another surface or tenant is none of this one's.
        let device = device.filter(|device| device.is_of(&flow.project, &flow.dialect));
        let session = terms.map(|terms| self.begin_session(&flow, identity.id, device.as_ref(), &address, terms));
        if let Some(session) = &session {
            writes.push(Write::OpenSession(session.clone()));
            writes.extend(device.map(|device| Write::PutDevice(device.rotated(Some(session.id), self.now))));
        }
        let verified = Verified { flow, identity, address, addresses, session, is_first_proof: is_first };
        Decision { outcome: VerifyOutcome::Passed(Box::new(verified)), writes }
    }

    fn begin_session(
        &self,
        flow: &Flow,
        identity: IdentityId,
        device: Option<&Device>,
        address: &VerifiableAddress,
        terms: &SessionTerms,
    ) -> Session {
        let beginning = Beginning {
            id: self.session_id,
            project: &flow.project,
            dialect: &flow.dialect,
            identity,
            device: device.map(|device| device.id),
            method: address.address.channel().name(),
            now: self.now,
        };
        beginning.session(terms)
    }

    /// An identity that is there has proved `address`, which it has or is given now.
    ///
    /// At its first proof everything that was there before ends: whoever set the account up may have been somebody else. Not so where
    /// an address is verified and nobody signs in: that may be one of several, which the operator gave it.
    fn prove(&self, flow: &Flow, address: &Address, account: Account, writes: &mut Vec<Write>) -> Proof {
        let is_first = !account.is_proven();
        let Account { mut identity, mut addresses } = account;
        let known = addresses.iter().position(|own| own.address == *address);
        let mut proved = match known {
            Some(index) => addresses.remove(index),
            None => self.new_address(identity.id, address.clone()),
        };
        let is_changed = proved.verified_at.is_none() || known.is_none() || flow.replaces.is_some();
        if is_first && flow.purpose != Purpose::VerifyAddress {
            writes.push(Write::EndSessions { identity: identity.id, at: self.now });
            writes.push(Write::DropTickets(identity.id));
            writes.push(Write::DropFlows { identity: identity.id, except: Some(flow.id) });
            writes.push(Write::DropUnprovenAddresses { identity: identity.id, except: proved.id });
            addresses.clear();
            if let Some(attributes) = &flow.attributes {
                identity.traits.clone_from(attributes);
                writes.push(Write::PutTraits { id: identity.id, traits: attributes.clone() });
            }
        }
        if known.is_none() {
            proved.verified_at = Some(self.now);
            writes.push(Write::AddAddress { project: flow.project.clone(), address: proved.clone() });
        } else if proved.verified_at.is_none() || proved.asked_at.is_some() {
            let at = *proved.verified_at.get_or_insert(self.now);
            proved.asked_at = None;
            writes.push(Write::ProveAddress { id: proved.id, at });
        }
        if let Some(index) = addresses.iter().position(|own| Some(own.id) == flow.replaces) {
            let replaced = addresses.remove(index);
            writes.push(Write::DropAddress(replaced.id));
            if replaced.verified_at.is_some() {
                writes.push(Write::OweMessage(self.notice(flow, &replaced, &proved)));
            }
            // What was asked for before does not bring back what its owner has just given up.
            writes.push(Write::DropChanges { identity: identity.id, address: replaced.address });
        }
        if is_changed {
            identity.revision += 1;
            identity.updated_at = self.now;
            writes.push(Write::BumpIdentity { id: identity.id, revision: identity.revision, at: self.now });
        }
        addresses.push(proved.clone());
        addresses.sort_by_key(|own| own.id);
        Proof { identity, address: proved, addresses, is_first }
    }

    /// Tells whoever reads an address that was proved that another one took its place: one message for each change that passes, and
    /// spends nothing of what the address may be sent.
    fn notice(&self, flow: &Flow, replaced: &VerifiableAddress, proved: &VerifiableAddress) -> OutboxMessage {
        OutboxMessage {
            id: self.notice_id,
            project: flow.project.clone(),
            kind: MessageKind::AddressReplaced,
            state: MessageState::Owed,
            flow: flow.id,
            epoch: 0,
            recipient: replaced.address.clone(),
            due_at: self.now,
            attempts: 0,
            not_after: self.now.plus(NOTICE_LIFE),
            created_at: self.now,
            last_error: None,
            link: None,
            replaced_by: Some(proved.address.masked()),
        }
    }

    /// Somebody new.
    fn create(&self, flow: &Flow, address: Address, writes: &mut Vec<Write>) -> Proof {
        let identity = Identity {
            id: self.identity_id,
            project: flow.project.clone(),
            state: IdentityState::Active,
            traits: flow.attributes.clone().unwrap_or_else(|| "{}".to_owned()),
            metadata: "{}".to_owned(),
            revision: 1,
            created_at: self.now,
            updated_at: self.now,
        };
        let mut address = self.new_address(identity.id, address);
        address.verified_at = Some(self.now);
        writes.push(Write::AddIdentity(identity.clone()));
        writes.push(Write::AddAddress { project: flow.project.clone(), address: address.clone() });
        Proof { identity, addresses: vec![address.clone()], address, is_first: true }
    }

    fn new_address(&self, identity: IdentityId, address: Address) -> VerifiableAddress {
        VerifiableAddress {
            id: self.address_id,
            identity,
            address,
            verified_at: None,
            asked_at: None,
            created_at: self.now,
        }
    }
}

/// What a right code came to.
struct Proof {
    identity: Identity,
    address: VerifiableAddress,
    addresses: Vec<VerifiableAddress>,
    is_first: bool,
}

/// Whether the address may still be proved for what the flow was started for: by whom, or that somebody new comes to be.
///
/// But for a change, the address must belong to the identity it belonged to at the start; for a change, the address that is
/// replaced must: a pending flow never gives a removed address back. And a code shows who reads the mailbox that it went to: if the
/// address has come to be somebody's at another one since, nothing is shown about that.
fn allowed(flow: &Flow, owner: Option<&Owner>, account: Option<Account>) -> Result<Option<Account>, Refusal> {
    let owner_id = owner.map(|owner| owner.identity.id);
    let account = account.filter(|account| match flow.identity {
        Some(identity) => account.identity.id == identity,
        None => Some(account.identity.id) == owner_id,
    });
    let mailed = flow.challenge.as_ref().map(|challenge| challenge.address.mailbox());
    let reads = owner.is_none_or(|owner| Some(owner.address.address.mailbox()) == mailed);
    let owns = owner_id.is_some() && owner_id == flow.identity && reads;
    let was_nobodys = flow.identity.is_none();
    match flow.purpose {
        // Somebody who owns the address still.
        Purpose::SignIn | Purpose::VerifyAddress | Purpose::SignUp | Purpose::SignInOrUp if owns => {}
        // Somebody new.
        Purpose::SignUp | Purpose::SignInOrUp if was_nobodys && owner_id.is_none() => return Ok(None),
        // Two who signed up at once for the same address are one person: he reads its mail.
        Purpose::SignInOrUp if was_nobodys && reads => {}
        Purpose::SignUp | Purpose::SignInOrUp if was_nobodys => return Err(Refusal::AddressTaken),
        Purpose::SignIn | Purpose::VerifyAddress | Purpose::SignUp | Purpose::SignInOrUp => {
            return Err(Refusal::IdentityNotFound);
        }
        Purpose::ChangeAddress if owns || owner_id.is_none() => {}
        Purpose::ChangeAddress => return Err(Refusal::AddressTaken),
    }
    let account = account.ok_or(Refusal::IdentityNotFound)?;
    let still_has = |replaced| account.addresses.iter().any(|own| own.id == replaced);
    if !flow.replaces.is_none_or(still_has) {
        return Err(Refusal::IdentityNotFound);
    }
    match account.identity.state {
        IdentityState::Active => Ok(Some(account)),
        // That an address was proved is a fact about it; it lets nobody in.
        IdentityState::Inactive if flow.purpose == Purpose::VerifyAddress => Ok(Some(account)),
        IdentityState::Inactive => Err(Refusal::IdentityInactive),
    }
}
