//! Answering: what happens when a code is brought back. The page to read first.
//!
//! [`Verify`] is a pure function of what a store loaded. A guess is counted in the transaction that compares it, whatever comes of it;
//! five wrong ones end a flow; a right one passes once.

use std::sync::Arc;

use crate::address::Address;
use crate::challenge::standing;
use crate::code;
use crate::env::Timestamp;
use crate::error::Refusal;
use crate::flow::{Flow, FlowState, Handle, Purpose};
use crate::id::{AddressId, IdentityId, SessionId};
use crate::identity::{Identity, IdentityState, Owner, VerifiableAddress};
use crate::secret::{Keys, Secret};
use crate::session::{Session, SessionTerms};
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
    /// The session to open on success, if any.
    pub session: Option<SessionTerms>,
    /// The session's id.
    pub session_id: SessionId,
    /// The identity's id, if one comes to be.
    pub identity_id: IdentityId,
    /// Its address's id.
    pub address_id: AddressId,
    /// What digests are made with.
    pub keys: Arc<Keys>,
}

/// A flow as a verification must see it.
#[derive(Debug)]
pub struct FlowSeen {
    /// The flow.
    pub flow: Flow,
    /// Who owns the address of its challenge now.
    pub owner: Option<Owner>,
    /// Whether that identity has proved any address.
    pub is_proven: bool,
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
    /// The session, if one was asked for.
    pub session: Option<Session>,
    /// Whether this identity never proved an address before.
    pub is_first_proof: bool,
}

impl Operation for Verify {
    type Seen = Vec<FlowSeen>;
    type Outcome = VerifyOutcome;

    fn decide(&self, seen: Vec<FlowSeen>) -> Decision<VerifyOutcome> {
        let mut writes = Vec::new();
        let mut answer: Option<(Refusal, Flow)> = None;
        for mut candidate in seen {
            let refusal = match standing(&candidate.flow, self.now) {
                Ok(()) if self.is_right(&candidate.flow) => return self.pass(candidate),
                Ok(()) => miss(&mut candidate.flow, &mut writes),
                Err(refusal) => refusal,
            };
            // A wrong code in a live flow is the better answer than another flow that is over.
            let is_better = matches!(refusal, Refusal::CodeMismatch { .. });
            if answer.is_none() || is_better {
                answer = Some((refusal, candidate.flow));
            }
        }
        let (refusal, flow) = match answer {
            Some((refusal, flow)) => (refusal, Some(Box::new(flow))),
            None => (Refusal::FlowNotFound, None),
        };
        Decision { outcome: VerifyOutcome::Refused { refusal, flow }, writes }
    }
}

/// Counts a wrong guess.
fn miss(flow: &mut Flow, writes: &mut Vec<Write>) -> Refusal {
    let Some(challenge) = flow.challenge.as_mut() else {
        return Refusal::FlowNotFound;
    };
    challenge.attempts = challenge.attempts.saturating_add(1);
    writes.push(Write::CountMiss { flow: flow.id, attempts: challenge.attempts });
    Refusal::CodeMismatch { left: challenge.max_attempts.saturating_sub(challenge.attempts) }
}

impl Verify {
    /// Compares, in constant time.
    fn is_right(&self, flow: &Flow) -> bool {
        let Some(challenge) = &flow.challenge else { return false };
        let typed = challenge.format.normalise(self.code.expose());
        let submitted = code::digest(&self.keys, challenge.key, &flow.handle, typed.expose());
        matches!((submitted, challenge.code_digest), (Some(submitted), Some(stored)) if submitted == stored)
    }

    /// Does what passing means. Whatever comes of it, the code is spent.
    fn pass(&self, seen: FlowSeen) -> Decision<VerifyOutcome> {
        let FlowSeen { mut flow, owner, is_proven } = seen;
        flow.state = FlowState::Passed;
        let Some(challenge) = flow.challenge.as_mut() else {
            return Decision {
                outcome: VerifyOutcome::Refused { refusal: Refusal::FlowNotFound, flow: None },
                writes: Vec::new(),
            };
        };
        challenge.code_digest = None;
        let address = challenge.address.clone();
        let owner = match allowed(&flow, owner) {
            Ok(owner) => owner,
            Err(refusal) => {
                let writes = vec![Write::PassFlow { flow: flow.id, identity: flow.identity }];
                return Decision { outcome: VerifyOutcome::Refused { refusal, flow: Some(Box::new(flow)) }, writes };
            }
        };
        let mut writes = Vec::with_capacity(4);
        let is_first_proof = owner.is_none() || !is_proven;
        let Owner { identity, address } = match owner {
            Some(owner) => self.prove(&flow, owner, is_proven, &mut writes),
            None => self.create(&flow, address, &mut writes),
        };
        flow.identity = Some(identity.id);
        writes.push(Write::PassFlow { flow: flow.id, identity: flow.identity });
        let session = self.session.map(|terms| Session {
            id: self.session_id,
            project: flow.project.clone(),
            identity: identity.id,
            method: address.address.channel().name().to_owned(),
            issued_at: self.now,
            expires_at: self.now.plus(terms.life),
            ended_at: None,
        });
        writes.extend(session.clone().map(Write::OpenSession));
        let verified = Verified { flow, identity, address, session, is_first_proof };
        Decision { outcome: VerifyOutcome::Passed(Box::new(verified)), writes }
    }

    /// The owner has proved the address. At an identity's first proof everything that was there before it ends: whoever set the
    /// account up may have been somebody else.
    fn prove(&self, flow: &Flow, mut owner: Owner, is_proven: bool, writes: &mut Vec<Write>) -> Owner {
        let identity = owner.identity.id;
        if !is_proven {
            writes.push(Write::EndSessions { identity, at: self.now });
            writes.push(Write::DropFlows { identity, except: flow.id });
            writes.push(Write::DropUnprovenAddresses { identity, except: owner.address.id });
        }
        if owner.address.verified_at.is_none() {
            owner.address.verified_at = Some(self.now);
            owner.identity.revision += 1;
            owner.identity.updated_at = self.now;
            writes.push(Write::ProveAddress { id: owner.address.id, at: self.now });
            writes.push(Write::BumpIdentity { id: identity, revision: owner.identity.revision, at: self.now });
        }
        owner
    }

    /// Somebody new.
    fn create(&self, flow: &Flow, address: Address, writes: &mut Vec<Write>) -> Owner {
        let identity = Identity {
            id: self.identity_id,
            project: flow.project.clone(),
            state: IdentityState::Active,
            revision: 1,
            created_at: self.now,
            updated_at: self.now,
        };
        let address = VerifiableAddress {
            id: self.address_id,
            identity: identity.id,
            address,
            verified_at: Some(self.now),
            created_at: self.now,
        };
        writes.push(Write::AddIdentity(identity.clone()));
        writes.push(Write::AddAddress { project: flow.project.clone(), address: address.clone() });
        Owner { identity, address }
    }
}

/// Whether the address may still be proved for what the flow was started for: to whom, or that somebody new comes to be.
///
/// The address must belong to the identity it belonged to at the start: a pending flow never gives a removed address back.
fn allowed(flow: &Flow, owner: Option<Owner>) -> Result<Option<Owner>, Refusal> {
    let Some(owner) = owner else {
        let may_create = flow.purpose.creates_identity() && flow.identity.is_none();
        return if may_create { Ok(None) } else { Err(Refusal::IdentityNotFound) };
    };
    let is_same = flow.identity == Some(owner.identity.id);
    let may_join = match flow.purpose {
        // Two who signed up at once for the same address are one person: he reads its mail.
        Purpose::SignInOrUp => is_same || flow.identity.is_none(),
        Purpose::SignUp if flow.identity.is_none() => return Err(Refusal::AddressTaken),
        Purpose::SignUp | Purpose::SignIn | Purpose::VerifyAddress => is_same,
    };
    if !may_join {
        return Err(Refusal::IdentityNotFound);
    }
    match owner.identity.state {
        IdentityState::Active => Ok(Some(owner)),
        IdentityState::Inactive => Err(Refusal::IdentityInactive),
    }
}
