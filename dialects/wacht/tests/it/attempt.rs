//! Attempts: what becomes of a code, in both shapes and for both kinds.

use std::time::Duration;

use serde_json::json;
use testkit::world::other_than;

use crate::support::{ADA, Attempt, BOB, Browser, Kind, Mounted, Shape};

/// Runs `check` for each shape and kind, on a world in which Ada can do either.
async fn each(check: impl AsyncFn(&Mounted, &Browser<'_>, Kind)) {
    for shape in Shape::ALL {
        for kind in Kind::ALL {
            let mounted = Mounted::new().await;
            if kind == Kind::SignIn {
                mounted.has_account(ADA).await;
            }
            check(&mounted, &mounted.browser_that_speaks(shape), kind).await;
        }
    }
}

#[tokio::test]
async fn a_right_code_signs_in_and_up() {
    each(async |mounted, browser, kind| {
        let opened = browser.open(kind, ADA).await.ok();
        let attempt = opened.attempt(kind);
        let shown = &opened.session()[kind.list()][0];
        let step = if kind == Kind::SignIn { "verify_email_otp" } else { "verify_email" };
        assert_eq!(shown["current_step"], step);
        assert_eq!(shown["remaining_steps"], json!([step]));
        assert_eq!(shown["completed"], false);
        assert!(mounted.world.code(&crate::support::address(ADA)).await.is_none() || kind == Kind::SignIn);

        let prepared = browser.prepare(&attempt).await.ok().json();
        assert_eq!(prepared["data"]["otp_sent"], true);
        assert_eq!(prepared["data"]["verification_method"], "email_otp");
        assert_eq!(prepared["data"]["id"], prepared["session"]["id"]);

        let answer = browser.verify(&attempt, &format!(" {}\n", mounted.code(ADA).await)).await.ok();
        let session = answer.session();
        let shown = &session[kind.list()][0];
        assert_eq!((&shown["completed"], &shown["current_step"]), (&json!(true), &json!("")));
        assert_eq!(shown["remaining_steps"], json!([]));
        assert_eq!(answer.active().as_deref(), Some(ADA));
        let signin = &session["active_signin"];
        assert_eq!((&signin["ip_address"], &signin["browser"]), (&json!("192.0.2.7"), &json!("Mozilla/5.0")));
        assert_eq!(signin["user"]["first_name"], "Ada");
        let email = &signin["user"]["user_email_addresses"][0];
        assert_eq!(
            (&email["verified"], &email["is_primary"], &email["primary"]),
            (&json!(true), &json!(true), &json!(true))
        );
    })
    .await;
}

#[tokio::test]
async fn a_wrong_code_changes_nothing_and_the_right_one_still_passes() {
    each(async |mounted, browser, kind| {
        let attempt = browser.prepared(kind, ADA).await;
        let code = mounted.code(ADA).await;
        let before = browser.get("/session").await.ok().session();
        let token = browser.token();
        for _ in 0..4 {
            let refused = browser.verify(&attempt, &other_than(&code)).await.refused(400, "INVALID_CODE");
            assert_eq!(refused.session(), before);
        }
        assert_eq!(browser.token(), token, "nothing was rotated");
        browser.verify(&attempt, &code).await.ok();
    })
    .await;
}

#[tokio::test]
async fn after_five_wrong_codes_only_a_new_attempt_helps() {
    each(async |mounted, browser, kind| {
        let attempt = browser.prepared(kind, ADA).await;
        let code = mounted.code(ADA).await;
        for guess in 0..5 {
            browser.verify(&attempt, &other_than(&code)).await.refused(400, "INVALID_CODE");
            if guess == 2 {
                mounted.world.clock.advance(Duration::from_secs(31));
                browser.prepare(&attempt).await.ok();
                assert_eq!(mounted.code(ADA).await, code, "a resend gives no guesses back");
            }
        }
        let refused = browser.verify(&attempt, &code).await.refused(429, "TOO_MANY_ATTEMPTS");
        assert_eq!(refused.header("retry-after"), (600 - 31).to_string());
        mounted.world.clock.advance(Duration::from_secs(31));
        browser.prepare(&attempt).await.refused(429, "TOO_MANY_ATTEMPTS");
        browser.signs(kind, ADA).await;
    })
    .await;
}

#[tokio::test]
async fn a_code_ends_after_five_minutes_and_its_attempt_after_ten() {
    each(async |mounted, browser, kind| {
        let attempt = browser.prepared(kind, ADA).await;
        let old = mounted.code(ADA).await;
        mounted.world.clock.advance(Duration::from_mins(5));
        browser.verify(&attempt, &old).await.refused(400, "EXPIRED_CODE");
        browser.prepare(&attempt).await.ok();
        let code = mounted.code(ADA).await;
        assert_ne!(code, old);
        browser.verify(&attempt, &old).await.refused(400, "INVALID_CODE");
        mounted.world.clock.advance(Duration::from_mins(5));
        browser.verify(&attempt, &code).await.refused(400, "INVALID_ATTEMPT");
        browser.prepare(&attempt).await.refused(400, "INVALID_ATTEMPT");
        assert_eq!(browser.get("/session").await.ok().session()[kind.list()], json!([]), "and is not shown");
    })
    .await;
}

#[tokio::test]
async fn a_code_passes_once() {
    each(async |mounted, browser, kind| {
        let attempt = browser.prepared(kind, ADA).await;
        let code = mounted.code(ADA).await;
        let before = browser.token();
        browser.verify(&attempt, &code).await.ok();
        let after = browser.token();
        for token in [&before, &after] {
            browser.keep(token);
            browser.verify(&attempt, &code).await.refused(400, "INVALID_ATTEMPT");
        }
        browser.keep(&after);
        browser.prepare(&attempt).await.refused(400, "INVALID_ATTEMPT");
        assert_eq!(browser.get("/session").await.ok().session()["signins"].as_array().unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn sixteen_right_codes_at_once_are_one_sign_in() {
    each(async |mounted, browser, kind| {
        let attempt = browser.prepared(kind, ADA).await;
        let code = mounted.code(ADA).await;
        let token = browser.token();
        let copies: Vec<_> = (0..16).map(|_| mounted.browser()).collect();
        for copy in &copies {
            copy.keep(&token);
        }
        let (attempt, code) = (&attempt, code.as_str());
        let mut asked = Vec::new();
        for copy in &copies {
            asked.push(Box::pin(copy.verify(attempt, code)));
        }
        let mut passed = Vec::new();
        for answer in join_all(asked).await {
            if answer.status == 200 {
                passed.push(answer);
            } else {
                answer.refused(400, "INVALID_ATTEMPT");
            }
        }
        assert_eq!(passed.len(), 1);
        browser.keep(&passed[0].token().unwrap());
        assert_eq!(browser.get("/session").await.ok().session()["signins"].as_array().unwrap().len(), 1);
    })
    .await;
}

/// Polls all of them in turn until all are done.
pub(crate) async fn join_all<F: Future + Unpin>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Some).collect();
    let mut outputs = Vec::new();
    std::future::poll_fn(move |context| {
        for slot in &mut futures {
            if let Some(future) = slot
                && let std::task::Poll::Ready(output) = std::pin::Pin::new(future).poll(context)
            {
                outputs.push(output);
                *slot = None;
            }
        }
        if futures.iter().all(Option::is_none) {
            return std::task::Poll::Ready(std::mem::take(&mut outputs));
        }
        std::task::Poll::Pending
    })
    .await
}

#[tokio::test]
async fn an_attempt_of_another_session_is_none() {
    each(async |mounted, browser, kind| {
        let attempt = browser.prepared(kind, ADA).await;
        let code = mounted.code(ADA).await;
        let thief = mounted.browser();
        thief.verify(&attempt, &code).await.refused(400, "INVALID_ATTEMPT");
        thief.prepare(&attempt).await.refused(400, "INVALID_ATTEMPT");
        thief.get("/session").await.ok();
        thief.verify(&attempt, &code).await.refused(400, "INVALID_ATTEMPT");
        assert!(browser.verify(&attempt, &code).await.ok().active().is_some(), "and it cost no guess");
    })
    .await;
}

#[tokio::test]
async fn an_attempt_is_known_under_its_own_name_only() {
    each(async |mounted, browser, kind| {
        let attempt = browser.prepared(kind, ADA).await;
        let code = mounted.code(ADA).await;
        let Attempt { id, .. } = attempt.clone();
        let other = if kind == Kind::SignIn { Kind::SignUp } else { Kind::SignIn };
        let next = (id.parse::<i64>().unwrap() - 1).to_string();
        let names = ["0", "1", "-1", "123456789", "9223372036854775808", "abc", "signin_1", &next, &format!("0{id}")];
        for name in names.map(|id| Attempt { kind, id: id.to_owned() }).into_iter().chain([Attempt { kind: other, id }])
        {
            browser.verify(&name, &code).await.refused(400, "INVALID_ATTEMPT");
            browser.prepare(&name).await.refused(400, "INVALID_ATTEMPT");
        }
        browser.verify(&attempt, &code).await.ok();
    })
    .await;
}

#[tokio::test]
async fn nothing_passes_before_a_code_was_sent() {
    each(async |_, browser, kind| {
        let attempt = browser.open(kind, ADA).await.ok().attempt(kind);
        browser.verify(&attempt, "123456").await.refused(400, "EXPIRED_CODE");
        browser.verify(&attempt, "undefined").await.refused(400, "CODE_REQUIRED");
        browser.verify(&attempt, "").await.refused(400, "CODE_REQUIRED");
    })
    .await;
}

#[tokio::test]
async fn asking_again_at_once_sends_nothing_and_later_the_same_code() {
    each(async |mounted, browser, kind| {
        let attempt = browser.prepared(kind, ADA).await;
        let code = mounted.code(ADA).await;
        let sent = || async { mounted.world.engine.inbox(Some(crate::support::address(ADA))).await.unwrap().len() };
        let first = sent().await;
        mounted.world.clock.advance(Duration::from_millis(1999));
        browser.prepare(&attempt).await.ok();
        assert_eq!(sent().await, first);
        mounted.world.clock.advance(Duration::from_millis(1));
        browser.prepare(&attempt).await.ok();
        assert_eq!(sent().await, first + 1);
        assert_eq!(mounted.code(ADA).await, code);
        browser.verify(&attempt, &code).await.ok();
    })
    .await;
}

#[tokio::test]
async fn too_many_messages_are_too_many() {
    let policy = engine::Policy { sign_up: true, ..engine::Policy::default() };
    let mounted = Mounted::with(policy, r#"mode = "staging""#).await;
    let browser = mounted.browser();
    let attempt = browser.prepared(Kind::SignUp, ADA).await;
    mounted.world.clock.advance(Duration::from_millis(10_500));
    let refused = browser.prepare(&attempt).await.refused(429, "RATE_LIMIT_EXCEEDED");
    assert_eq!(refused.header("retry-after"), "20");
    browser.verify(&attempt, &mounted.code(ADA).await).await.ok();
}

#[tokio::test]
async fn the_attempt_that_was_just_acted_on_is_the_last() {
    let mounted = Mounted::new().await;
    mounted.has_account(ADA).await;
    mounted.has_account(BOB).await;
    let browser = mounted.browser();
    let first = browser.prepared(Kind::SignIn, ADA).await;
    let code = mounted.code(ADA).await;
    mounted.world.clock.advance(Duration::from_secs(3));
    let second = browser.prepared(Kind::SignIn, BOB).await;
    let ids = |answer: &crate::support::Answer| -> Vec<String> {
        let attempts = answer.session()["signin_attempts"].as_array().unwrap().clone();
        attempts.iter().map(|attempt| attempt["id"].as_str().unwrap().to_owned()).collect()
    };
    let (first_id, second_id) = (first.id.clone(), second.id.clone());
    assert_eq!(ids(&browser.get("/session").await), [first_id.clone(), second_id.clone()]);
    mounted.world.clock.advance(Duration::from_secs(3));
    assert_eq!(ids(&browser.prepare(&first).await.ok()), [second_id.clone(), first_id.clone()]);
    assert_eq!(ids(&browser.get("/session").await), [second_id.clone(), first_id.clone()]);
    mounted.world.clock.advance(Duration::from_secs(3));
    browser.prepare(&second).await.ok();
    assert_eq!(ids(&browser.verify(&first, &code).await.ok()), [second_id, first_id]);
}

#[tokio::test]
async fn who_is_signed_in_does_not_sign_in_again_but_somebody_else_may() {
    let mounted = Mounted::new().await;
    mounted.has_account(ADA).await;
    mounted.has_account(BOB).await;
    let browser = mounted.browser();
    let one = browser.prepared(Kind::SignIn, ADA).await;
    let other = browser.open(Kind::SignIn, ADA).await.ok().attempt(Kind::SignIn);
    browser.verify(&one, &mounted.code(ADA).await).await.ok();
    for kind in Kind::ALL {
        browser.open(kind, " ADA@Example.com ").await.refused(400, "USER_ALREADY_SIGNED_IN");
    }
    browser.verify(&other, "123456").await.refused(400, "USER_ALREADY_SIGNED_IN");
    let answer = browser.signs(Kind::SignIn, BOB).await;
    assert_eq!(answer.active().as_deref(), Some(BOB));
    assert_eq!(answer.session()["signins"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn attempts_and_sign_ins_of_a_session_are_bounded() {
    let mounted = Mounted::new().await;
    let browser = mounted.browser();
    for _ in 0..20 {
        browser.open(Kind::SignIn, ADA).await.ok();
    }
    let refused = browser.open(Kind::SignUp, ADA).await.refused(429, "TOO_MANY_REQUESTS");
    assert_eq!(refused.header("retry-after"), "600");
    mounted.world.clock.advance(Duration::from_mins(10));
    for number in 0..10 {
        browser.signs(Kind::SignUp, &format!("person{number}@example.com")).await;
    }
    browser.open(Kind::SignUp, ADA).await.refused(400, "INVALID_STATE");
    let shown = browser.get("/session").await.ok().session();
    assert_eq!(shown["signins"].as_array().unwrap().len(), 10);
    assert_eq!(shown["signup_attempts"].as_array().unwrap().len(), 3, "of those that are done only the last");
}
