//! Changing an address.

use std::time::Duration;

use serde_json::json;
use testkit::world::other_than;

use crate::support::{ADA, BOB, Mounted, telling};

const EVE: &str = "eve@example.com";

#[tokio::test]
async fn the_new_address_replaces_the_old_one_when_its_code_comes_back_and_not_before() {
    let mounted = Mounted::new().await;
    let signed_in = mounted.signed_in(ADA).await;
    let token = signed_in.refresh_jwt();
    let answer = mounted.update(&token, ADA, BOB).await.ok();
    assert_eq!(answer.body, r#"{"maskedEmail":"b***@example.com","verificationAttempts":5}"#);
    assert_eq!(mounted.me(&token).await.ok().json()["email"], ADA);
    let code = mounted.code(BOB).await;
    mounted.verify(ADA, &other_than(&code)).await.refused(401, "E061102");
    assert_eq!(mounted.me(&token).await.ok().json()["email"], ADA);

    let answer = mounted.verify(ADA, &code).await.ok();
    let user = &answer.json()["user"];
    assert_eq!((&user["email"], &user["loginIds"]), (&json!(BOB), &json!([BOB])));
    assert_eq!(user["userId"], signed_in.json()["user"]["userId"]);
    assert_eq!(answer.json()["firstSeen"], false);
    assert_eq!(mounted.me(&token).await.ok().json()["email"], BOB, "the session of before goes on");

    // The old address is nobody's now, and the new one signs in.
    mounted.start("signin", BOB).await.ok();
    let again = mounted.verify(BOB, &mounted.code(BOB).await).await.ok();
    assert_eq!(again.json()["user"]["userId"], signed_in.json()["user"]["userId"]);
    mounted.world.clock.advance(Duration::from_secs(5));
    let other = mounted.signed_in(ADA).await;
    assert_ne!(other.json()["user"]["userId"], signed_in.json()["user"]["userId"]);
}

#[tokio::test]
async fn added_to_the_login_ids_either_address_signs_in() {
    let mounted = Mounted::new().await;
    let signed_in = mounted.signed_in(ADA).await;
    mounted.add(&signed_in.refresh_jwt(), ADA, BOB).await.ok();
    let answer = mounted.verify(ADA, &mounted.code(BOB).await).await.ok();
    let user = &answer.json()["user"];
    assert_eq!((&user["email"], &user["loginIds"]), (&json!(BOB), &json!([ADA, BOB])));
    assert_eq!(user["externalIds"], json!([ADA, BOB]));
    for email in [ADA, BOB] {
        mounted.start("signin", email).await.ok();
        let again = mounted.verify(email, &mounted.code(email).await).await.ok();
        assert_eq!(again.json()["user"], *user);
    }
    // And one of the two can be given up for a third.
    let token = signed_in.refresh_jwt();
    mounted.update(&token, BOB, EVE).await.ok();
    let answer = mounted.verify(BOB, &mounted.code(EVE).await).await.ok();
    assert_eq!(answer.json()["user"]["loginIds"], json!([ADA, EVE]));
}

#[tokio::test]
async fn a_change_needs_a_refresh_token_and_a_login_id_of_its_user() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    let bob = mounted.signed_in(BOB).await;
    let body = json!({"loginId": ADA, "email": EVE}).to_string();
    mounted.post("/v1/auth/otp/update/email", &body).await.refused(401, "E011002");
    mounted.post_as("", "/v1/auth/otp/update/email", &body).await.refused(401, "E011002");
    mounted.post_as("a-management-key", "/v1/auth/otp/update/email", &body).await.refused(401, "E011002");
    mounted.update(&ada.session_jwt(), ADA, EVE).await.refused(401, "E064001");
    mounted.update(&bob.refresh_jwt(), ADA, EVE).await.refused(401, "E064001");
    mounted.update(&bob.refresh_jwt(), "nobody@example.com", EVE).await.refused(401, "E064001");
    mounted.post_as(&ada.refresh_jwt(), "/v1/auth/logout", "").await.ok();
    let answer = mounted.update(&ada.refresh_jwt(), ADA, EVE).await.refused(401, "E064001");
    assert_eq!(answer.json()["errorMessage"], "Expired due to logout");
    assert_eq!(mounted.world.code(&crate::support::address(EVE)).await, None);
}

#[tokio::test]
async fn an_address_of_somebody_else_is_not_to_be_had() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await.refresh_jwt();
    mounted.signed_in(BOB).await;
    let free = mounted.update(&ada, ADA, "bfree@example.com").await.ok();
    mounted.world.clock.advance(Duration::from_secs(5));
    assert_eq!(mounted.update(&ada, ADA, BOB).await, free, "and nobody is told whose it is");
    assert_eq!(mounted.me(&ada).await.ok().json()["loginIds"], json!([ADA]));
}

#[tokio::test]
async fn an_address_that_became_somebody_elses_meanwhile_is_not_to_be_had() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await.refresh_jwt();
    mounted.update(&ada, ADA, BOB).await.ok();
    let code = mounted.code(BOB).await;
    mounted.world.clock.advance(Duration::from_secs(5));
    let bob = mounted.signed_in(BOB).await;
    mounted.verify(ADA, &code).await.refused(401, "E061102");
    assert_eq!(mounted.me(&ada).await.ok().json()["loginIds"], json!([ADA]));
    assert_eq!(mounted.me(&bob.refresh_jwt()).await.ok().json()["loginIds"], json!([BOB]));
}

#[tokio::test]
async fn development_tells_that_an_address_is_taken_and_that_users_are_not_merged() {
    let mounted = Mounted::with(telling(), "").await;
    let ada = mounted.signed_in(ADA).await.refresh_jwt();
    mounted.signed_in(BOB).await;
    mounted.update(&ada, ADA, BOB).await.refused(400, "E062107");
    let body = json!({"loginId": ADA, "email": BOB, "addToLoginIDs": true, "onMergeUseExisting": true}).to_string();
    let answer = mounted.post_as(&ada, "/v1/auth/otp/update/email", &body).await.refused(400, "E011004");
    assert_eq!(answer.json()["errorMessage"], "Merging two users is not supported");
    // Where there is nobody to merge with, it is an address like any other.
    let body = json!({"loginId": ADA, "email": EVE, "addToLoginIDs": true, "onMergeUseExisting": true}).to_string();
    mounted.post_as(&ada, "/v1/auth/otp/update/email", &body).await.ok();
    mounted.verify(ADA, &mounted.code(EVE).await).await.ok();
}

#[tokio::test]
async fn who_thinks_better_of_it_gets_a_code_for_the_other_address() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await.refresh_jwt();
    mounted.update(&ada, ADA, BOB).await.ok();
    let first = mounted.code(BOB).await;
    mounted.world.clock.advance(Duration::from_secs(5));
    mounted.update(&ada, ADA, EVE).await.ok();
    let second = mounted.code(EVE).await;
    mounted.verify(ADA, &first).await.refused(401, "E061102");
    let answer = mounted.verify(ADA, &second).await.ok();
    assert_eq!(answer.json()["user"]["loginIds"], json!([EVE]));
}
