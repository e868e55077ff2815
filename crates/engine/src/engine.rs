//! [`Engine`]: what surfaces call. It mints ids, seeds and times, hands one operation to the store, and tells the observer.

mod outbox;
mod tokens;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use uuid::Uuid;

use crate::address::Address;
use crate::challenge::{Asking, Change, Disclosure, Naming, Resend, ResendMode, Start, StartOutcome};
use crate::code::CodeFormat;
use crate::env::{Clock, Entropy, Env, IdGen, Timestamp};
use crate::error::{Error, Fault, Refusal, Result};
use crate::event::{ChallengeOutcome, Event, Observer, VerificationOutcome};
use crate::flow::{Flow, Handle, Purpose};
use crate::id::{AddressId, FlowId, IdentityId, MessageId, SessionId};
use crate::identity::{Identity, IdentityState, Owner, VerifiableAddress};
use crate::project::{MOST_ATTEMPTS, Project, ProjectId, Projects};
use crate::register::{Register, Registered};
use crate::secret::{Keys, MasterKey, Secret};
use crate::session::{Caller, EndSessions, Refresh, RefreshOutcome, Rotation, SessionTerms, Sessions};
use crate::store::Store;
use crate::token::Keyring;
use crate::verification::{Verified, Verify, VerifyOutcome};

/// Who sends a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Client<'a> {
    /// The address it comes from, as far as trusted proxies say.
    pub address: Option<IpAddr>,
    /// What it calls itself.
    pub user_agent: Option<&'a str>,
}

/// One request's frame: where, when, who. Made at the edge, handed on by reference.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The tenant.
    pub project: &'a Project,
    /// The surface.
    pub dialect: &'static str,
    /// The only time the request knows.
    pub now: Timestamp,
    /// Who asks.
    pub client: Client<'a>,
}

/// What a surface asks for when it starts a challenge.
#[derive(Debug, Clone)]
pub struct NewChallenge {
    /// How the surface finds the flow again.
    pub handle: Handle,
    /// Who can name that handle.
    pub naming: Naming,
    /// What passing shall mean.
    pub purpose: Purpose,
    /// Where the code goes.
    pub address: Address,
    /// Whose address it is, where the surface knows.
    pub identity: Option<IdentityId>,
    /// On whose behalf an address is changed: with [`Purpose::ChangeAddress`], and only with it.
    pub change: Option<Change>,
    /// What is said about the identity that may come to be: a JSON object, as text.
    pub attributes: Option<String>,
    /// The surface's own small note, handed back with the flow.
    pub memo: Option<String>,
    /// Whether the answer may tell who has an account. Uniform unless the project's policy reveals accounts.
    pub disclosure: Disclosure,
    /// How the code looks.
    pub format: CodeFormat,
    /// What asking again does.
    pub mode: ResendMode,
    /// How long the flow lives.
    pub flow_life: Duration,
}

/// One submission of a code. Never stored; counted.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// The flows it may belong to.
    pub handles: &'a [Handle],
    /// What was typed.
    pub code: &'a str,
    /// The session to open on success, if any.
    pub session: Option<SessionTerms>,
}

/// What a start or resend tells a surface: the same whether or not anybody owns the address.
#[derive(Debug, Clone)]
pub struct Started {
    /// The flow, asked.
    pub flow: Flow,
    /// The address, for showing.
    pub masked: String,
}

/// Why an engine does not come up.
#[derive(Debug)]
pub enum OpenError {
    /// The database was made with another master key.
    WrongMasterKey,
    /// Ours.
    Failed(Fault),
}

impl fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongMasterKey => formatter.write_str(
                "the master key is not the one this database was made with; start with the right key, or list it as an older one",
            ),
            Self::Failed(fault) => formatter.write_str(&fault.report()),
        }
    }
}

impl std::error::Error for OpenError {}

impl<T: Into<Fault>> From<T> for OpenError {
    fn from(fault: T) -> Self {
        Self::Failed(fault.into())
    }
}

/// What an engine is made of.
pub struct Parts {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// This node's number, for its ids.
    pub node: u16,
    /// The tenants.
    pub projects: Projects,
    /// The operator's keys.
    pub master_key: MasterKey,
    /// Who listens.
    pub observer: Arc<dyn Observer>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Parts")
    }
}

/// The verification engine. One per process, shared by all surfaces.
pub struct Engine {
    store: Arc<dyn Store>,
    env: Env,
    projects: Projects,
    keys: Arc<Keys>,
    keyring: Keyring,
    public_ids: hmac::Key,
    observer: Arc<dyn Observer>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Engine")
    }
}

/// The sealed secret of the installation: key of its public ids, and the canary that a wrong master key cannot open.
const INSTANCE: &str = "instance";

impl Engine {
    /// Comes up on a store: opens or makes the installation's secret, and continues its ids.
    ///
    /// # Errors
    /// [`OpenError::WrongMasterKey`] where the store was made with a master key that is not given.
    pub async fn open(parts: Parts) -> std::result::Result<Self, OpenError> {
        let Parts { store, clock, entropy, node, projects, master_key, observer } = parts;
        let keys = Keys::new(&master_key)?;
        // Ids go on above every row, and above the mark of an emptied inbox: what comes after it is shown.
        let highest = store.highest_id().await?.max(outbox::inbox_emptied(store.as_ref()).await?);
        let env = Env { clock, entropy, ids: Arc::new(IdGen::new(node, highest)) };
        let fresh = Secret::new(env.bytes::<32>());
        let place = format!("project_meta/{INSTANCE}");
        let sealed = match store.meta(INSTANCE).await? {
            Some(sealed) => sealed,
            None => store.claim_meta(INSTANCE, keys.seal(env.bytes(), &place, fresh.expose())?).await?,
        };
        let instance = keys.open(&place, &sealed).ok_or(OpenError::WrongMasterKey)?;
        let public_ids = hmac::Key::new(hmac::HMAC_SHA256, instance.expose());
        Ok(Self { store, env, projects, keys: Arc::new(keys), keyring: Keyring::default(), public_ids, observer })
    }

    /// The present moment. Surfaces take it from their context.
    pub fn now(&self) -> Timestamp {
        self.env.clock.now()
    }

    /// `N` random bytes, for a surface's own unguessable names.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        self.env.bytes()
    }

    /// A random UUID (RFC 9562, version 4).
    pub fn random_uuid(&self) -> Uuid {
        uuid::Builder::from_random_bytes(self.env.bytes()).into_uuid()
    }

    /// The tenants.
    pub const fn projects(&self) -> &Projects {
        &self.projects
    }

    /// Frames a request. The clock is read here, once.
    pub fn context<'a>(&self, project: &'a Project, dialect: &'static str, client: Client<'a>) -> Context<'a> {
        Context { project, dialect, now: self.now(), client }
    }

    // --- challenges

    /// Sends a code: one operation of the store.
    ///
    /// The answer is the same whether or not anybody owns the address.
    ///
    /// # Refusals
    /// `TooSoon`; for a change of address `SessionEnded`, `IdentityInactive`, `TokenInvalid` and, where the present address is not the identity's,
    /// `IdentityNotFound`; where accounts are told `IdentityNotFound` and `AddressTaken`; for a handle that only its owner can name and whose flow is over also `FlowPassed`, `FlowExpired`,
    /// `AttemptsExhausted`, `CodeExpired`.
    pub async fn start_challenge(&self, context: &Context<'_>, new: NewChallenge) -> Result<Started> {
        let NewChallenge { handle, naming, purpose, address, identity, change, attributes, memo, disclosure, .. } = new;
        let (channel, mode) = (address.channel(), new.mode);
        let disclosure = if context.project.policy.reveals_accounts { disclosure } else { Disclosure::Uniform };
        let operation = Start {
            asking: self.asking(context, mode),
            dialect: context.dialect,
            handle,
            naming,
            purpose,
            address,
            identity,
            change,
            attributes,
            memo,
            disclosure,
            format: new.format,
            max_attempts: context.project.policy.max_attempts.min(MOST_ATTEMPTS),
            flow_life: new.flow_life,
            flow: FlowId::new(self.env.ids.next(context.now)),
            seed: self.env.bytes(),
        };
        let outcome = self.store.start(operation).await?;
        let (result, outcome) = started(outcome);
        self.observe(&Event::Challenged { dialect: context.dialect, channel, purpose, outcome });
        result
    }

    /// Sends a flow's code again, or a new one, as `mode` says: one operation of the store.
    ///
    /// # Refusals
    /// `FlowNotFound`, `FlowPassed`, `FlowExpired`, `AttemptsExhausted`, `TooSoon`.
    pub async fn resend(&self, context: &Context<'_>, handle: Handle, mode: ResendMode) -> Result<Started> {
        let outcome = self.store.resend(Resend { asking: self.asking(context, mode), handle }).await?;
        let (result, outcome) = started(outcome);
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
            session: attempt.session,
            session_id: SessionId::new(next()),
            identity_id: IdentityId::new(next()),
            address_id: AddressId::new(next()),
            keys: Arc::clone(&self.keys),
        };
        match self.store.verify(operation).await? {
            VerifyOutcome::Passed(verified) => {
                self.observe(&Event::Verified { dialect: context.dialect, outcome: VerificationOutcome::Passed });
                Ok(*verified)
            }
            VerifyOutcome::Refused { refusal, flow } => {
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

    fn asking(&self, context: &Context<'_>, mode: ResendMode) -> Asking {
        Asking {
            project: context.project.id.clone(),
            now: context.now,
            code_life: context.project.policy.code_life,
            send_limit: context.project.policy.send_limit,
            mode,
            message: MessageId::new(self.env.ids.next(context.now)),
            keys: Arc::clone(&self.keys),
        }
    }

    // --- identities and sessions

    /// Adds an identity with an address it has yet to prove. Where the address has an owner already, that one is the answer.
    pub async fn register(&self, project: &ProjectId, address: Address) -> Result<Registered> {
        let now = self.now();
        let identity = Identity {
            id: IdentityId::new(self.env.ids.next(now)),
            project: project.clone(),
            state: IdentityState::Active,
            traits: "{}".to_owned(),
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        let address = VerifiableAddress {
            id: AddressId::new(self.env.ids.next(now)),
            identity: identity.id,
            address,
            verified_at: None,
            created_at: now,
        };
        Ok(self.store.register(Register { identity, address }).await?)
    }

    /// Who owns an address.
    ///
    /// # Refusals
    /// `IdentityNotFound`.
    pub async fn owner(&self, project: &ProjectId, address: &Address) -> Result<Owner> {
        let owner = self.store.owner(project.clone(), address.clone()).await?;
        owner.ok_or_else(|| Refusal::IdentityNotFound.into())
    }

    /// A live session of this surface, and whose it is.
    ///
    /// # Refusals
    /// `SessionEnded`, `IdentityInactive`.
    pub async fn caller(&self, context: &Context<'_>, session: SessionId) -> Result<Caller> {
        let caller = self.store.caller(session).await?.ok_or(Refusal::SessionEnded)?;
        caller.check(context.dialect, &context.project.id, context.now)?;
        Ok(caller)
    }

    /// Has a session go on: one operation of the store. The answer's session has the generation that the next token must name.
    ///
    /// # Refusals
    /// `SessionEnded`, `IdentityInactive`, `TokenInvalid` (the session lives on), `TokenReused` (it has been ended).
    pub async fn refresh(
        &self,
        context: &Context<'_>,
        session: SessionId,
        generation: u32,
        rotation: Rotation,
    ) -> Result<Caller> {
        let project = context.project.id.clone();
        let operation = Refresh { now: context.now, project, dialect: context.dialect, session, generation, rotation };
        match self.store.refresh(operation).await? {
            RefreshOutcome::Refreshed(caller) => Ok(*caller),
            RefreshOutcome::Refused(refusal) => Err(refusal.into()),
        }
    }

    /// Ends a session, or all of whom it belongs to: one operation of the store.
    ///
    /// # Refusals
    /// `SessionEnded`.
    pub async fn end_sessions(&self, context: &Context<'_>, session: SessionId, which: Sessions) -> Result<()> {
        let project = context.project.id.clone();
        let operation = EndSessions { now: context.now, project, dialect: context.dialect, session, which };
        Ok(self.store.end_sessions(operation).await??)
    }

    fn observe(&self, event: &Event) {
        self.observer.observe(event);
        if matches!(event, Event::Challenged { outcome: ChallengeOutcome::Started, .. }) {
            self.observer.observe(&Event::MessageOwed);
        }
    }
}

/// What a surface and the observer are told of a start or resend.
fn started(outcome: StartOutcome) -> (Result<Started>, ChallengeOutcome) {
    let (flow, outcome) = match outcome {
        StartOutcome::Started(flow) => (flow, ChallengeOutcome::Started),
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
        | Refusal::SessionEnded
        | Refusal::TokenInvalid
        | Refusal::TokenReused
        | Refusal::TooSoon { .. } => VerificationOutcome::Refused,
    }
}
