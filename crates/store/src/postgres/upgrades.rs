//! From one schema to the next, while a node of the version before is at work.
//!
//! There is one migration yet, so the next one is made up here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use engine::{Address, Deaf, Purpose};
use testkit::world::{Backend, World, unlimited};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::connect::Target;
use super::migrate::{MIGRATIONS, migrate};
use super::open;
use crate::database::CONNECTIONS;
use crate::error::OpenError;

/// What the next version might bring: a column that old rows and old nodes know nothing of, an index, and a table.
const NEXT: &str = "ALTER TABLE flows ADD COLUMN colour TEXT COLLATE \"C\" NOT NULL DEFAULT 'none'; \
                    CREATE INDEX flows_by_colour ON flows (colour) WHERE colour <> 'none'; \
                    ALTER TABLE sessions ADD COLUMN colour TEXT COLLATE \"C\"; \
                    CREATE TABLE colours (name TEXT COLLATE \"C\" PRIMARY KEY)";

/// How long sign-ins may take that go on beside others' work.
const PATIENCE: Duration = Duration::from_mins(1);

fn address(name: &str) -> Address {
    Address::email(&format!("{name}@example.com")).unwrap()
}

async fn signs_in(world: &World, key: &str, address: &Address) {
    world.start(key, Purpose::SignInOrUp, address).await.unwrap();
    let code = world.code(address).await.unwrap();
    world.verify(key, &code).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_nodes_bring_the_schema_up_to_date_at_once_while_one_of_the_version_before_signs_people_in() {
    let Some(world) = World::on(Backend::Postgres, unlimited()).await else { return };
    let world = Arc::new(world);
    let ada = address("ada");
    world.start("live", Purpose::SignInOrUp, &ada).await.unwrap();
    let code = world.code(&ada).await.unwrap();

    let (is_over, signed_in) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let mut working = JoinSet::new();
    working.spawn({
        let (world, is_over, signed_in) = (Arc::clone(&world), Arc::clone(&is_over), Arc::clone(&signed_in));
        async move {
            while !is_over.load(Ordering::SeqCst) {
                let number = signed_in.load(Ordering::SeqCst);
                signs_in(&world, &format!("flow{number}"), &address(&format!("person{number}"))).await;
                signed_in.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let until = async |count: u32| {
        let waiting = async {
            while signed_in.load(Ordering::SeqCst) < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("what is under way goes on");
    };
    until(3).await;
    let url = world.postgres().unwrap().url();
    let migrations = [MIGRATIONS, &[NEXT]].concat();
    let mut nodes = JoinSet::new();
    for _ in 0..2 {
        let (url, migrations) = (url.clone(), migrations.clone());
        nodes.spawn(async move {
            let target = Target::parse(&url).unwrap();
            let mut client = target.connect().await.unwrap();
            migrate(&target, &mut client, &migrations).await.unwrap()
        });
    }
    assert_eq!(nodes.join_all().await.into_iter().sum::<usize>(), 1, "one of them did, and only what was new");
    until(signed_in.load(Ordering::SeqCst) + 3).await;
    is_over.store(true, Ordering::SeqCst);
    working.join_all().await;

    // What was asked for before passes after, and on connections that were made before and after alike.
    let verified = world.verify("live", &code).await.unwrap();
    let session = world.session(verified.session.unwrap().id).await.unwrap();
    assert!(session.is_live(world.engine.now()));
    assert_eq!(world.postgres().unwrap().ask("SELECT count(*) FROM flows WHERE colour <> 'none'"), "0");

    // A node of the version before that was not there already does not come up any more.
    let error = open(&url, CONNECTIONS, Arc::new(Deaf)).await.unwrap_err();
    assert!(matches!(error, OpenError::Newer { .. }), "{error}");
    let target = Target::parse(&url).unwrap();
    let mut client = target.connect().await.unwrap();
    assert_eq!(migrate(&target, &mut client, &migrations).await.unwrap(), 0, "there is nothing to be done any more");
}
