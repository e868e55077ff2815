//! What strangers try, on the real binary: nobody guesses in, nobody is locked out, and no mailbox is filled.

use std::sync::Arc;
use std::time::Duration;

use testkit::attack::{Entry, Ground, Holds, Outcome, STRATEGIES, Strategy, Surface, play, surfaces};
use testkit::world::Backend;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::BINARY;

/// Servers at a time: most of what takes long is an owner's waiting. Half as many where they share a PostgreSQL on this machine.
fn at_a_time() -> usize {
    if Backend::usual() == Backend::Postgres { 4 } else { 8 }
}

/// Smaller than the whole, for a machine that does other things too: `countersign-attack` plays all of it.
const SPRAYED: u32 = 1_300;

fn strategies() -> Vec<Strategy> {
    let smaller = |strategy: Strategy| Strategy { victims: strategy.victims.min(SPRAYED), ..strategy };
    STRATEGIES.into_iter().map(smaller).collect()
}

/// The surfaces, beginning with another one for each `number`.
fn turned(number: usize) -> Vec<Box<dyn Surface>> {
    let mut all = surfaces();
    let many = all.len();
    all.rotate_left(number % many);
    all
}

async fn play_all(ground: Ground, plays: Vec<(Strategy, Vec<Box<dyn Surface>>)>) -> Vec<(Strategy, Outcome)> {
    let places = Arc::new(Semaphore::new(at_a_time()));
    let mut playing = JoinSet::new();
    for (strategy, surfaces) in plays {
        let places = Arc::clone(&places);
        playing.spawn(async move {
            let _place = places.acquire().await.unwrap();
            let outcome = play(BINARY, ground, surfaces, &strategy).await;
            println!("{}: {outcome:?}", strategy.name);
            (strategy, outcome)
        });
    }
    playing.join_all().await
}

/// What must be true however it was attacked.
fn assert_held(strategy: &Strategy, outcome: &Outcome) {
    let told = format!("{}: {outcome:?}", strategy.name);
    assert_eq!(outcome.guessed, 0, "{told}");
    let kinds = if strategy.holds == Holds::KnownDevice { 2 } else { 1 };
    assert!(outcome.short <= 5 * kinds * u64::from(strategy.victims), "{told}");
    let Entry::In { steps, length } = outcome.known else { panic!("{told}") };
    assert!(steps <= 3, "{told}");
    if strategy.holds == Holds::Nothing {
        assert_eq!(length, 6, "a known device has a short code: {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn st_02_st_08_st_10_whatever_a_stranger_does_he_guesses_five_codes_and_the_owner_signs_in() {
    let plays = strategies().into_iter().enumerate().map(|(number, strategy)| (strategy, turned(number)));
    for (strategy, outcome) in play_all(Ground::Production, plays.collect()).await {
        assert_held(&strategy, &outcome);
        let told = format!("{}: {outcome:?}", strategy.name);
        assert!(outcome.mails <= 10, "{told}");
        if strategy.networks() == 1 {
            assert!(outcome.mails <= 3, "in an hour, from one network: {told}");
        }
        match outcome.new {
            Entry::In { steps, .. } => assert!(steps <= 3, "{told}"),
            // The one thing that may keep a new device waiting: what strangers may send is spent, from two networks at least.
            Entry::TooSoon(wait) => {
                assert!(strategy.networks() >= 2 && outcome.mails >= 5 && wait <= Duration::from_hours(24), "{told}");
            }
            Entry::Refused => panic!("{told}"),
        }
        if strategy.victims > 1_000 {
            assert!(outcome.is_broken && !outcome.is_capped, "{told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn st_02_st_35_what_may_be_guessed_holds_by_itself_where_sending_is_not_limited() {
    let plays = strategies().into_iter().enumerate().filter(|(_, strategy)| strategy.victims == 1);
    let plays = plays.map(|(number, strategy)| (strategy, turned(number + 1)));
    for (strategy, outcome) in play_all(Ground::SendingLifted, plays.collect()).await {
        assert_held(&strategy, &outcome);
        let told = format!("{}: {outcome:?}", strategy.name);
        let Entry::In { steps, length } = outcome.new else { panic!("{told}") };
        assert!(steps <= 3, "{told}");
        assert_eq!(length == 12, outcome.short >= 5, "a spent budget makes codes long, and only that: {told}");
        if strategy.guesses > 0 && strategy.flows > 1 {
            assert!(outcome.short >= 5, "he had his guesses: {told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn st_04_each_surface_alone_compares_five_codes_64_at_a_time() {
    let mut plays = Vec::new();
    for number in 0..surfaces().len() {
        for name in ["many flows, 64 at a time", "one flow, 64 at a time", "SIGKILL in between"] {
            let strategy = STRATEGIES.into_iter().find(|strategy| strategy.name == name).unwrap();
            let mut alone = turned(number);
            alone.truncate(1);
            plays.push((strategy, alone));
        }
    }
    for (strategy, outcome) in play_all(Ground::SendingLifted, plays).await {
        assert_held(&strategy, &outcome);
        assert_eq!(outcome.short, 5, "{}: {outcome:?}", strategy.name);
        assert!(outcome.tried > 5, "{}: {outcome:?}", strategy.name);
    }
}
