//! What strangers try, on the real binary: nobody guesses in, nobody is locked out, and no mailbox is filled.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use testkit::attack::{Asked, Caller, Entry, Ground, Holds, Outcome, STRATEGIES, Strategy, Surface, play, surfaces};
use testkit::server::Server;
use testkit::world::Backend;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::BINARY;

/// Servers at a time: most of what takes long is an owner's waiting. Half as many where they share a PostgreSQL on this machine.
fn at_a_time() -> usize {
    if Backend::usual() == Backend::Postgres { 4 } else { 8 }
}

/// Smaller than the whole, for a machine that does other things too: `countersign-attack` plays all of it.
const SPRAYED: u32 = 1_600;

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
            // Where nobody signs in, the owner does so beside it.
            alone.truncate(if alone[0].is_entrance() { 1 } else { 2 });
            plays.push((strategy, alone));
        }
    }
    for (strategy, outcome) in play_all(Ground::SendingLifted, plays).await {
        assert_held(&strategy, &outcome);
        assert_eq!(outcome.short, 5, "{}: {outcome:?}", strategy.name);
        assert!(outcome.tried > 5, "{}: {outcome:?}", strategy.name);
    }
}

async fn add(server: &Server, address: &str) {
    let added = server.identity(&["add", address]).await;
    assert_eq!(added.code, Some(0), "{}", added.stderr);
}

/// Asks at `first` for a code to as many addresses as there are `others`, for half of them somebody's, and gives what is said to whoever
/// asks there again, and to somebody elsewhere who asks at each of the others. None where that took too long to say anything.
async fn asked_twice(
    server: &Server,
    first: &dyn Surface,
    others: &[Box<dyn Surface>],
    numbers: &mut std::ops::RangeFrom<u32>,
) -> Option<Vec<(&'static str, Asked)>> {
    let mut addresses = Vec::new();
    for number in numbers.take(others.len()) {
        addresses.push(format!("to-{number}@example.com"));
        if number % 2 == 0 {
            add(server, addresses.last().unwrap()).await;
        }
    }
    let began = Instant::now();
    // Each from a network of its own.
    let mut somebody =
        || Caller::new(server.address(), Ipv4Addr::from_bits(0x0a00_0000 + numbers.next().unwrap()).into());
    let mut flows = Vec::new();
    for address in &addresses {
        match first.ask(&mut somebody(), address).await {
            Asked::Sent(flow) => flows.push(flow),
            Asked::TooSoon(wait) => panic!("{}: nobody asked before, and it is {wait:?}", first.name()),
        }
    }
    // Asking again at once is asking once.
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let mut said = Vec::new();
    for ((address, flow), other) in addresses.iter().zip(&flows).zip(others) {
        said.push((first.name(), first.ask_again(&mut somebody(), address, flow).await));
        said.push((other.name(), other.ask(&mut somebody(), address).await));
    }
    (began.elapsed() < Duration::from_secs(29)).then_some(said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn st_54_whoever_asks_for_whomever_wherever_spends_what_the_address_may_be_sent() {
    let server = Server::dev(BINARY, &["--production-policy", "--trusted-proxy", "127.0.0.1"]).await;
    let (all, mut numbers) = (surfaces(), 1..);
    for address in all.iter().flat_map(|surface| surface.accounts()) {
        add(&server, &address).await;
    }
    for first in &all {
        let mut said = None;
        for _ in 0..10 {
            said = asked_twice(&server, first.as_ref(), &all, &mut numbers).await;
            if said.is_some() {
                break;
            }
        }
        for (name, asked) in said.expect("of ten times, one is fast enough") {
            let Asked::TooSoon(wait) = asked else { panic!("{name} after {}: {asked:?}", first.name()) };
            assert!(wait <= Duration::from_secs(30), "{name} after {}: {wait:?}", first.name());
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn st_54_nothing_that_an_operator_does_sends_anything() {
    let server = Server::dev(BINARY, &["--production-policy"]).await;
    for what in ["add", "unlock"] {
        let ran = server.identity(&[what, "ada@example.com"]).await;
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    }
    #[cfg(feature = "kratos")]
    {
        let person = r#"{"traits": {"email": "bob@example.com"}}"#;
        let mut operator = testkit::server::Client::new(server.admin());
        let made = operator.post("/admin/identities", person).await;
        assert_eq!(made.status, 201, "{}", made.whole());
        let hers = format!("/admin/identities/{}", made.json()["id"].as_str().unwrap());
        let other = r#"[{"op": "replace", "path": "/traits/email", "value": "eve@example.com"}]"#;
        let change = testkit::server::Request::new("PATCH", &hers).header("content-type", "application/json");
        let changed = operator.send(&change.body(other)).await;
        assert_eq!(changed.status, 200, "{}", changed.whole());
    }
    let asked = server.metrics().await.sum("countersign_challenges_total", &[]);
    let shown = server.client().get("/dev/messages").await;
    assert_eq!((asked, shown.text().as_str()), (0, "[]"));
    server.stop().await;
}
