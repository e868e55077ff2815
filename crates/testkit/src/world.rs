//! An engine on a real SQLite store in a temporary folder, with a clock to move and randomness that repeats.

#![expect(clippy::expect_used, reason = "in a test kit, what cannot go on fails the test")]

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::{
    Address, Attempt, Client, CodeFormat, Context, Disclosure, Engine, Event, Handle, MasterKey, Naming, NewChallenge,
    Observer, OpenError, Parts, Policy, Project, ProjectId, Projects, Purpose, ResendMode, Result, Session, SessionId,
    SessionTerms, Started, Store, Strangers, VerificationOutcome, Verified,
};
use store::SqliteStore;

use crate::counted::Counted;
use crate::env::{ManualClock, SeededEntropy};
use crate::folder::TempFolder;

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
    store: Arc<SqliteStore>,
    entropy: Arc<SeededEntropy>,
    policy: Policy,
    folder: TempFolder,
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
    /// If it does not come up.
    pub async fn with(policy: Policy) -> Self {
        let folder = TempFolder::new();
        let clock = Arc::new(ManualClock::default());
        let entropy = Arc::new(SeededEntropy::new(1));
        let events = Arc::new(Events::default());
        let store = store::open(&database(&folder), Arc::clone(&events) as Arc<dyn Observer>).expect("the store opens");
        let calls = Arc::new(Counted::new(Arc::clone(&store) as Arc<dyn Store>));
        let parts = parts(&calls, &clock, &entropy, &events, policy.clone(), MasterKey::new(MASTER_KEY));
        let engine = Arc::new(Engine::open(parts).await.expect("the engine opens"));
        Self { engine, clock, calls, events, store, entropy, policy, folder }
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
        let observer = Arc::clone(&self.events) as Arc<dyn Observer>;
        self.store = store::open(&self.database(), observer).expect("the store opens");
        self.calls = Arc::new(Counted::new(Arc::clone(&self.store) as Arc<dyn Store>));
        let parts = parts(&self.calls, &self.clock, &self.entropy, &self.events, self.policy.clone(), master_key);
        self.engine = Arc::new(Engine::open(parts).await?);
        Ok(())
    }

    /// Stops: the database is closed, and another may open it.
    pub async fn stop(&self) {
        self.store.close().await;
    }

    /// Where the database is. Its log and index lie beside it.
    pub fn database(&self) -> PathBuf {
        database(&self.folder)
    }

    /// A session as it is kept.
    ///
    /// # Panics
    /// If the store fails.
    pub async fn session(&self, id: SessionId) -> Option<Session> {
        self.store.caller(id).await.expect("the store answers").map(|caller| caller.session)
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

fn parts(
    store: &Arc<Counted>,
    clock: &Arc<ManualClock>,
    entropy: &Arc<SeededEntropy>,
    events: &Arc<Events>,
    policy: Policy,
    master_key: MasterKey,
) -> Parts {
    let project = Project { id: ProjectId::new("P1"), name: "Test".to_owned(), policy };
    Parts {
        store: Arc::clone(store) as Arc<dyn Store>,
        clock: Arc::clone(clock) as Arc<dyn engine::Clock>,
        entropy: Arc::clone(entropy) as Arc<dyn engine::Entropy>,
        node: 0,
        projects: Projects::new(project, []),
        master_key,
        observer: Arc::clone(events) as Arc<dyn Observer>,
    }
}

/// A code that is not `code`, but looks like it.
pub fn other_than(code: &str) -> String {
    let turned = |symbol: char| if symbol == '0' { '1' } else { '0' };
    code.chars().map(turned).collect()
}
