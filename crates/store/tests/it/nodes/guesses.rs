//! Many guesses at once, at three nodes.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::{Attempt, Purpose, Refusal, VerificationOutcome};
use testkit::world::other_than;

use super::{Nodes, refusal, rounds};
use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn st_01_of_sixty_four_wrong_guesses_at_three_nodes_exactly_five_are_evaluated() {
    let nodes = nodes!();
    for round in 0..rounds() {
        let (key, ada) = (Arc::new(format!("flow{round}")), address(&format!("ada{round}")));
        nodes.one().start(&key, Purpose::SignInOrUp, &ada).await.unwrap();
        let right = nodes.one().code(&ada).await.unwrap();
        let wrong = Arc::new(other_than(&right));
        let answers = nodes
            .at_once(64, |nodes, number| {
                let (key, wrong) = (Arc::clone(&key), Arc::clone(&wrong));
                async move { refusal(nodes.any(number).verify(&key, &wrong).await) }
            })
            .await;
        let left = answers.iter().filter_map(|answer| match answer {
            Some(Refusal::CodeMismatch { left }) => Some(*left),
            _ => None,
        });
        assert_eq!(left.clone().count(), 5);
        assert_eq!(left.collect::<BTreeSet<_>>().len(), 5, "each is told another number");
        assert_eq!(refusal(nodes.any(round).verify(&key, &right).await), Some(Refusal::AttemptsExhausted));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn st_02_of_sixty_four_wrong_guesses_in_as_many_flows_of_one_address_exactly_five_are_evaluated() {
    let nodes = nodes!();
    let events = &nodes.one().events;
    for round in 0..rounds() {
        let ada = address(&format!("ada{round}"));
        let key = move |number: usize| format!("flow {round} {number}");
        let asked = |nodes: Nodes, number| {
            let ada = ada.clone();
            async move { nodes.any(number).start(&key(number), Purpose::SignInOrUp, &ada).await.unwrap() }
        };
        nodes.at_once(64, asked).await;
        events.take();
        let answers = nodes.at_once(64, |nodes, number| async move {
            // Each is brought to another flow than the one before it, some to two of them.
            let world = nodes.any(number);
            let handles = [world.handle(&key(number)), world.handle(&key(63 - number))];
            let handles = if number % 8 == 0 { &handles[..] } else { &handles[..1] };
            refusal(world.engine.verify(&world.context(), Attempt { handles, code: "wrong", session: None }).await)
        });
        let answers = answers.await;
        assert!(answers.iter().all(|answer| matches!(answer, Some(Refusal::CodeMismatch { .. }))), "{answers:?}");
        let address = ada.as_str();
        let counted: i64 =
            nodes.one().row(&format!("SELECT sum(attempts)::bigint FROM flows WHERE address = '{address}'"));
        assert_eq!(counted, 5, "in the flows");
        let missed: i64 =
            nodes.one().row(&format!("SELECT get_byte(stranger, 1)::bigint FROM budgets WHERE address = '{address}'"));
        assert_eq!(missed, 5, "about the address");
        let (missed, passed_over) =
            (events.verified(VerificationOutcome::Mismatch), events.verified(VerificationOutcome::NotCompared));
        assert!(missed <= 5 && missed + passed_over == 64, "{missed} and {passed_over}");
        // Right ones are not compared any more either.
        let right = nodes.one().code(&ada).await.unwrap();
        for number in 0..64 {
            let answer = refusal(nodes.any(number).verify(&key(number), &right).await);
            assert!(matches!(answer, Some(Refusal::CodeMismatch { .. })));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_right_among_sixty_three_wrong_passes_at_most_once_and_five_are_evaluated_at_most() {
    let nodes = nodes!();
    for round in 0..rounds() {
        let (key, ada) = (Arc::new(format!("flow{round}")), address(&format!("ada{round}")));
        nodes.one().start(&key, Purpose::SignInOrUp, &ada).await.unwrap();
        let right = nodes.one().code(&ada).await.unwrap();
        let codes = Arc::new([other_than(&right), right]);
        nodes.one().events.take();
        nodes
            .at_once(64, |nodes, number| {
                let (key, codes) = (Arc::clone(&key), Arc::clone(&codes));
                let is_right = number == round % 64;
                async move { refusal(nodes.any(number).verify(&key, &codes[usize::from(is_right)]).await) }
            })
            .await;
        let events = &nodes.one().events;
        let (passed, missed) =
            (events.verified(VerificationOutcome::Passed), events.verified(VerificationOutcome::Mismatch));
        assert!(passed <= 1 && missed <= 5 && (passed == 1 || missed == 5), "{passed} passed, {missed} missed");
    }
}
