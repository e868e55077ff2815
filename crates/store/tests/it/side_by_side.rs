//! The random machine: one sequence of operations on the store in memory, on SQLite and on PostgreSQL side by side. After each step
//! all must have answered alike, and at the end keep the same, row by row.
//!
//! The sequences follow from seeds: the [`SEEDS`] of each [`Rules`], the same in each run. `COUNTERSIGN_TEST_SEEDS=100..200` plays
//! others. A sequence on which the stores differ is made as short as it can be while they do, and told with the step and the rows.

mod answers;
mod steps;

use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use engine::{Event, Policy, SendLimit};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use testkit::env::ManualClock;
use testkit::world::{Backend, World};
use tokio::runtime::Runtime;

use crate::image::{self, Rows};
use answers::{Answer, FAILED, Known};
use steps::{Step, step};

/// Which sequences are played under each of the [`Rules`].
const SEEDS: Range<u64> = 0..8;
/// How long they are.
const STEPS: Range<usize> = 80..140;

/// What is played under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    /// Only guesses are limited.
    Unlimited,
    /// Messages are, too, as in production.
    Limited,
    /// Answers tell who has an account.
    Telling,
}

impl Rules {
    fn policy(self) -> Policy {
        Policy {
            send_limit: (self == Self::Limited).then(SendLimit::default),
            sign_up: true,
            reveals_accounts: self == Self::Telling,
            ..Policy::default()
        }
    }
}

/// The stores that there are here. PostgreSQL's database is made once and emptied for each sequence.
struct Stores {
    runtime: Runtime,
    rules: Rules,
    postgres: Option<World>,
}

impl Stores {
    fn new(rules: Rules) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let postgres = runtime.block_on(async {
            let world = World::on(Backend::Postgres, rules.policy()).await?;
            // Its number is the first one, which the worlds of the sequences shall have.
            world.stop().await;
            Some(world)
        });
        Self { runtime, rules, postgres }
    }

    /// A new world on each, all of them empty.
    async fn worlds(&self) -> Vec<(Backend, World)> {
        let mut worlds = Vec::new();
        for backend in [Backend::Memory, Backend::Sqlite] {
            worlds.push((backend, World::on(backend, self.rules.policy()).await.unwrap()));
        }
        if let Some(world) = &self.postgres {
            let tables = "SELECT string_agg(tablename, ', ') FROM pg_tables WHERE schemaname = 'public' \
                          AND tablename <> 'schema_migrations'";
            let database = world.postgres().unwrap();
            database.ask(&format!("TRUNCATE {}", database.ask(tables)));
            world.clock.set(ManualClock::BEGINNING);
            world.events.take();
            worlds.push((Backend::Postgres, world.beside(1).await));
        }
        worlds
    }

    /// Plays a sequence on all of them.
    ///
    /// # Errors
    /// Where they differ, and in what.
    fn play(&self, steps: &[Step], comparing: Comparing) -> Result<(), Difference> {
        self.runtime.block_on(async {
            let mut worlds = self.worlds().await;
            let played = play(&mut worlds, steps, comparing).await;
            for (_, world) in &worlds {
                world.stop().await;
            }
            played
        })
    }
}

/// How the stores differ.
#[derive(Debug)]
struct Difference {
    /// After which step.
    step: usize,
    /// In what.
    what: String,
}

/// When the rows of the stores are compared. Answers always are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparing {
    /// After the last step.
    Once,
    /// After each.
    Always,
}

async fn play(worlds: &mut [(Backend, World)], steps: &[Step], comparing: Comparing) -> Result<(), Difference> {
    let mut known = Known::default();
    for (number, step) in steps.iter().enumerate() {
        let at = |what: String| Difference { step: number, what };
        let mut answers = Vec::new();
        for (backend, world) in worlds.iter_mut() {
            // Things happen at once, but not all of them: what was done first and what next is to be seen in the rows.
            world.clock.advance(Duration::from_millis(u64::from(number % 2 == 0)));
            let mut answer = answers::play(world, &known, step).await;
            let events = world.events.take();
            // What the database takes, and that the node asked it for the time, is each store's own.
            let is_its_own = |it: &Event| {
                matches!(it, Event::Stored { .. } | Event::Committed { .. } | Event::ClocksCompared { .. })
            };
            let told = events.into_iter().filter(|it| !is_its_own(it));
            write!(answer.said, " {:?}", told.collect::<Vec<_>>()).unwrap();
            answers.push((*backend, answer));
        }
        let (first, expected) = &answers[0];
        if expected.said.contains(FAILED) {
            return Err(at(format!("{first:?} failed: {}", expected.said)));
        }
        for (backend, answer) in &answers[1..] {
            if answer != expected {
                return Err(at(unlike((*first, expected), (*backend, answer))));
            }
        }
        known.learn(answers.swap_remove(0).1);
        if comparing == Comparing::Always || number + 1 == steps.len() {
            same_rows(worlds).map_err(at)?;
        }
    }
    Ok(())
}

/// Tells which lines of two answers differ, or that what later steps may name does.
fn unlike((first, expected): (Backend, &Answer), (backend, answer): (Backend, &Answer)) -> String {
    let pairs = expected.said.lines().zip(answer.said.lines()).filter(|(one, other)| one != other);
    let pairs: Vec<_> = pairs.map(|(one, other)| format!("{first:?} says {one}\n{backend:?} says {other}")).collect();
    if pairs.is_empty() { format!("{first:?}: {expected:#?}\n{backend:?}: {answer:#?}") } else { pairs.join("\n") }
}

/// Whether all keep the same.
fn same_rows(worlds: &[(Backend, World)]) -> Result<(), String> {
    let kept: Vec<_> = worlds.iter().map(|(backend, world)| (*backend, image::rows(world))).collect();
    let (first, expected) = &kept[0];
    for (backend, rows) in &kept[1..] {
        if rows != expected {
            let mut told = String::new();
            only(&mut told, *first, expected, rows);
            only(&mut told, *backend, rows, expected);
            return Err(told);
        }
    }
    Ok(())
}

/// Tells which rows of `one` are not those of `other`.
fn only(told: &mut String, backend: Backend, one: &Rows, other: &Rows) {
    for (table, rows) in one {
        for row in rows.difference(&other[table]) {
            writeln!(told, "only {backend:?} has in {table}: {row}").unwrap();
        }
    }
}

/// The seeds that are asked for, or the usual ones.
fn seeds() -> Range<u64> {
    let Some(asked) = std::env::var_os("COUNTERSIGN_TEST_SEEDS") else { return SEEDS };
    let asked = asked.into_string().unwrap();
    let (first, end) = asked.split_once("..").expect("seeds are asked for as in 100..200");
    first.parse().unwrap()..end.parse().unwrap()
}

/// What is played for a seed: something else under each of the rules.
fn sequence(rules: Rules, seed: u64) -> Vec<Step> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8] = rules as u8;
    let config = Config { failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    prop::collection::vec(step(), STEPS).new_tree(&mut runner).unwrap().current()
}

/// As few of the steps as still make the stores differ: none of them can be left out, and no few that follow each other.
fn shortest(stores: &Stores, mut steps: Vec<Step>) -> Vec<Step> {
    let mut size = steps.len() / 2;
    while size > 0 {
        let mut first = 0;
        while first < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(first..steps.len().min(first + size));
            match stores.play(&fewer, Comparing::Once) {
                Err(_) => steps = fewer,
                Ok(()) => first += size,
            }
        }
        size /= 2;
    }
    steps
}

/// Plays the sequences of all seeds, and panics with the shortest on which the stores differ.
fn play_all(rules: Rules) {
    let stores = Stores::new(rules);
    for seed in seeds() {
        let mut steps = sequence(rules, seed);
        let Err(found) = stores.play(&steps, Comparing::Once) else { continue };
        // With the rows compared after each step: where they first differ is the step to look at.
        let found = stores.play(&steps, Comparing::Always).err().unwrap_or(found);
        steps.truncate(found.step + 1);
        let steps = shortest(&stores, steps);
        let found = stores.play(&steps, Comparing::Always).err().unwrap_or(found);
        let listed: Vec<_> = steps.iter().enumerate().map(|(number, step)| format!("{number}: {step:?}")).collect();
        let (step, what) = (found.step, found.what);
        panic!("the stores differ ({rules:?}, seed {seed}) after\n{}\nat step {step}:\n{what}", listed.join("\n"));
    }
}

#[test]
fn the_stores_are_one_where_only_guesses_are_limited() {
    play_all(Rules::Unlimited);
}

#[test]
fn the_stores_are_one_where_messages_are_limited() {
    play_all(Rules::Limited);
}

#[test]
fn the_stores_are_one_where_accounts_are_told() {
    play_all(Rules::Telling);
}
