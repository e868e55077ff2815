//! ST-03: a guess counts also where whoever made it does not wait to hear what came of it.

use std::time::Duration;

use engine::{Purpose, Refusal, VerificationOutcome};
use testkit::world::{World, other_than};

use crate::support::*;

/// Waits until so many guesses are counted at all flows together.
async fn counted(world: &World, guesses: i64) {
    for _ in 0..600 {
        if world.row::<i64>("SELECT coalesce(sum(attempts), 0) FROM flows") == guesses {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no {guesses} guesses are counted after a minute");
}

#[tokio::test]
async fn st_03_a_guess_counts_whose_caller_went_away() {
    let mut world = world!();
    let ada = address("ada");
    for key in ["hers", "one", "two"] {
        world.start(key, Purpose::SignInOrUp, &ada).await.unwrap();
    }
    let code = world.code(&ada).await.unwrap();
    let wrong = other_than(&code);
    for (number, key) in (1..).zip(["one", "two", "one", "two", "one"]) {
        begin_and_leave(world.verify(key, &wrong));
        counted(&world, number).await;
    }
    // Five were compared, although nobody was told of one: the right code of another flow is not compared any more.
    let answer = world.verify("two", &code).await;
    assert!(matches!(answer, refused!(Refusal::CodeMismatch { .. })), "{answer:?}");
    assert_eq!(world.events.verified(VerificationOutcome::NotCompared), 1);
    assert_eq!(world.row::<i64>("SELECT sum(attempts) FROM flows"), 5);
    // Nor after the process was another one.
    world.reopen().await;
    let answer = world.verify("two", &code).await;
    assert!(matches!(answer, refused!(Refusal::CodeMismatch { .. })), "{answer:?}");
    world.start("next", Purpose::SignInOrUp, &ada).await.unwrap();
    assert_eq!(world.code(&ada).await.unwrap().len(), 12);
}
