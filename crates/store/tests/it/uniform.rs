//! ST-35 in rows: what a start leaves in the database is as much for an address that nobody owns as for one that somebody does.

use std::collections::BTreeMap;

use engine::{Policy, Purpose, REPEAT, SendLimit, Strangers};
use testkit::world::{World, unlimited};

use crate::support::*;

/// Every table that a request may write to.
const TABLES: [&str; 8] = ["flows", "identities", "addresses", "sessions", "devices", "tickets", "outbox", "budgets"];

/// What differs because it must: it says what kind of message it is.
const SAYS_WHAT: &str = "kind";

/// What is measured, by name, and the query for it: how many rows a table has, and of each column whose values have not all one length
/// how many there are and how long they are together.
fn measures(world: &World) -> Vec<(String, String)> {
    let mut measures = Vec::new();
    for table in TABLES {
        measures.push((format!("{table}: rows"), format!("(SELECT count(*) FROM {table})")));
        let names: String = world.row(&match world.postgres() {
            None => {
                format!("SELECT group_concat(name) FROM pragma_table_info('{table}') WHERE type IN ('TEXT', 'BLOB')")
            }
            Some(_) => format!(
                "SELECT string_agg(column_name::text, ',') FROM information_schema.columns \
                 WHERE table_name = '{table}' AND data_type IN ('text', 'bytea')"
            ),
        });
        for column in names.split(',').filter(|name| *name != SAYS_WHAT) {
            let length = match world.postgres() {
                None => format!("length(hex({column}))"),
                Some(_) => format!("length({column}::text)"),
            };
            measures.push((format!("{table}.{column}: values"), format!("(SELECT count({column}) FROM {table})")));
            let sum = format!("(SELECT coalesce(sum({length}), 0) FROM {table})");
            measures.push((format!("{table}.{column}: length"), sum));
        }
    }
    measures
}

/// All of it as it is now: one query.
fn measured(world: &World, measures: &[(String, String)]) -> BTreeMap<String, i64> {
    let queries: Vec<_> = measures.iter().map(|(_, query)| query.as_str()).collect();
    let all: String = world.row(&format!("SELECT {}", queries.join(" || ',' || ")));
    let values = all.split(',').map(|value| value.parse().unwrap());
    measures.iter().map(|(name, _)| name.clone()).zip(values).collect()
}

/// What grew from `before` to `after`, and by how much.
fn grown(before: &BTreeMap<String, i64>, after: &BTreeMap<String, i64>) -> BTreeMap<String, i64> {
    let grown = after.iter().map(|(name, now)| (name.clone(), now - before[name]));
    grown.filter(|(_, by)| *by != 0).collect()
}

/// What asking for `name` leaves: once, a second time in the same flow, and after a wrong code.
async fn left(
    world: &World,
    measures: &[(String, String)],
    (purpose, strangers): (Purpose, Strangers),
    name: &str,
) -> Vec<BTreeMap<String, i64>> {
    let mut left = Vec::new();
    let mut before = measured(world, measures);
    let mut note = |left: &mut Vec<_>| {
        let after = measured(world, measures);
        left.push(grown(&before, &after));
        before = after;
    };
    let key = format!("{purpose:?} {strangers:?} {name}");
    let mut challenge = world.challenge(&key, purpose, &address(name));
    challenge.strangers = strangers;
    challenge.link = Some(engine::Secret::new("https://accounts.example.com/verification?code={code}".to_owned()));
    challenge.memo = Some("a note".to_owned());
    for _ in 0..2 {
        world.engine.start_challenge(&world.context(), challenge.clone()).await.unwrap();
        note(&mut left);
        world.clock.advance(REPEAT);
    }
    world.verify(&key, "wrong!").await.unwrap_err();
    note(&mut left);
    left
}

#[tokio::test]
async fn st_35_a_start_leaves_as_many_rows_and_bytes_whoever_owns_the_address() {
    let limit = SendLimit { apart: REPEAT, ..SendLimit::default() };
    let world = world!(Policy { send_limit: Some(limit), ..unlimited() });
    let measures = measures(&world);
    let purposes = [Purpose::SignIn, Purpose::SignUp, Purpose::SignInOrUp, Purpose::VerifyAddress];
    for (number, purpose) in purposes.into_iter().enumerate() {
        for (strangers, kind) in [(Strangers::Silent, "s"), (Strangers::Told, "t")] {
            // All as long as each other, and each asked about for the first time.
            let [proven, unproven, nobody] =
                ["proven", "doubts", "nobody"].map(|name| format!("{name}-{kind}{number}"));
            world.sign_in(&proven, &address(&proven)).await;
            world.engine.forgive(world.project(), &address(&proven)).await.unwrap();
            world.engine.register(world.project(), address(&unproven)).await.unwrap();
            let unknown = left(&world, &measures, (purpose, strangers), &nobody).await;
            for name in [&proven, &unproven] {
                assert_eq!(left(&world, &measures, (purpose, strangers), name).await, unknown, "{purpose:?}: {name}");
            }
            let [first, second, _] = unknown.as_slice() else { panic!("three steps") };
            for table in ["flows", "outbox", "budgets"] {
                assert_eq!(first[&format!("{table}: rows")], 1, "{purpose:?}: {first:?}");
            }
            assert_eq!(second["outbox: rows"], 1, "{purpose:?}: {second:?}");
        }
    }
}
