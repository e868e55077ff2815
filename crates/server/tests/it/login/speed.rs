//! What a start and a verification cost.

use std::collections::BTreeMap;
use std::time::Duration;

use testkit::server::Server;
use tokio::time::Instant;

use super::journey::{Verdict, code_to, other_than, start, verify};
use crate::support::BINARY;

/// What the server does for itself, whoever asks for what.
const UPKEEP: [&str; 4] = ["lease", "settle", "sweep", "add_signing_key"];

/// How often each operation of the store was done, upkeep aside.
async fn operations(server: &Server) -> BTreeMap<String, u64> {
    const METRIC: &str = "countersign_store_seconds_count";
    let metrics = server.metrics().await;
    let counted = metrics.values_of(METRIC, "op").into_iter().filter(|name| !UPKEEP.contains(&name.as_str()));
    counted
        .map(|name| {
            let count = metrics.sum(METRIC, &[&format!("op=\"{name}\"")]);
            (name, count)
        })
        .collect()
}

#[tokio::test]
async fn a_start_and_a_verification_are_one_operation_of_the_store_each() {
    let server = Server::dev(BINARY, &[]).await;
    let mut client = server.client();
    // The first sign-ups and everything that happens once. Several, so that no address has all its wrong guesses.
    for known in ["ada-0@example.com", "ada-1@example.com", "ada-2@example.com"] {
        let flow = start(&mut client, known).await;
        let code = code_to(&mut client, known).await;
        assert!(matches!(verify(&mut client, &flow, &code).await, Verdict::Token(_)));
    }

    let mut expected = operations(&server).await;
    assert_eq!((expected["start"], expected["verify"]), (3, 3), "{expected:?}");
    for round in 0..20 {
        // Known and unknown, right, wrong, again and never: each is one.
        let known = format!("ada-{}@example.com", round / 2 % 3);
        let address = if round % 2 == 0 { known } else { format!("new-{round}@example.com") };
        let flow = start(&mut client, &address).await;
        let code = code_to(&mut client, &address).await;
        assert_eq!(verify(&mut client, &flow, &other_than(&code)).await, Verdict::Invalid);
        assert!(matches!(verify(&mut client, &flow, &code).await, Verdict::Token(_)));
        assert_eq!(verify(&mut client, &flow, &code).await, Verdict::Invalid);
        let unknown = "00000000-0000-4000-8000-000000000000";
        assert_eq!(verify(&mut client, unknown, &code).await, Verdict::Invalid);
        *expected.get_mut("start").unwrap() += 1;
        *expected.get_mut("verify").unwrap() += 4;
    }
    assert_eq!(client.get("/.well-known/jwks.json").await.status, 200);
    assert_eq!(operations(&server).await, expected);
    server.stop().await;
}

/// The code behind the figure is bounded by a test of the engine's; here it is seen through a socket and the disk.
#[tokio::test]
async fn st_44_a_verification_costs_no_more_than_a_commit() {
    let server = Server::dev(BINARY, &[]).await;
    let mut client = server.client();
    let mut took = Vec::new();
    for number in 0..150 {
        let flow = start(&mut client, &format!("speed-{number}@example.com")).await;
        let began = Instant::now();
        assert_eq!(verify(&mut client, &flow, "wrong!").await, Verdict::Invalid);
        took.push(began.elapsed());
    }
    took.sort_unstable();
    let (median, slow) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    println!("a verification over HTTP: median {median:?}, 99th percentile {slow:?}");
    // A slow hash (bcrypt at 12: a quarter of a second each) would show even here, on a machine that does other things, too.
    assert!(median < Duration::from_millis(150), "{median:?}");
    server.stop().await;
}
