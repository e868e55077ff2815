//! Sessions that an address knows: whoever was signed in at one has a short code there though strangers have spent theirs.

use std::time::Duration;

use testkit::world::other_than;

use crate::support::{ADA, BOB, Browser, Kind, Mounted};

/// Both modes, with accounts for both, and nobody signed in.
async fn each(check: impl AsyncFn(&Mounted)) {
    for mounted in [Mounted::new().await, Mounted::production().await] {
        mounted.has_account(ADA).await;
        mounted.has_account(BOB).await;
        check(&mounted).await;
    }
}

/// Strangers guess as often as they may at codes that Ada is sent.
async fn spend(mounted: &Mounted) {
    for _ in 0..5 {
        let stranger = mounted.browser();
        let attempt = stranger.prepared(Kind::SignIn, ADA).await;
        let wrong = other_than(&mounted.code(ADA).await);
        stranger.verify(&attempt, &wrong).await.refused(400, "INVALID_CODE");
    }
}

async fn sign_out(browser: &Browser<'_>) {
    assert_eq!(browser.post("/session/sign-out", &[]).await.ok().active(), None);
}

/// How long the code is that Ada signs in with at `browser`, asked for once and once more.
async fn signs_in(mounted: &Mounted, browser: &Browser<'_>) -> usize {
    let attempt = browser.prepared(Kind::SignIn, ADA).await;
    let length = mounted.code(ADA).await.len();
    mounted.world.clock.advance(Duration::from_secs(3));
    browser.prepare(&attempt).await.ok();
    let code = mounted.code(ADA).await;
    assert_eq!(code.len(), length);
    assert_eq!(browser.verify(&attempt, &code).await.ok().active().as_deref(), Some(ADA));
    length
}

#[tokio::test]
async fn st_08_a_session_knows_whoever_was_signed_in_at_it_and_nobody_else() {
    each(async |mounted| {
        let [own, shared, foreign, new] = std::array::from_fn(|_| mounted.browser());
        own.signs(Kind::SignIn, ADA).await;
        sign_out(&own).await;
        // She was the first of two who were signed in here.
        shared.signs(Kind::SignIn, ADA).await;
        shared.signs(Kind::SignIn, BOB).await;
        sign_out(&shared).await;
        foreign.signs(Kind::SignIn, BOB).await;
        spend(mounted).await;
        assert_eq!(signs_in(mounted, &own).await, 6);
        assert_eq!(signs_in(mounted, &shared).await, 6);
        assert_eq!(signs_in(mounted, &foreign).await, 12, "somebody else's");
        assert_eq!(signs_in(mounted, &new).await, 12);
        // And again, with the token that each sign-in and sign-out brought.
        for (browser, length) in [(&own, 6), (&new, 6)] {
            sign_out(browser).await;
            assert_eq!(signs_in(mounted, browser).await, length);
        }
    })
    .await;
}

#[tokio::test]
async fn st_08_a_sign_in_that_was_ended_from_elsewhere_or_is_over_is_still_a_proof() {
    each(async |mounted| {
        let [own, other] = std::array::from_fn(|_| mounted.browser());
        own.signs(Kind::SignIn, ADA).await;
        other.signs(Kind::SignIn, ADA).await;
        other.post("/session/sign-out", &[("all_sessions", "true")]).await.ok();
        assert_eq!(own.get("/session").await.ok().active(), None);
        spend(mounted).await;
        assert_eq!(signs_in(mounted, &own).await, 6);
        // Used every few days, the session lasts longer than the sign-in.
        for _ in 0..10 {
            mounted.world.clock.advance(Duration::from_hours(3 * 24));
            own.get("/session").await.ok();
        }
        assert_eq!(own.get("/session").await.ok().active(), None);
        spend(mounted).await;
        assert_eq!(signs_in(mounted, &own).await, 6);
    })
    .await;
}

#[tokio::test]
async fn st_41_a_token_that_was_planted_or_replaced_shows_nothing() {
    each(async |mounted| {
        let [thief, victim] = std::array::from_fn(|_| mounted.browser());
        // Of a session that nobody was signed in at, and of one that he was.
        for is_used in [false, true] {
            thief.get("/session").await.ok();
            if is_used {
                thief.signs(Kind::SignIn, BOB).await;
            }
            let planted = thief.token();
            victim.keep(&planted);
            victim.signs(Kind::SignIn, ADA).await;
            sign_out(&victim).await;
            mounted.world.clock.advance(Duration::from_hours(25));
            spend(mounted).await;
            assert_eq!(thief.token(), planted);
            assert_eq!(signs_in(mounted, &thief).await, 12);
            sign_out(&thief).await;
            assert_eq!(signs_in(mounted, &victim).await, 6);
            thief.keep("");
        }
    })
    .await;
}

#[tokio::test]
async fn a_session_that_was_not_used_for_a_week_is_a_new_one_and_knows_nobody() {
    each(async |mounted| {
        let browser = mounted.browser();
        browser.signs(Kind::SignIn, ADA).await;
        sign_out(&browser).await;
        mounted.world.clock.advance(Duration::from_hours(7 * 24));
        spend(mounted).await;
        assert_eq!(signs_in(mounted, &browser).await, 12);
    })
    .await;
}
