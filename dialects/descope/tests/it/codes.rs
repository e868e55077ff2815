//! Codes brought back, on each of the four flows: right, wrong, expired, replayed, exhausted, unknown.

use std::sync::Arc;
use std::time::Duration;

use engine::VerificationOutcome;
use serde_json::json;
use testkit::world::other_than;
use tokio::task::JoinSet;

use crate::support::{ADA, BOB, Mounted, address, jwt};

/// What is started; the login id is Ada's always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    SignIn,
    SignUp,
    SignUpOrIn,
    UpdateEmail,
}

const FLOWS: [Flow; 4] = [Flow::SignIn, Flow::SignUp, Flow::SignUpOrIn, Flow::UpdateEmail];

impl Flow {
    /// Starts it, and gives the code.
    async fn started(self, mounted: &Mounted) -> String {
        let recipient = match self {
            Self::SignIn => {
                mounted.engine().register(mounted.world.project(), address(ADA)).await.unwrap();
                mounted.start("signin", ADA).await.ok();
                ADA
            }
            Self::SignUp => {
                mounted.start("signup", ADA).await.ok();
                ADA
            }
            Self::SignUpOrIn => {
                mounted.start("signup-in", ADA).await.ok();
                ADA
            }
            Self::UpdateEmail => {
                let token = mounted.signed_in(ADA).await.refresh_jwt();
                mounted.update(&token, ADA, BOB).await.ok();
                BOB
            }
        };
        mounted.code(recipient).await
    }
}

#[tokio::test]
async fn a_right_code_does_what_its_flow_is_for() {
    for flow in FLOWS {
        let mounted = Mounted::new().await;
        let code = flow.started(&mounted).await;
        let answer = mounted.verify(ADA, &code).await.ok();
        let user = &answer.json()["user"];
        let email = if flow == Flow::UpdateEmail { BOB } else { ADA };
        assert_eq!(user["email"], email, "{flow:?}");
        assert_eq!(user["loginIds"], json!([email]), "{flow:?}");
        assert_eq!((&user["verifiedEmail"], &user["status"]), (&json!(true), &json!("enabled")), "{flow:?}");
        assert_eq!(answer.json()["firstSeen"], flow != Flow::UpdateEmail, "{flow:?}");
        assert_eq!(mounted.me(&answer.refresh_jwt()).await.ok().json(), *user, "{flow:?}");
    }
}

#[tokio::test]
async fn a_wrong_code_is_refused_and_the_right_one_still_passes() {
    for flow in FLOWS {
        let mounted = Mounted::new().await;
        let code = flow.started(&mounted).await;
        let answer = mounted.verify(ADA, &other_than(&code)).await;
        assert_eq!(
            answer.body,
            r#"{"errorCode":"E061102","errorDescription":"One time code is invalid","errorMessage":"The code is wrong or is not valid any more","message":"The code is wrong or is not valid any more"}"#
        );
        assert_eq!(answer.status, 401, "{flow:?}");
        mounted.verify(ADA, &code).await.ok();
    }
}

#[tokio::test]
async fn a_code_lives_ten_minutes_to_the_millisecond() {
    for flow in FLOWS {
        for (millis, passes) in [(599_999, true), (600_000, false)] {
            let mounted = Mounted::new().await;
            let code = flow.started(&mounted).await;
            mounted.world.clock.advance(Duration::from_millis(millis));
            let answer = mounted.verify(ADA, &code).await;
            if passes {
                answer.ok();
            } else {
                answer.refused(401, "E061104");
            }
        }
    }
}

#[tokio::test]
async fn a_code_passes_once() {
    for flow in FLOWS {
        let mounted = Mounted::new().await;
        let code = flow.started(&mounted).await;
        mounted.verify(ADA, &code).await.ok();
        mounted.verify(ADA, &code).await.refused(401, "E061102");
    }
}

#[tokio::test]
async fn five_wrong_codes_end_a_flow_and_the_right_one_is_refused_then() {
    for flow in FLOWS {
        let mounted = Mounted::new().await;
        let code = flow.started(&mounted).await;
        for _ in 0..5 {
            mounted.verify(ADA, &other_than(&code)).await.refused(401, "E061102");
        }
        mounted.verify(ADA, &code).await.refused(401, "E061103");
        mounted.verify(ADA, &other_than(&code)).await.refused(401, "E061103");
        assert_eq!(mounted.world.events.verified(VerificationOutcome::Mismatch), 5, "{flow:?}");
    }
}

#[tokio::test]
async fn a_login_id_that_nothing_was_asked_for_is_refused_as_a_wrong_code_is() {
    for flow in FLOWS {
        let mounted = Mounted::new().await;
        let code = flow.started(&mounted).await;
        let wrong = mounted.verify(ADA, &other_than(&code)).await;
        assert_eq!(mounted.verify("nobody@example.com", &code).await, wrong, "{flow:?}");
    }
}

#[tokio::test]
async fn what_was_typed_with_spaces_is_the_same_code_and_a_login_id_has_no_case() {
    let mounted = Mounted::new().await;
    mounted.start("signup-in", " Ada@EXAMPLE.com ").await.ok();
    let code = mounted.code(ADA).await;
    let (front, back) = code.split_at(3);
    mounted.verify("ADA@example.com", &format!(" {front} {back} ")).await.ok();
}

#[tokio::test]
async fn of_sixteen_right_answers_at_once_one_passes() {
    let mounted = Arc::new(Mounted::new().await);
    mounted.start("signup-in", ADA).await.ok();
    let code = mounted.code(ADA).await;
    let mut answers = JoinSet::new();
    for _ in 0..16 {
        let (mounted, code) = (Arc::clone(&mounted), code.clone());
        answers.spawn(async move { mounted.verify(ADA, &code).await });
    }
    let answers = answers.join_all().await;
    let passed: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(passed.len(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.error() == (401, "E061102".to_owned())).count(), 15);
    mounted.me(&passed[0].refresh_jwt()).await.ok();
}

#[tokio::test]
async fn sending_again_repeats_the_code_that_is_out() {
    let mounted = Mounted::new().await;
    mounted.start("signup-in", ADA).await.ok();
    let code = mounted.code(ADA).await;
    mounted.verify(ADA, &other_than(&code)).await.refused(401, "E061102");
    mounted.world.clock.advance(Duration::from_mins(1));
    mounted.start("signup-in", ADA).await.ok();
    assert_eq!(mounted.code(ADA).await, code);
    // Neither its deadline nor its guesses begin anew.
    for _ in 0..4 {
        mounted.verify(ADA, &other_than(&code)).await.refused(401, "E061102");
    }
    mounted.verify(ADA, &code).await.refused(401, "E061103");
    // And a flow that is over is followed by a new one.
    mounted.world.clock.advance(Duration::from_mins(1));
    mounted.start("signup-in", ADA).await.ok();
    mounted.verify(ADA, &mounted.code(ADA).await).await.ok();
}

#[tokio::test]
async fn custom_claims_of_a_sign_in_are_told_as_unproven_in_both_tokens_and_outlive_a_refresh() {
    let mounted = Mounted::new().await;
    let claims = json!({"plan": "gold", "seats": 3, "drn": "DSR", "nothing": null});
    let body = json!({"loginId": ADA, "loginOptions": {"customClaims": claims, "locale": "de", "templateId": 7}});
    mounted.post("/v1/auth/otp/signup-in/email", &body.to_string()).await.ok();
    let answer = mounted.verify(ADA, &mounted.code(ADA).await).await.ok();
    let expected = json!({"plan": "gold", "seats": 3, "drn": "DSR"});
    assert_eq!(jwt(&answer.session_jwt()).1["nsec"], expected);
    assert_eq!(jwt(&answer.refresh_jwt()).1["nsec"], expected);
    assert_eq!(jwt(&answer.session_jwt()).1["drn"], "DS");
    assert_eq!(answer.json()["claims"], json!({}));
    let refreshed = mounted.refresh(&answer.refresh_jwt()).await.ok();
    assert_eq!(jwt(&refreshed.session_jwt()).1["nsec"], expected);
}
