//! [`Engine`]: what surfaces call. It mints ids, seeds and times, hands one operation to the store, and tells the observer.

mod devices;
mod flows;
mod identities;
mod outbox;
mod sessions;
mod tickets;
mod tokens;

pub use flows::NewFlow;
pub use identities::NewIdentity;
pub use tickets::{NewTicket, Taking};

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use uuid::Uuid;

use crate::address::Address;
use crate::asking::{ResendMode, Strangers};
use crate::breaker::Breakers;
use crate::budget::DeviceProof;
use crate::cap::Caps;
use crate::challenge::{Change, Disclosure, Naming};
use crate::code::CodeFormat;
use crate::departure::Departures;
use crate::env::{Clock, Entropy, Env, IdGen, Timestamp};
use crate::error::Fault;
use crate::event::{Event, Observer};
use crate::flow::{Flow, Handle, Purpose};
use crate::id::{DeviceId, IdentityId};
use crate::project::{Project, Projects};
use crate::secret::{Keys, MasterKey, Secret};
use crate::session::SessionTerms;
use crate::store::Store;
use crate::token::Keyring;

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
    /// The surface whose sessions count: its own, unless it accepts tokens that another one issued.
    pub sessions_of: &'static str,
    /// What shows that the request is from a device on which an address was proved before, if it shows anything.
    pub proof: Option<DeviceProof>,
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
    /// The device it is begun at, for surfaces that know devices.
    pub device: Option<DeviceId>,
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
    /// How long the flow lives, if it comes to be. One that only its owner can name never lives longer than it was opened for.
    pub flow_life: Duration,
    /// How long a code lives, where the surface is configured apart from the project.
    pub code_life: Option<Duration>,
    /// How many wrong guesses end the flow, where the surface is configured apart from the project. Never more than five.
    pub max_attempts: Option<u8>,
    /// What whoever reads an address nobody owns is told.
    pub strangers: Strangers,
    /// A URL that is mailed beside the code, with [`CODE_IN_LINK`](crate::CODE_IN_LINK) where the code belongs.
    pub link: Option<Secret<String>>,
}

/// One submission of a code. Never stored; counted.
#[derive(Clone)]
pub struct Attempt<'a> {
    /// The flows it may belong to.
    pub handles: &'a [Handle],
    /// What was typed.
    pub code: &'a str,
    /// The session to open on success, if any.
    pub session: Option<SessionTerms>,
}

impl fmt::Debug for Attempt<'_> {
    /// Without what was typed.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Attempt").field("handles", &self.handles).finish_non_exhaustive()
    }
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
    breakers: Breakers,
    caps: Caps,
    departures: Arc<Departures>,
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
        Ok(Self {
            store,
            env,
            projects,
            keys: Arc::new(keys),
            keyring: Keyring::default(),
            public_ids,
            departures: Arc::new(Departures::new(Arc::clone(&observer))),
            observer,
            breakers: Breakers::default(),
            caps: Caps::default(),
        })
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
        Context { project, dialect, sessions_of: dialect, proof: None, now: self.now(), client }
    }

    fn observe(&self, event: &Event) {
        self.observer.observe(event);
    }
}
