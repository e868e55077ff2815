//! Asking for a code: who is told what.

use std::time::Duration;

use engine::{Policy, SendLimit};
use serde_json::json;
use testkit::world::unlimited;

use crate::support::{ADA, Answer, Mounted, address, closed, telling};

/// What a start answers, and what it asked of the store.
async fn asked(mounted: &Mounted, which: &str, email: &str) -> (Answer, Vec<&'static str>) {
    mounted.world.calls.take_calls();
    let answer = mounted.start(which, email).await;
    (answer, mounted.world.calls.take_calls())
}

#[tokio::test]
async fn starts_tell_nobody_who_has_an_account() {
    for policy in [unlimited(), closed()] {
        let mounted = Mounted::with(policy, "").await;
        for (name, is_proven) in [("known", true), ("kinvited", false)] {
            let email = format!("{name}@example.com");
            mounted.engine().register(mounted.world.project(), address(&email)).await.unwrap();
            if is_proven {
                mounted.start("signin", &email).await.ok();
                mounted.verify(&email, &mounted.code(&email).await).await.ok();
            }
        }
        for which in ["signin", "signup", "signup-in"] {
            let known = asked(&mounted, which, "known@example.com").await;
            assert_eq!(known.0.body, r#"{"maskedEmail":"k***@example.com","verificationAttempts":5}"#);
            assert_eq!(asked(&mounted, which, "kinvited@example.com").await, known);
            assert_eq!(asked(&mounted, which, &format!("knobody-{which}@example.com")).await, known);
        }
        // Nor does a guess.
        let guesses = ["known@example.com", "kinvited@example.com", "knobody-signin@example.com", "k@example.com"];
        for email in guesses {
            mounted.verify(email, "nothing").await.refused(401, "E061102");
        }
        for email in &guesses[..3] {
            for _ in 0..4 {
                mounted.verify(email, "nothing").await.refused(401, "E061102");
            }
            mounted.verify(email, "nothing").await.refused(401, "E061103");
        }
    }
}

#[tokio::test]
async fn development_tells_who_has_an_account_as_the_original_does() {
    let mounted = Mounted::with(telling(), "").await;
    let answer = mounted.start("signin", ADA).await.refused(400, "E062108");
    assert_eq!(
        answer.body,
        r#"{"errorCode":"E062108","errorDescription":"User not found","errorMessage":"Cannot find user","message":"Cannot find user"}"#
    );
    mounted.start("signup", ADA).await.ok();
    // Not signed up yet, only asked.
    mounted.start("signin", ADA).await.refused(400, "E062108");
    mounted.world.clock.advance(Duration::from_secs(5));
    mounted.start("signup", ADA).await.ok();
    mounted.verify(ADA, &mounted.code(ADA).await).await.ok();
    let answer = mounted.start("signup", ADA).await.refused(400, "E062107");
    assert_eq!(
        answer.body,
        r#"{"errorCode":"E062107","errorDescription":"User already exists","errorMessage":"User already exists","message":"User already exists"}"#
    );
    mounted.start("signin", ADA).await.ok();
    mounted.start("signup-in", ADA).await.ok();
}

#[tokio::test]
async fn who_was_invited_signs_up() {
    for policy in [unlimited(), telling(), closed()] {
        let mounted = Mounted::with(policy, "").await;
        mounted.engine().register(mounted.world.project(), address(ADA)).await.unwrap();
        let body = json!({"loginId": ADA, "user": {"name": "Ada"}}).to_string();
        mounted.post("/v1/auth/otp/signup/email", &body).await.ok();
        let answer = mounted.verify(ADA, &mounted.code(ADA).await).await.ok();
        assert_eq!(answer.json()["firstSeen"], true);
        assert_eq!(answer.json()["user"]["name"], "Ada");
        assert_eq!(answer.json()["user"]["status"], "enabled");
    }
}

#[tokio::test]
async fn without_sign_up_nobody_comes_to_be() {
    let mounted = Mounted::with(closed(), "").await;
    for which in ["signin", "signup", "signup-in"] {
        mounted.start(which, ADA).await.ok();
        assert_eq!(mounted.world.code(&address(ADA)).await, None, "{which}: no mail for nobody");
        mounted.world.clock.advance(Duration::from_mins(11));
    }
}

#[tokio::test]
async fn what_somebody_says_about_himself_is_shown_and_nothing_of_it_is_proved() {
    let mounted = Mounted::new().await;
    let user = json!({
        "loginId": ADA, "displayName": "Ada Lovelace", "givenName": "Ada", "middleName": "King", "familyName": "Lovelace",
        "email": "ADA@example.com", "phoneNumber": "+4930123456"
    });
    let body = json!({"identifier": ADA, "email": ADA, "user": user, "loginOptions": null}).to_string();
    mounted.post("/v1/auth/otp/signup/email", &body).await.ok();
    let answer = mounted.verify(ADA, &mounted.code(ADA).await).await.ok();
    let user = &answer.json()["user"];
    assert_eq!(user["name"], "Ada Lovelace");
    assert_eq!((&user["givenName"], &user["middleName"]), (&json!("Ada"), &json!("King")));
    assert_eq!((&user["familyName"], &user["phone"]), (&json!("Lovelace"), &json!("+4930123456")));
    assert_eq!((&user["verifiedEmail"], &user["verifiedPhone"]), (&json!(true), &json!(false)));
}

#[tokio::test]
async fn too_many_messages_are_refused_with_the_time_to_wait() {
    let policy = Policy { send_limit: Some(SendLimit::default()), ..unlimited() };
    let mounted = Mounted::with(policy, "").await;
    let refused = loop {
        let answer = mounted.start("signup-in", ADA).await;
        mounted.world.clock.advance(Duration::from_secs(3));
        if answer.status != 200 {
            break answer;
        }
    };
    let refused = refused.refused(429, "E130429");
    assert_eq!(refused.json()["errorDescription"], "API rate limit exceeded");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!(wait > 0);
    mounted.world.clock.advance(Duration::from_secs(wait));
    mounted.start("signup-in", ADA).await.ok();
}
