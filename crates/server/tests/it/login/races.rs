//! Many at once on one flow.

use testkit::server::{Client, Server};
use tokio::task::JoinSet;

use super::journey::{Verdict, code_to, other_than, start, verify, verify_request};
use crate::support::BINARY;

/// Sends `code` to the flow `times` times over as many connections that are open already, all at once.
async fn all_at_once(server: &Server, flow: &str, code: &str, times: usize) -> Vec<Verdict> {
    let mut clients = Vec::new();
    for _ in 0..times {
        let mut client = server.client();
        assert_eq!(client.get("/.well-known/jwks.json").await.status, 200);
        clients.push(client);
    }
    let mut sending = JoinSet::new();
    for mut client in clients {
        let request = verify_request(flow, code);
        sending.spawn(async move { Verdict::of(&client.send(&request).await) });
    }
    sending.join_all().await
}

fn passed(verdicts: &[Verdict]) -> usize {
    verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Token(_))).count()
}

async fn verifications(server: &Server, outcome: &str) -> u64 {
    let labels = [r#"dialect="login""#, &format!("outcome=\"{outcome}\"")];
    server.metrics().await.sum("countersign_verifications_total", &labels)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn st_05_of_200_right_answers_at_once_exactly_one_passes() {
    let server = Server::dev(BINARY, &[]).await;
    for address in ["ada@example.com", "ada@example.com", "bob@example.com"] {
        let flow = start(&mut server.client(), address).await;
        let code = code_to(&mut server.client(), address).await;
        let verdicts = all_at_once(&server, &flow, &code, 200).await;
        assert_eq!((verdicts.len(), passed(&verdicts)), (200, 1));
        server.is_secret(&code);
    }
    assert_eq!(verifications(&server, "passed").await, 3);
    assert_eq!(verifications(&server, "replayed").await, 3 * 199);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn st_04_of_500_wrong_guesses_at_once_exactly_5_are_evaluated() {
    let server = Server::dev(BINARY, &[]).await;
    let flow = start(&mut server.client(), "ada@example.com").await;
    let code = code_to(&mut server.client(), "ada@example.com").await;
    let verdicts = all_at_once(&server, &flow, &other_than(&code), 500).await;
    assert_eq!((verdicts.len(), passed(&verdicts)), (500, 0));
    assert_eq!(verifications(&server, "mismatch").await, 5);
    assert_eq!(verifications(&server, "exhausted").await, 495);
    // ST-01: the right one comes too late.
    assert_eq!(verify(&mut server.client(), &flow, &code).await, Verdict::Invalid);
    assert_eq!(verifications(&server, "exhausted").await, 496);
    assert_eq!(verifications(&server, "passed").await, 0);
    server.stop().await;
}

#[tokio::test]
async fn st_01_the_sixth_guess_is_not_looked_at_although_limits_on_sending_are_lifted() {
    let server = Server::dev(BINARY, &[]).await;
    let mut client = server.client();
    for wrong_before in 0..=6 {
        // Each its own address: what is guessed about one counts over all its flows.
        let address = format!("ada-{wrong_before}@example.com");
        let flow = start(&mut client, &address).await;
        let code = code_to(&mut client, &address).await;
        for _ in 0..wrong_before {
            assert_eq!(verify(&mut client, &flow, &other_than(&code)).await, Verdict::Invalid);
        }
        let passes = matches!(verify(&mut client, &flow, &code).await, Verdict::Token(_));
        assert_eq!(passes, wrong_before < 5, "after {wrong_before} wrong ones");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sign_ups_at_once_for_one_address_are_one_person() {
    let server = Server::dev(BINARY, &[]).await;
    for round in 0..5 {
        let address = format!("ada-{round}@example.com");
        let mut asked = Vec::new();
        for _ in 0..8 {
            asked.push(start(&mut server.client(), &address).await);
        }
        let mut signing_in = JoinSet::new();
        let shown = super::journey::messages(&mut server.client(), &address).await;
        // The inbox has the newest first.
        for (flow, message) in asked.into_iter().rev().zip(shown) {
            let mut client = Client::new(server.address());
            let code = message["code"].as_str().unwrap().to_owned();
            signing_in.spawn(async move { verify(&mut client, &flow, &code).await });
        }
        let mut subjects: Vec<_> = signing_in
            .join_all()
            .await
            .into_iter()
            .map(|verdict| match verdict {
                Verdict::Token(token) => super::journey::claims_of(&token)["sub"].as_str().unwrap().to_owned(),
                Verdict::Invalid => panic!("each has its own right code"),
            })
            .collect();
        assert_eq!(subjects.len(), 8);
        subjects.dedup();
        assert_eq!(subjects.len(), 1);
    }
    server.stop().await;
}
