//! How long answers take, for addresses somebody has and addresses nobody has.

use std::time::Duration;

use testkit::server::{Client, Request, Server};
use tokio::time::Instant;

use super::journey::{START, VERIFY};
use crate::support::{BINARY, NO_RELAY, configuration, folder_with};

/// What production limits, but for how much may be sent.
const SENDING_RAISED: &str = "messages_apart_seconds = 0
messages_per_hour = 200
messages_per_day = 200
messages_per_hour_and_network = 200
messages_per_day_and_network = 200
network_messages_per_hour = 1000000
project_messages_per_hour = 1000000";

/// So many addresses of each kind.
const ADDRESSES: usize = 20;
/// So many requests of each of the two kinds, starts and verifications each, before anything is said; as many again while noise has the say.
const REQUESTS: usize = 1_000;
const MOST_ROUNDS: usize = 3;
const LEAST_BOUND: Duration = Duration::from_micros(200);

/// Two kinds of known addresses, to see what a gap between like and like is, and unknown ones.
const KINDS: [&str; 3] = ["known", "known-too", "unknown"];

/// What one request of each kind took.
#[derive(Debug, Default)]
struct Took([Vec<Duration>; 3]);

impl Took {
    fn medians(&self) -> [Duration; 3] {
        [0, 1, 2].map(|kind| median(self.0[kind].clone()))
    }

    /// The gap between known and unknown addresses, and the most that it may be.
    fn gap(&self) -> (Duration, Duration) {
        let [one, other, unknown] = self.medians();
        let known = median(self.0[0].iter().chain(&self.0[1]).copied().collect());
        (known.abs_diff(unknown), LEAST_BOUND.max(one.abs_diff(other) * 3))
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

async fn timed(client: &mut Client, request: &Request) -> (Duration, String, Vec<String>) {
    let began = Instant::now();
    let answer = client.send(request).await;
    let took = began.elapsed();
    let names = answer.headers.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(answer.status, 200, "{}", answer.whole());
    (took, answer.text(), names)
}

#[tokio::test]
async fn st_35_known_and_unknown_addresses_are_answered_as_fast() {
    let folder = folder_with(&configuration(NO_RELAY, SENDING_RAISED));
    let environment = [("COUNTERSIGN__ORIGIN", "http://127.0.0.1:1")];
    for kind in &KINDS[..2] {
        for number in 0..ADDRESSES / 2 {
            let arguments = ["identity", "add", &format!("{kind}-{number}@example.com")];
            let ran = testkit::server::run(BINARY, folder.path(), &arguments, &environment).await;
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        }
    }
    let server = Server::serve(BINARY, folder, &[]).await;
    let mut client = server.client();
    let (mut starts, mut verifications) = (Took::default(), Took::default());
    let mut answers = Vec::new();
    // An order that repeats in every run and in which nobody always comes after somebody: what one request leaves to be done falls
    // on all kinds alike.
    let mut chance = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..MOST_ROUNDS {
        for request in 0..REQUESTS * 2 {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Half of them known: of either kind as often.
            let kind = [0, 1, 2, 2][usize::try_from(chance >> 62).unwrap()];
            let number = (request + round) % (ADDRESSES / if kind == 2 { 1 } else { 2 });
            let email = format!("{}-{number}@example.com", KINDS[kind]);
            let start = Request::post(START, format!(r#"{{"email":"{email}"}}"#));
            let (took, body, names) = timed(&mut client, &start).await;
            starts.0[kind].push(took);
            let token = body.split('"').find(|text| text.len() == 36).unwrap().to_owned();
            answers.push((kind == 2, body.replace(&token, "masked"), names));
            let verify = Request::post(VERIFY, format!(r#"{{"auth_flow_token":"{token}","code":"000000x"}}"#));
            let (took, body, names) = timed(&mut client, &verify).await;
            verifications.0[kind].push(took);
            answers.push((kind == 2, body.replace(&token, "masked"), names));
        }
        println!("starts {:?} {:?}", starts.medians(), starts.gap());
        println!("verifications {:?} {:?}", verifications.medians(), verifications.gap());
        let is_even = |(gap, bound): (Duration, Duration)| gap <= bound;
        if is_even(starts.gap()) && is_even(verifications.gap()) {
            break;
        }
        // Other programs have the machine, too. A gap that is there stays with more requests; noise goes.
        assert!(
            round + 1 < MOST_ROUNDS,
            "{starts:?} {verifications:?}",
            starts = starts.gap(),
            verifications = verifications.gap()
        );
    }
    // And every answer is the same but for the flow's token.
    let (known, unknown): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(is_unknown, ..)| !is_unknown);
    let distinct = |answers: Vec<(bool, String, Vec<String>)>| {
        answers.into_iter().map(|(_, body, names)| (body, names)).collect::<std::collections::BTreeSet<_>>()
    };
    let (known, unknown) = (distinct(known), distinct(unknown));
    assert_eq!(known, unknown);
    assert_eq!(known.len(), 2, "one for every start, one for every verification");
    server.stop().await;
}
