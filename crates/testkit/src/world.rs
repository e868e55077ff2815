//! An engine on a real store, with a clock to move and randomness that repeats.
//!
//! The store is on SQLite, in a temporary folder, unless a test asks for another [`Backend`] or `COUNTERSIGN_TEST_BACKEND` (`postgres`
//! or `memory`) says so for all that do not ask.

#![expect(clippy::expect_used, clippy::panic, reason = "in a test kit, what cannot go on fails the test")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::{
    Address, Attempt, Client, Clock as _, CodeFormat, Context, Disclosure, Engine, Event, Handle, MasterKey, Naming,
    NewChallenge, Observer, OpenError, Parts, Policy, Project, ProjectId, Projects, Purpose, ResendMode, Result,
    Session, SessionId, SessionTerms, Started, Store, Strangers, VerificationOutcome, Verified,
};
use store::{Database, Location, NodeNumber};

use crate::cluster::{Cluster, TestDatabase};
use crate::counted::Counted;
use crate::env::{ManualClock, SeededEntropy};
use crate::folder::TempFolder;
use crate::memory::MemoryStore;

/// The surface that a [`World`] speaks as.
pub const DIALECT: &str = "test";

/// How long the flows and sessions of a [`World`] live.
pub const LIFE: Duration = Duration::from_hours(1);

/// The master key of a [`World`].
pub const MASTER_KEY: [u8; 32] = [7; 32];

/// Keeps every event.
#[derive(Debug, Default)]
pub struct Events(Mutex<Vec<Event>>);

impl Events {
    /// The events since this was last asked, in their order.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many codes came to `outcome` so far.
    pub fn verified(&self, outcome: VerificationOutcome) -> usize {
        self.count(|event| matches!(event, Event::Verified { outcome: seen, .. } if *seen == outcome))
    }

    /// How many operations the store has made durable so far.
    pub fn stored(&self) -> usize {
        self.count(|event| matches!(event, Event::Stored { .. }))
    }

    fn count(&self, counts: impl Fn(&Event) -> bool) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().filter(|event| counts(event)).count()
    }
}

impl Observer for Events {
    fn observe(&self, event: &Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event.clone());
    }
}

/// A policy under which nothing is limited but guesses: a code as often as a test likes.
pub fn unlimited() -> Policy {
    Policy { send_limit: None, sign_up: true, ..Policy::default() }
}

/// Which database a [`World`] is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// Maps of its own, without a database.
    Memory,
    /// A file of its own.
    Sqlite,
    /// A database of its own in the process's cluster.
    Postgres,
}

impl Backend {
    /// What tests are on that do not say: SQLite, or what `COUNTERSIGN_TEST_BACKEND` names.
    ///
    /// # Panics
    /// If it names none.
    pub fn usual() -> Self {
        match std::env::var_os("COUNTERSIGN_TEST_BACKEND").as_deref().and_then(std::ffi::OsStr::to_str) {
            None | Some("" | "sqlite") => Self::Sqlite,
            Some("postgres") => Self::Postgres,
            Some("memory") => Self::Memory,
            Some(other) => panic!("there is no backend {other}"),
        }
    }
}

/// Where a world's rows are.
#[derive(Debug, Clone)]
enum Place {
    Memory(Arc<MemoryStore>),
    Folder(Arc<TempFolder>),
    Cluster(TestDatabase),
}

/// What was opened there.
#[derive(Debug)]
enum Opened {
    Memory(Arc<MemoryStore>),
    Database(Database),
}

impl Opened {
    fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Memory(store) => Arc::clone(store) as Arc<dyn Store>,
            Self::Database(database) => database.store(),
        }
    }
}

/// Everything below the surfaces, of one test alone.
#[derive(Debug)]
pub struct World {
    /// What is tested.
    pub engine: Arc<Engine>,
    /// Its time.
    pub clock: Arc<ManualClock>,
    /// What it asked of its store.
    pub calls: Arc<Counted>,
    /// What happened in it.
    pub events: Arc<Events>,
    store: Opened,
    entropy: Arc<SeededEntropy>,
    policy: Policy,
    place: Place,
    number: Option<NodeNumber>,
}

impl World {
    /// A world in which messages are not limited.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn new() -> Self {
        Self::with(unlimited()).await
    }

    /// A world under `policy`.
    ///
    /// # Panics
    /// If it does not come up, or what it is to be on is not installed.
    pub async fn with(policy: Policy) -> Self {
        Self::on(Backend::usual(), policy).await.expect("the database that all tests shall be on is installed")
    }

    /// A world on `backend` under `policy`; none where that is not installed.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn on(backend: Backend, policy: Policy) -> Option<Self> {
        let events = Arc::<Events>::default();
        let place = match backend {
            Backend::Memory => Place::Memory(Arc::new(MemoryStore::new(Arc::clone(&events) as Arc<dyn Observer>))),
            Backend::Sqlite => Place::Folder(Arc::new(TempFolder::new())),
            Backend::Postgres => Place::Cluster(Cluster::shared().await?.database().await),
        };
        Some(Self::at(place, policy, Arc::default(), events, 1).await)
    }

    /// Another node on the same PostgreSQL database, under the same clock: an engine of its own, on a store of its own.
    ///
    /// # Panics
    /// If it does not come up, or the world is not on PostgreSQL: anything else is one process's.
    pub async fn beside(&self, seed: u64) -> Self {
        assert!(matches!(self.place, Place::Cluster(_)), "only PostgreSQL has several nodes");
        let (clock, events) = (Arc::clone(&self.clock), Arc::clone(&self.events));
        Self::at(self.place.clone(), self.policy.clone(), clock, events, seed).await
    }

    /// As [`World::beside`], with the database asked at `address`, where something stands that hands on to it.
    ///
    /// # Panics
    /// As [`World::beside`].
    pub async fn through(&self, address: std::net::SocketAddr, seed: u64) -> Self {
        let Place::Cluster(database) = &self.place else { panic!("only PostgreSQL has several nodes") };
        let (clock, events) = (Arc::clone(&self.clock), Arc::clone(&self.events));
        Self::at(Place::Cluster(database.through(address)), self.policy.clone(), clock, events, seed).await
    }

    async fn at(place: Place, policy: Policy, clock: Arc<ManualClock>, events: Arc<Events>, seed: u64) -> Self {
        let entropy = Arc::new(SeededEntropy::new(seed));
        let (store, number) = open(&place, &events, &clock).await;
        let calls = Arc::new(Counted::new(store.store()));
        let parts = Parts {
            store: Arc::clone(&calls) as Arc<dyn Store>,
            clock: Arc::clone(&clock) as Arc<dyn engine::Clock>,
            entropy: Arc::clone(&entropy) as Arc<dyn engine::Entropy>,
            node: number.as_ref().map_or(0, NodeNumber::get),
            projects: projects(policy.clone()),
            master_key: MasterKey::new(MASTER_KEY),
            observer: Arc::clone(&events) as Arc<dyn Observer>,
        };
        let engine = Arc::new(Engine::open(parts).await.expect("the engine opens"));
        Self { engine, clock, calls, events, store, entropy, policy, place, number }
    }

    /// Stops, and comes up again on the same database.
    ///
    /// # Panics
    /// If it does not come up.
    pub async fn reopen(&mut self) {
        self.reopen_with(MasterKey::new(MASTER_KEY)).await.expect("the engine opens");
    }

    /// Stops, and tries to come up again with another master key.
    ///
    /// # Errors
    /// What the engine says to the key. The engine of before is stopped then, too.
    ///
    /// # Panics
    /// If the store does not open.
    pub async fn reopen_with(&mut self, master_key: MasterKey) -> std::result::Result<(), OpenError> {
        self.stop().await;
        (self.store, self.number) = open(&self.place, &self.events, &self.clock).await;
        self.calls = Arc::new(Counted::new(self.store.store()));
        let parts = Parts {
            store: Arc::clone(&self.calls) as Arc<dyn Store>,
            clock: Arc::clone(&self.clock) as Arc<dyn engine::Clock>,
            entropy: Arc::clone(&self.entropy) as Arc<dyn engine::Entropy>,
            node: self.number.as_ref().map_or(0, NodeNumber::get),
            projects: projects(self.policy.clone()),
            master_key,
            observer: Arc::clone(&self.events) as Arc<dyn Observer>,
        };
        self.engine = Arc::new(Engine::open(parts).await?);
        Ok(())
    }

    /// Stops: the database is closed, and another may open it. What is in memory stays there.
    pub async fn stop(&self) {
        let Opened::Database(database) = &self.store else { return };
        if let (Database::Postgres(store), Some(number)) = (database, &self.number) {
            // Closed already is as good: its number is free when it has been silent for long enough.
            let _ = store.return_number(number).await;
        }
        database.close().await;
    }

    /// Where the SQLite database is. Its log and index lie beside it.
    ///
    /// # Panics
    /// If the world is not on SQLite.
    pub fn database(&self) -> PathBuf {
        match &self.place {
            Place::Folder(folder) => database(folder),
            Place::Memory(_) | Place::Cluster(_) => panic!("the world is not on SQLite"),
        }
    }

    /// The PostgreSQL database, if the world is on one.
    pub const fn postgres(&self) -> Option<&TestDatabase> {
        match &self.place {
            Place::Memory(_) | Place::Folder(_) => None,
            Place::Cluster(database) => Some(database),
        }
    }

    /// The store in memory, if the world is on one.
    pub fn memory(&self) -> Option<&MemoryStore> {
        match &self.place {
            Place::Memory(store) => Some(store),
            Place::Folder(_) | Place::Cluster(_) => None,
        }
    }

    /// The database as it was opened.
    ///
    /// # Panics
    /// If the world is in memory.
    pub fn opened(&self) -> &Database {
        match &self.store {
            Opened::Database(database) => database,
            Opened::Memory(_) => panic!("the world is in memory"),
        }
    }

    /// A session as it is kept.
    ///
    /// # Panics
    /// If the store fails.
    pub async fn session(&self, id: SessionId) -> Option<Session> {
        self.store.store().caller(id).await.expect("the store answers").map(|caller| caller.session)
    }

    /// The one project.
    pub fn project(&self) -> &ProjectId {
        &self.engine.projects().default_project().id
    }

    /// The frame of a request that comes now.
    pub fn context(&self) -> Context<'_> {
        self.engine.context(self.engine.projects().default_project(), DIALECT, Client::default())
    }

    /// The handle of the flow called `key`.
    pub fn handle(&self, key: &str) -> Handle {
        Handle::new(DIALECT, self.project(), "flow", key.as_bytes())
    }

    /// Asks for a code in the flow called `key`, which anybody can name.
    ///
    /// # Refusals
    /// As [`Engine::start_challenge`].
    pub async fn start(&self, key: &str, purpose: Purpose, address: &Address) -> Result<Started> {
        self.engine.start_challenge(&self.context(), self.challenge(key, purpose, address)).await
    }

    /// What [`World::start`] asks for, to be changed before it is.
    pub fn challenge(&self, key: &str, purpose: Purpose, address: &Address) -> NewChallenge {
        NewChallenge {
            handle: self.handle(key),
            naming: Naming::Public,
            purpose,
            address: address.clone(),
            identity: None,
            change: None,
            attributes: None,
            memo: None,
            disclosure: Disclosure::Uniform,
            format: CodeFormat::SIX_DIGITS,
            mode: ResendMode::SameCode,
            flow_life: LIFE,
            code_life: None,
            max_attempts: None,
            link: None,
            strangers: Strangers::Silent,
            device: None,
        }
    }

    /// Brings a code back to the flow called `key`, for a session.
    ///
    /// # Refusals
    /// As [`Engine::verify`].
    pub async fn verify(&self, key: &str, code: &str) -> Result<Verified> {
        let attempt = Attempt { handles: &[self.handle(key)], code, session: Some(SessionTerms::of(LIFE)) };
        self.engine.verify(&self.context(), attempt).await
    }

    /// The code that was last sent to `address`; none where nothing was, or its flow has been replaced.
    ///
    /// # Panics
    /// If the inbox cannot be read.
    pub async fn code(&self, address: &Address) -> Option<String> {
        let shown = self.engine.inbox(Some(address.clone())).await.expect("the inbox can be read");
        shown.into_iter().next()?.code.map(|code| code.expose().clone())
    }
}

fn database(folder: &TempFolder) -> PathBuf {
    folder.path().join("countersign.db")
}

/// Opens the store, and takes a number for the node where there may be several.
async fn open(place: &Place, events: &Arc<Events>, clock: &ManualClock) -> (Opened, Option<NodeNumber>) {
    let location = match place {
        Place::Memory(store) => return (Opened::Memory(Arc::clone(store)), None),
        Place::Folder(folder) => Location::File(database(folder)),
        Place::Cluster(database) => Location::parse(&database.url()),
    };
    let opened = store::open(&location, Arc::clone(events) as Arc<dyn Observer>).await.expect("the store opens");
    let number = match &opened {
        Database::Sqlite(_) => None,
        Database::Postgres(store) => {
            // Not out of the world's randomness: that shall be the same on every database.
            static HOLDERS: AtomicU64 = AtomicU64::new(1);
            let [process, count] = [u64::from(std::process::id()), HOLDERS.fetch_add(1, Ordering::Relaxed)];
            let holder = (u128::from(process) << 64 | u128::from(count)).to_be_bytes();
            Some(store.take_number(clock.now(), holder).await.expect("a number is free"))
        }
    };
    (Opened::Database(opened), number)
}

fn projects(policy: Policy) -> Projects {
    Projects::new(Project { id: ProjectId::new("P1"), name: "Test".to_owned(), policy }, [])
}

/// A code that is not `code`, but looks like it.
pub fn other_than(code: &str) -> String {
    let turned = |symbol: char| if symbol == '0' { '1' } else { '0' };
    code.chars().map(turned).collect()
}
