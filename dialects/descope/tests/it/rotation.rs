//! Refresh tokens that are replaced at each use.

use std::sync::Arc;
use std::time::Duration;

use testkit::world::unlimited;
use tokio::task::JoinSet;

use crate::support::{ADA, BOB, Mounted, jwt};

async fn rotating() -> Mounted {
    Mounted::with(unlimited(), "refresh_rotation = true").await
}

#[tokio::test]
async fn a_refresh_replaces_the_refresh_token() {
    let mounted = rotating().await;
    let mut token = mounted.signed_in(ADA).await.refresh_jwt();
    let first = jwt(&token).1;
    for generation in 1..=3 {
        mounted.world.clock.advance(Duration::from_mins(10));
        let next = mounted.refresh(&token).await.ok().refresh_jwt();
        let claims = jwt(&next).1;
        assert_eq!(claims["gen"], generation);
        assert_eq!(claims["iat"], first["iat"].as_i64().unwrap() + 600 * generation);
        assert_eq!((&claims["exp"], &claims["sid"]), (&first["exp"], &first["sid"]), "the end does not move");
        token = next;
    }
}

#[tokio::test]
async fn st_62_four_parallel_refreshes_keep_the_session_and_give_the_same_token() {
    let mounted = Arc::new(rotating().await);
    let token = mounted.signed_in(ADA).await.refresh_jwt();
    for round in 0..3 {
        mounted.world.clock.advance(Duration::from_mins(10));
        let mut tabs = JoinSet::new();
        let fresh = if round == 0 { token.clone() } else { mounted.signed_in(ADA).await.refresh_jwt() };
        for _ in 0..4 {
            let (mounted, token) = (Arc::clone(&mounted), fresh.clone());
            tabs.spawn(async move { mounted.refresh(&token).await });
        }
        let answers = tabs.join_all().await;
        for answer in &answers {
            assert_eq!(answer.status, 200, "{answer}");
            assert_eq!(answer.body, answers[0].body);
        }
        mounted.refresh(&answers[0].refresh_jwt()).await.ok();
    }
}

#[tokio::test]
async fn st_62_an_answer_that_was_lost_is_given_again_byte_for_byte() {
    let mounted = rotating().await;
    let token = mounted.signed_in(ADA).await.refresh_jwt();
    mounted.world.clock.advance(Duration::from_mins(10));
    let lost = mounted.refresh(&token).await.ok().refresh_jwt();
    mounted.world.clock.advance(Duration::from_secs(29));
    let again = mounted.refresh(&token).await.ok();
    assert_eq!(again.refresh_jwt(), lost);
    mounted.world.clock.advance(Duration::from_mins(10));
    mounted.refresh(&lost).await.ok();
}

#[tokio::test]
async fn st_62_a_truly_old_token_ends_the_session() {
    let mounted = rotating().await;
    let old = mounted.signed_in(ADA).await.refresh_jwt();
    mounted.world.clock.advance(Duration::from_mins(10));
    let present = mounted.refresh(&old).await.ok().refresh_jwt();
    mounted.world.clock.advance(Duration::from_secs(30));
    mounted.refresh(&old).await.refused(401, "E064001");
    mounted.refresh(&present).await.refused(401, "E064001");
    let answer = mounted.me(&present).await.refused(401, "E064001");
    assert_eq!(answer.json()["errorMessage"], "Expired due to logout");
}

#[tokio::test]
async fn an_old_token_opens_nothing_else_either() {
    let mounted = rotating().await;
    let old = mounted.signed_in(ADA).await.refresh_jwt();
    mounted.world.clock.advance(Duration::from_mins(10));
    let present = mounted.refresh(&old).await.ok().refresh_jwt();
    mounted.me(&old).await.ok();
    mounted.world.clock.advance(Duration::from_secs(30));
    mounted.me(&old).await.refused(401, "E064001");
    mounted.update(&old, ADA, BOB).await.refused(401, "E064001");
    mounted.me(&present).await.ok();
    mounted.update(&present, ADA, BOB).await.ok();
}
