//! A PostgreSQL whose commits wait for a replica, and that goes away.

use std::sync::Arc;
use std::time::Duration;

use engine::{Clock as _, Deaf, Event, Store, StoreError, SystemClock};
use store::{Database, Location, PostgresStore};
use testkit::cluster::{Cluster, TestDatabase};
use testkit::world::Events;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long something is waited for that must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A database whose commits wait for a replica.
struct Pair {
    database: TestDatabase,
    replica: Arc<Cluster>,
    store: Arc<PostgresStore>,
}

impl Pair {
    async fn new() -> Option<Self> {
        let database = Cluster::started().await?.database().await;
        let replica = database.cluster().replica().await;
        let opened = store::open(&Location::parse(&database.url_with(&replica)), Arc::new(Deaf)).await.unwrap();
        let Database::Postgres(store) = opened else { unreachable!("the url is PostgreSQL's") };
        Some(Self { database, replica, store })
    }

    /// A change that waits for the replica, which is gone.
    async fn waiting(&self) -> JoinSet<Result<(), StoreError>> {
        self.store.put_meta("before", b"1".to_vec()).await.unwrap();
        self.replica.crash();
        let store = Arc::clone(&self.store);
        let mut change = JoinSet::new();
        change.spawn(async move { store.put_meta("waiting", b"1".to_vec()).await });
        sleep(Duration::from_secs(2)).await;
        assert!(change.try_join_next().is_none(), "what the replica does not have is not reported as done");
        change
    }
}

#[tokio::test]
async fn a_commit_is_reported_when_the_replica_has_it() {
    let Some(pair) = Pair::new().await else { return };
    let mut change = pair.waiting().await;
    pair.replica.start().await;
    timeout(PATIENCE, change.join_next()).await.unwrap().unwrap().unwrap().unwrap();
    pair.database.cluster().crash();
    pair.replica.promote();
    let answer = async {
        loop {
            match pair.store.meta("waiting").await {
                Ok(found) => return found,
                Err(StoreError::Unavailable(_)) => sleep(Duration::from_millis(20)).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    assert_eq!(timeout(PATIENCE, answer).await.unwrap(), Some(b"1".to_vec()));
}

#[tokio::test]
async fn while_a_replica_is_waited_for_nobody_is_ready() {
    let Some(pair) = Pair::new().await else { return };
    pair.store.ping().await.unwrap();
    pair.replica.crash();
    // However often it is asked, one write waits.
    let mut asked = JoinSet::new();
    for _ in 0..6 {
        let store = Arc::clone(&pair.store);
        asked.spawn(async move { store.ping().await });
    }
    for answer in asked.join_all().await {
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND datname = current_database()";
    assert_eq!(pair.database.ask(waiting), "1");
    pair.replica.start().await;
    let ready = async {
        while pair.store.ping().await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, ready).await.expect("the replica is back");
}

#[tokio::test]
async fn a_commit_of_which_nothing_is_heard_is_not_reported_as_done() {
    let Some(pair) = Pair::new().await else { return };
    let mut change = pair.waiting().await;
    pair.database.cluster().crash();
    let answer = timeout(PATIENCE, change.join_next()).await.unwrap().unwrap().unwrap();
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    pair.replica.start().await;
    pair.replica.promote();
    let in_replica = pair.database.in_replica(&pair.replica);
    assert_eq!(in_replica.ask("SELECT string_agg(name, ',') FROM project_meta"), "before");
}

#[tokio::test]
async fn a_store_closes_although_a_commit_waits_for_a_replica_that_is_gone() {
    let Some(pair) = Pair::new().await else { return };
    let mut change = pair.waiting().await;
    timeout(PATIENCE, pair.store.close()).await.expect("it closes");
    assert!(change.try_join_next().is_none());
}

#[tokio::test]
async fn clocks_that_differ_are_told_and_stop_nobody() {
    let Some(cluster) = Cluster::shared().await else { return };
    let database = cluster.database().await;
    let events = Arc::new(Events::default());
    let opened = store::open(&Location::parse(&database.url()), Arc::clone(&events) as Arc<dyn engine::Observer>).await;
    let Ok(Database::Postgres(store)) = opened else { panic!("the database can be opened") };
    let minute = Duration::from_mins(1);
    let ahead = SystemClock.now().plus(3 * minute);
    let number = store.take_number(ahead, [1; 16]).await.unwrap();
    assert_eq!(store.keep_number(&number, ahead).await.unwrap(), Some(1));
    let told = |event: &Event| match event {
        Event::ClocksCompared { ahead_ms } => Some(*ahead_ms),
        _ => None,
    };
    let told: Vec<_> = events.take().iter().filter_map(told).collect();
    assert_eq!(told.len(), 2, "when it comes up, and whenever it keeps its number");
    assert!(told.iter().all(|ahead_ms| (120_000..=180_000).contains(ahead_ms)), "{told:?}");
    // One whose clock is right finds the number of the other taken.
    assert_eq!(store.take_number(SystemClock.now(), [2; 16]).await.unwrap().get(), number.get() + 1);
}
