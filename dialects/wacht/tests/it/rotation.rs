//! Sessions and their tokens: rotated whenever what they may do changes, and nobody is logged out by it. ST-41.

use std::time::Duration;

use serde_json::{Value, json};

use crate::attempt::join_all;
use crate::support::{ADA, BOB, Kind, Mounted};

async fn each(check: impl AsyncFn(&Mounted)) {
    for mounted in [Mounted::new().await, Mounted::production().await] {
        mounted.has_account(ADA).await;
        check(&mounted).await;
    }
}

#[tokio::test]
async fn st_41_a_session_that_was_planted_is_worth_nothing_once_somebody_has_signed_in() {
    each(async |mounted| {
        let (thief, victim) = (mounted.browser(), mounted.browser());
        thief.get("/session").await.ok();
        let planted = thief.token();
        victim.keep(&planted);
        let answer = victim.signs(Kind::SignIn, ADA).await;
        assert_ne!(victim.token(), planted);
        for _ in 0..2 {
            let seen = thief.get("/session").await.ok();
            assert_eq!(seen.session()["active_signin"], Value::Null);
            assert_eq!((&seen.session()["signins"], &seen.session()["signin_attempts"]), (&json!([]), &json!([])));
            assert_ne!(seen.session()["id"], answer.session()["id"]);
            thief.get("/me").await.refused(401, "NOT_AUTHENTICATED");
            thief.get("/session/token").await.refused(401, "NOT_AUTHENTICATED");
            thief.keep(&planted);
            mounted.world.clock.advance(Duration::from_mins(1));
        }
        assert_eq!(victim.get("/session").await.ok().active().as_deref(), Some(ADA));
    })
    .await;
}

#[tokio::test]
async fn st_41_parallel_polls_do_not_log_anybody_out() {
    each(async |mounted| {
        let browser = mounted.browser();
        let attempt = browser.prepared(Kind::SignIn, ADA).await;
        let code = mounted.code(ADA).await;
        let before = browser.token();
        let polls = [mounted.browser(), mounted.browser()];
        for poll in &polls {
            poll.keep(&before);
        }
        // They were sent before the answer arrived, and arrive in whatever order.
        let asked: Vec<std::pin::Pin<Box<dyn Future<Output = crate::support::Answer>>>> = vec![
            Box::pin(polls[0].get("/session")),
            Box::pin(browser.verify(&attempt, &code)),
            Box::pin(polls[1].get("/session")),
        ];
        for answer in join_all(asked).await {
            answer.ok();
        }
        let after = browser.token();
        assert_ne!(after, before);
        for late in [Duration::ZERO, Duration::from_millis(59_999)] {
            mounted.world.clock.advance(late);
            let poll = mounted.browser();
            poll.keep(&before);
            let answer = poll.get("/session").await.ok();
            assert_eq!(answer.token(), None, "it carries no token that would take the place of the good one");
            assert_eq!(answer.active(), None);
        }
        for poll in polls {
            assert_eq!(poll.token(), before, "no poll was given any token");
        }
        mounted.world.clock.advance(Duration::from_millis(1));
        let poll = mounted.browser();
        poll.keep(&before);
        assert!(
            poll.get("/session").await.ok().token().is_some_and(|token| token != before),
            "later it is a new session"
        );
        assert_eq!(browser.get("/session").await.ok().active().as_deref(), Some(ADA));
    })
    .await;
}

#[tokio::test]
async fn st_41_an_answer_that_is_overtaken_by_a_sign_in_carries_nothing_in_its_place() {
    each(async |mounted| {
        let browser = mounted.browser();
        browser.get("/session").await.ok();
        let attempt = browser.prepared(Kind::SignIn, ADA).await;
        let code = mounted.code(ADA).await;
        // Asked and answered before, whenever it arrives, and however old the token is.
        for _ in 0..2 {
            let poll = mounted.browser();
            poll.keep(&browser.token());
            assert_eq!(poll.get("/session").await.ok().token(), None);
            assert_eq!(browser.prepare(&attempt).await.ok().token(), None);
            mounted.world.clock.advance(Duration::from_mins(2));
        }
        assert!(browser.verify(&attempt, &code).await.ok().token().is_some());
        assert_eq!(browser.get("/session").await.ok().active().as_deref(), Some(ADA));
    })
    .await;
}

#[tokio::test]
async fn a_session_that_is_used_goes_on_and_one_that_is_not_ends_after_a_week() {
    each(async |mounted| {
        let browser = mounted.browser();
        browser.signs(Kind::SignIn, ADA).await;
        let first = browser.token();
        mounted.world.clock.advance(Duration::from_hours(24) - Duration::from_secs(1));
        assert_eq!(browser.get("/session").await.ok().token(), None);
        mounted.world.clock.advance(Duration::from_secs(1));
        browser.open(Kind::SignIn, BOB).await.ok();
        assert_eq!(browser.get("/session").await.ok().token(), None, "not while somebody may be about to sign in");
        mounted.world.clock.advance(Duration::from_mins(10));
        assert!(browser.get("/session").await.ok().token().is_some());
        let second = browser.token();
        assert_ne!(first, second);
        let old = mounted.browser();
        old.keep(&first);
        assert_eq!(
            old.get("/session").await.ok().active().as_deref(),
            Some(ADA),
            "the first is good for its week still"
        );
        mounted.world.clock.advance(Duration::from_secs(6 * 86_400 - 601));
        for token in [&first, &second] {
            old.keep(token);
            assert_eq!(old.get("/session").await.ok().active().as_deref(), Some(ADA));
        }
        mounted.world.clock.advance(Duration::from_secs(1));
        old.keep(&first);
        assert_eq!(old.get("/session").await.ok().active(), None);
        assert_ne!(old.token(), first);
        browser.keep(&second);
        assert_eq!(browser.get("/session").await.ok().active().as_deref(), Some(ADA));
    })
    .await;
}

#[tokio::test]
async fn a_session_that_nobody_is_signed_in_at_is_not_kept_up() {
    each(async |mounted| {
        let browser = mounted.browser();
        let id = browser.get("/session").await.ok().session()["id"].clone();
        mounted.world.clock.advance(Duration::from_hours(7 * 24) - Duration::from_secs(1));
        let answer = browser.get("/session").await.ok();
        assert_eq!((answer.token(), &answer.session()["id"]), (None, &id));
        mounted.world.clock.advance(Duration::from_secs(1));
        assert_ne!(browser.get("/session").await.ok().session()["id"], id);
    })
    .await;
}

#[tokio::test]
async fn what_a_replaced_token_would_begin_or_end_is_refused() {
    each(async |mounted| {
        let browser = mounted.browser();
        browser.get("/session").await.ok();
        let before = browser.token();
        browser.signs(Kind::SignIn, ADA).await;
        let late = mounted.browser();
        late.keep(&before);
        let stored = mounted.world.events.stored();
        late.open(Kind::SignIn, BOB).await.refused(400, "INVALID_STATE");
        late.open(Kind::SignUp, BOB).await.refused(400, "INVALID_STATE");
        late.post("/session/sign-out", &[]).await.refused(400, "INVALID_STATE");
        late.post("/session/switch-sign-in", &[("sign_in_id", "1")]).await.refused(401, "NOT_AUTHENTICATED");
        assert_eq!(late.token(), before);
        assert_eq!(mounted.world.events.stored() - stored, 0);
        assert_eq!(browser.get("/session").await.ok().active().as_deref(), Some(ADA));
    })
    .await;
}

#[tokio::test]
async fn signing_out_and_switching_rotate_too() {
    each(async |mounted| {
        mounted.has_account(BOB).await;
        let browser = mounted.browser();
        let ada = browser.signs(Kind::SignIn, ADA).await.session()["active_signin_id"].clone();
        let bob = browser.signs(Kind::SignIn, BOB).await.session()["active_signin_id"].clone();
        let mut tokens = vec![browser.token()];
        let id = ada.as_str().unwrap();
        let switched = browser.post(&format!("/session/switch-sign-in?sign_in_id={id}"), &[]).await.ok();
        assert_eq!(switched.active().as_deref(), Some(ADA));
        tokens.push(browser.token());
        let id = bob.as_str().unwrap();
        let left = browser.post(&format!("/session/sign-out?sign_in_id={id}"), &[]).await.ok();
        assert_eq!(left.active().as_deref(), Some(ADA), "who is active stays so");
        assert_eq!(left.session()["signins"].as_array().unwrap().len(), 1);
        tokens.push(browser.token());
        let out = browser.post("/session/sign-out", &[]).await.ok();
        assert_eq!((&out.session()["active_signin"], &out.session()["signins"]), (&Value::Null, &json!([])));
        assert_eq!(out.json()["data"], out.session());
        tokens.push(browser.token());
        let mut different = tokens.clone();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), tokens.len());
        mounted.world.clock.advance(Duration::from_mins(1));
        for token in tokens {
            browser.keep(&token);
            browser.get("/me").await.refused(401, "NOT_AUTHENTICATED");
        }
    })
    .await;
}

#[tokio::test]
async fn a_session_goes_on_after_its_sign_out_and_one_sign_in_of_two_can_end() {
    let mounted = Mounted::new().await;
    mounted.has_account(ADA).await;
    let browser = mounted.browser();
    let first = browser.signs(Kind::SignIn, ADA).await;
    let out = browser.post("/session/sign-out", &[]).await.ok();
    assert_eq!(out.session()["id"], first.session()["id"]);
    browser.post("/session/sign-out", &[]).await.ok();
    let again = browser.signs(Kind::SignIn, ADA).await;
    assert_eq!(again.session()["id"], first.session()["id"]);
    assert_ne!(again.session()["active_signin_id"], first.session()["active_signin_id"]);
    for id in [first.session()["active_signin_id"].as_str().unwrap(), "1", "x"] {
        browser.post("/session/sign-out", &[("sign_in_id", id)]).await.refused(400, "INVALID_SIGNIN");
        browser.post("/session/switch-sign-in", &[("signin_id", id)]).await.refused(400, "INVALID_SIGNIN");
    }
    assert_eq!(browser.get("/session").await.ok().active().as_deref(), Some(ADA));
}

#[tokio::test]
async fn all_sessions_of_a_user_end_where_that_is_asked_for() {
    let mounted = Mounted::new().await;
    mounted.has_account(ADA).await;
    mounted.has_account(BOB).await;
    let (here, there) = (mounted.browser(), mounted.browser());
    here.signs(Kind::SignIn, BOB).await;
    here.signs(Kind::SignIn, ADA).await;
    mounted.world.clock.advance(Duration::from_secs(3));
    there.signs(Kind::SignIn, ADA).await;
    let out = here.ask(crate::support::post_json("/session/sign-out", &json!({"all_sessions": true}))).await.ok();
    assert_eq!(out.session()["signins"], json!([]), "everybody at this session, and the user elsewhere");
    there.get("/me").await.refused(401, "NOT_AUTHENTICATED");

    // With the name of a sign-in it is about that user alone.
    for (browser, email) in [(&here, BOB), (&here, ADA), (&there, ADA)] {
        mounted.world.clock.advance(Duration::from_secs(3));
        browser.signs(Kind::SignIn, email).await;
    }
    let id = here.get("/session").await.ok().session()["active_signin_id"].clone();
    let ada = json!({"all_sessions": true, "sign_in_id": id});
    let out = here.ask(crate::support::post_json("/session/sign-out", &ada)).await.ok();
    assert_eq!(out.session()["signins"].as_array().unwrap().len(), 1);
    assert_eq!(out.session()["signins"][0]["user"]["primary_email_address"]["email"], BOB);
    there.get("/me").await.refused(401, "NOT_AUTHENTICATED");
}

#[tokio::test]
async fn nobody_ends_or_takes_a_sign_in_of_another_session() {
    let mounted = Mounted::new().await;
    mounted.has_account(ADA).await;
    mounted.has_account(BOB).await;
    let (ada, bob) = (mounted.browser(), mounted.browser());
    let id = ada.signs(Kind::SignIn, ADA).await.session()["active_signin_id"].as_str().unwrap().to_owned();
    bob.signs(Kind::SignIn, BOB).await;
    bob.post("/session/sign-out", &[("sign_in_id", &id)]).await.refused(400, "INVALID_SIGNIN");
    bob.post("/session/switch-sign-in", &[("sign_in_id", &id)]).await.refused(400, "INVALID_SIGNIN");
    let everywhere = crate::support::post_json("/session/sign-out", &json!({"sign_in_id": id, "all_sessions": true}));
    bob.ask(everywhere).await.refused(400, "INVALID_SIGNIN");
    mounted.browser().post("/session/sign-out", &[("sign_in_id", &id)]).await.refused(400, "INVALID_SIGNIN");
    assert_eq!(bob.get("/session").await.ok().active().as_deref(), Some(BOB));
    assert_eq!(ada.get("/session").await.ok().active().as_deref(), Some(ADA));
}

#[tokio::test]
async fn a_sign_in_ends_after_thirty_days() {
    let mounted = Mounted::new().await;
    mounted.has_account(ADA).await;
    let browser = mounted.browser();
    browser.signs(Kind::SignIn, ADA).await;
    for _ in 0..10 {
        mounted.world.clock.advance(Duration::from_hours(3 * 24) - Duration::from_millis(1));
        browser.get("/session").await.ok();
    }
    mounted.world.clock.advance(Duration::from_millis(9));
    assert_eq!(browser.get("/session").await.ok().active().as_deref(), Some(ADA));
    mounted.world.clock.advance(Duration::from_millis(1));
    assert_eq!(browser.get("/session").await.ok().session()["active_signin"], Value::Null);
    browser.get("/me").await.refused(401, "NOT_AUTHENTICATED");
}
