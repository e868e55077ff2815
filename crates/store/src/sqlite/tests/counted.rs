//! ST-03: a wrong guess that somebody was told of is counted, whatever becomes of the operations beside it and of its own writes.

use std::time::Duration;

use engine::{
    Attempt, Client, CodeFormat, Disclosure, Engine, Error, Handle, MasterKey, Naming, NewChallenge, Parts, Policy,
    Project, ProjectId, Projects, Purpose, Refusal, ResendMode, SHORT_GUESSES, Strangers,
};
use rusqlite::ffi;
use testkit::env::{ManualClock, SeededEntropy};

use super::*;

/// The writer under an engine, on the tables that there really are.
struct Ground {
    store: Arc<SqliteStore>,
    engine: Engine,
    _folder: Folder,
}

impl Ground {
    async fn new() -> Self {
        let folder = Folder::new();
        let ending = Box::new(|| panic!("the writer ended the process"));
        let store =
            open_with(&folder.database(), crate::sqlite::MIGRATIONS, Arc::new(Counts::default()), ending).unwrap();
        let policy = Policy { send_limit: None, sign_up: true, ..Policy::default() };
        let project = Project { id: ProjectId::new("P1"), name: "Test".to_owned(), policy };
        let parts = Parts {
            store: Arc::clone(&store) as Arc<dyn engine::Store>,
            clock: Arc::new(ManualClock::default()),
            entropy: Arc::new(SeededEntropy::new(1)),
            node: 0,
            projects: Projects::new(project, []),
            master_key: MasterKey::new([7; 32]),
            observer: Arc::new(Counts::default()),
        };
        let engine = Engine::open(parts).await.unwrap();
        Self { store, engine, _folder: folder }
    }

    fn context(&self) -> engine::Context<'_> {
        self.engine.context(self.engine.projects().default_project(), "test", Client::default())
    }

    fn handle(&self, key: &str) -> Handle {
        Handle::new("test", &self.context().project.id, "flow", key.as_bytes())
    }

    /// Asks for a code to Ada, and gives it.
    async fn ask(&self, key: &str) -> String {
        let challenge = NewChallenge {
            handle: self.handle(key),
            naming: Naming::Public,
            purpose: Purpose::SignInOrUp,
            address: engine::Address::email("ada@example.com").unwrap(),
            identity: None,
            change: None,
            attributes: None,
            memo: None,
            disclosure: Disclosure::Uniform,
            format: CodeFormat::SIX_DIGITS,
            mode: ResendMode::SameCode,
            flow_life: Duration::from_hours(1),
            code_life: None,
            max_attempts: None,
            link: None,
            strangers: Strangers::Silent,
            device: None,
        };
        self.engine.start_challenge(&self.context(), challenge).await.unwrap();
        let shown = self.engine.inbox(None).await.unwrap().into_iter().next().unwrap();
        shown.code.unwrap().expose().clone()
    }

    /// What somebody is told who brings `code` to the flow `key`.
    async fn bring(&self, key: &str, code: &str) -> Told {
        let (context, handles) = (self.context(), [self.handle(key)]);
        match self.engine.verify(&context, Attempt { handles: &handles, code, session: None }).await {
            Ok(_) => Told::Right,
            Err(Error::Refused { refusal: Refusal::CodeMismatch { .. }, .. }) => Told::Wrong,
            Err(Error::Refused { refusal, .. }) => panic!("{refusal:?}"),
            Err(Error::Failed(_)) => Told::Nothing,
        }
    }

    /// How many wrong guesses are counted: at the flows, and of the address.
    async fn counted(&self, flows: &[&str]) -> (u8, usize) {
        let mut at_flows = 0;
        for key in flows {
            at_flows += self.engine.flow(self.handle(key)).await.unwrap().challenge.unwrap().attempts;
        }
        let of_address = self.store.readers.read(|connection| {
            let sql = "SELECT stranger FROM budgets";
            let rows = connection.prepare(sql).and_then(|mut statement| {
                statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?.collect::<rusqlite::Result<Vec<_>>>()
            });
            rows.map_err(driver)
        });
        // Two counts and eight bytes for each guess: see `Spent` in the engine.
        (at_flows, of_address.await.unwrap().iter().map(|spent| (spent.len() - 2) / 8).sum())
    }

    async fn run(&self, sql: &'static str) {
        let job = move |connection: &Connection| connection.execute_batch(sql).map_err(driver);
        self.store.writer.run("by hand", job).await.unwrap();
    }
}

/// What somebody is told of his guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Right,
    Wrong,
    /// Neither.
    Nothing,
}

/// Has `guesses` wait for the writer together with an operation that `fails`, and gives what they were told.
async fn beside(
    ground: &Ground,
    guesses: &[(&str, &str)],
    fails: impl FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static,
) -> Vec<Told> {
    let held = hold(&ground.store);
    let mut waiting: Vec<_> = guesses.iter().map(|(key, code)| Box::pin(ground.bring(key, code))).collect();
    let (first, rest) = waiting.split_at_mut(guesses.len() / 2);
    let mut context = Context::from_waker(Waker::noop());
    for guess in first {
        assert!(guess.as_mut().poll(&mut context).is_pending());
    }
    let failing = send(&ground.store, "fails", fails);
    for guess in rest {
        assert!(guess.as_mut().poll(&mut context).is_pending());
    }
    drop(held);
    assert!(failing.await.is_err());
    let mut told = Vec::new();
    for guess in waiting {
        told.push(guess.await);
    }
    told
}

/// Undoes every guess, and fails.
fn undo(connection: &Connection) -> Result<(), StoreError> {
    connection.execute_batch("DELETE FROM budgets; UPDATE flows SET attempts = 0").map_err(driver)?;
    Err(StoreError::Corrupt { table: "flows", column: "attempts", id: 1 })
}

#[tokio::test]
async fn st_03_a_guess_stays_counted_where_an_operation_of_its_group_fails() {
    let ground = Ground::new().await;
    let code = ground.ask("hers").await;
    ground.ask("his").await;
    let told = beside(&ground, &[("his", "wrong!"); 4], undo).await;
    assert_eq!(told, [Told::Wrong; 4]);
    assert_eq!(ground.counted(&["his"]).await, (4, 4));
    assert_eq!(ground.bring("his", "wrong!").await, Told::Wrong);
    // Which was the last that is compared: not even the right one is.
    assert_eq!(ground.bring("hers", &code).await, Told::Wrong);
    assert_eq!(ground.counted(&["hers", "his"]).await, (5, SHORT_GUESSES));
}

#[tokio::test]
async fn st_03_who_was_not_counted_because_the_whole_group_was_undone_is_told_nothing() {
    let ground = Ground::new().await;
    let code = ground.ask("flow").await;
    // The disk is full: of such a group nothing is left, whoever came before and after.
    let full = |_: &Connection| Err(driver(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_FULL), None)));
    let guesses = [("flow", "wrong!"), ("flow", code.as_str()), ("flow", "wrong!"), ("flow", "wrong!")];
    assert_eq!(beside(&ground, &guesses, full).await, [Told::Nothing; 4]);
    assert_eq!(ground.counted(&["flow"]).await, (0, 0));
    assert_eq!(ground.bring("flow", &code).await, Told::Right);
}

#[tokio::test]
async fn st_03_a_guess_of_which_one_half_cannot_be_written_is_told_nothing_and_the_next_is_counted() {
    let ground = Ground::new().await;
    ground.ask("flow").await;
    // Whichever of the two counts is written first, the other fails then.
    for trigger in [
        "CREATE TRIGGER fails BEFORE INSERT ON budgets BEGIN SELECT RAISE(ABORT, 'on purpose'); END",
        "CREATE TRIGGER fails BEFORE UPDATE ON flows BEGIN SELECT RAISE(ABORT, 'on purpose'); END",
    ] {
        ground.run(trigger).await;
        assert_eq!(ground.bring("flow", "wrong!").await, Told::Nothing, "{trigger}");
        ground.run("DROP TRIGGER fails").await;
        assert_eq!(ground.counted(&["flow"]).await, (0, 0), "both or neither: {trigger}");
    }
    assert_eq!(ground.bring("flow", "wrong!").await, Told::Wrong);
    assert_eq!(ground.counted(&["flow"]).await, (1, 1));
}
