//! What a proof proves, and what it does not: ST-26, 27, 29, 31 and 32.

use std::time::Duration;

use engine::{
    Attempt, Change, CodeFormat, Disclosure, Handle, Keeping, Naming, NewChallenge, Purpose, Registered, ResendMode,
    Strangers,
};
use serde_json::json;
use testkit::world::other_than;

use crate::support::{ADA, Answer, BOB, Mounted, address, jwt};

const EVE: &str = "eve@example.com";

/// Takes `from` away from who holds `token`, who has `to` then: by another way than the slot that `from` names.
async fn replaced(mounted: &Mounted, token: &str, from: &str, to: &str) {
    let context = mounted.context();
    let handle = Handle::new("descope", &mounted.project().id, "elsewhere", to.as_bytes());
    let change =
        Change { session: mounted.session_of(token), generation: 0, current: address(from), keeping: Keeping::Replace };
    let challenge = NewChallenge {
        handle,
        naming: Naming::Public,
        purpose: Purpose::ChangeAddress,
        address: address(to),
        identity: None,
        change: Some(change),
        attributes: None,
        memo: None,
        disclosure: Disclosure::Uniform,
        format: CodeFormat::SIX_DIGITS,
        mode: ResendMode::SameCode,
        flow_life: Duration::from_mins(10),
        code_life: None,
        max_attempts: None,
        link: None,
        strangers: Strangers::Silent,
        device: None,
    };
    mounted.engine().start_challenge(&context, challenge).await.unwrap();
    let code = mounted.code(to).await;
    mounted.engine().verify(&context, Attempt { handles: &[handle], code: &code, session: None }).await.unwrap();
}

#[tokio::test]
async fn st_26_nothing_that_is_said_makes_anything_verified() {
    let mounted = Mounted::new().await;
    let claims = json!({
        "verified": true, "verifiedEmail": true, "verifiedPhone": true, "status": "enabled", "roleNames": ["Tenant Admin"],
        "userTenants": [{"tenantId": "T1"}], "permissions": ["all"], "test": true, "userId": "U1", "loginIds": [EVE]
    });
    let mut user = claims.clone();
    user["phone"] = json!("+4930123456");
    user["name"] = json!("Ada");
    let mut body = claims.clone();
    body["loginId"] = json!(ADA);
    body["user"] = user;
    body["loginOptions"] = json!({"customClaims": {"roles": ["Tenant Admin"], "amr": ["mfa"], "sub": "U1"}});
    mounted.post("/v1/auth/otp/signup/email", &body.to_string()).await.ok();
    let answer = mounted.verify(ADA, &mounted.code(ADA).await).await.ok();
    let user = &answer.json()["user"];
    assert_eq!((&user["phone"], &user["verifiedPhone"]), (&json!("+4930123456"), &json!(false)));
    assert_eq!((&user["roleNames"], &user["permissions"], &user["test"]), (&json!([]), &json!([]), &json!(false)));
    assert_eq!((&user["loginIds"], &user["userTenants"]), (&json!([ADA]), &json!([])));
    let session = jwt(&answer.session_jwt()).1;
    assert_eq!((&session["amr"], session.get("roles")), (&json!(["email"]), None));
    assert_eq!(session["sub"], user["userId"]);
    assert_ne!(session["sub"], "U1");

    let mut body = claims;
    body["loginId"] = json!(ADA);
    body["email"] = json!(BOB);
    mounted.post_as(&answer.refresh_jwt(), "/v1/auth/otp/update/email", &body.to_string()).await.ok();
    let user = mounted.me(&answer.refresh_jwt()).await.ok().json();
    assert_eq!((&user["email"], &user["loginIds"]), (&json!(ADA), &json!([ADA])));
}

#[tokio::test]
async fn st_27_a_sign_in_for_an_address_that_was_removed_meanwhile_is_refused() {
    for which in ["signin", "signup-in"] {
        let mounted = Mounted::new().await;
        let token = mounted.signed_in(ADA).await.refresh_jwt();
        mounted.start(which, ADA).await.ok();
        let code = mounted.code(ADA).await;
        replaced(&mounted, &token, ADA, BOB).await;
        mounted.verify(ADA, &code).await.refused(401, "E061102");
        mounted.verify(ADA, &code).await.refused(401, "E061102");
        assert_eq!(mounted.me(&token).await.ok().json()["loginIds"], json!([BOB]), "{which}: nothing is given back");
    }
}

#[tokio::test]
async fn st_27_a_sign_up_for_an_address_that_was_proved_and_removed_meanwhile_is_refused() {
    let mounted = Mounted::new().await;
    mounted.engine().register(mounted.world.project(), address(ADA)).await.unwrap();
    mounted.start("signup", ADA).await.ok();
    let code = mounted.code(ADA).await;
    // She proves it at another surface of the project, and changes it.
    let handle = Handle::new("descope", &mounted.project().id, "elsewhere", b"ada");
    let mut challenge = mounted.world.challenge("ada", Purpose::SignIn, &address(ADA));
    challenge.handle = handle;
    mounted.engine().start_challenge(&mounted.context(), challenge).await.unwrap();
    let elsewhere = mounted.code(ADA).await;
    let attempt = Attempt {
        handles: &[handle],
        code: &elsewhere,
        session: Some(engine::SessionTerms::of(Duration::from_hours(1))),
    };
    mounted.engine().verify(&mounted.context(), attempt).await.unwrap();
    mounted.verify(ADA, &code).await.refused(401, "E061102");
}

#[tokio::test]
async fn st_27_a_change_of_an_address_that_was_removed_meanwhile_is_refused() {
    let mounted = Mounted::new().await;
    let token = mounted.signed_in(ADA).await.refresh_jwt();
    mounted.update(&token, ADA, BOB).await.ok();
    let code = mounted.code(BOB).await;
    replaced(&mounted, &token, ADA, EVE).await;
    mounted.verify(ADA, &code).await.refused(401, "E061102");
    assert_eq!(mounted.me(&token).await.ok().json()["loginIds"], json!([EVE]));
}

#[tokio::test]
async fn st_27_proof_for_one_address_never_marks_another() {
    let mounted = Mounted::new().await;
    for email in [ADA, BOB] {
        mounted.start("signup-in", email).await.ok();
    }
    let code = mounted.code(ADA).await;
    mounted.verify(BOB, &code).await.refused(401, "E061102");
    let answer = mounted.verify(ADA, &code).await.ok();
    assert_eq!(answer.json()["user"]["loginIds"], json!([ADA]));
}

#[tokio::test]
async fn st_29_a_code_of_a_pending_change_never_signs_in() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    mounted.update(&ada.refresh_jwt(), ADA, BOB).await.ok();
    let change = mounted.code(BOB).await;
    // Whoever reads the new address cannot come in with it by its own name.
    mounted.verify(BOB, &change).await.refused(401, "E061102");
    mounted.world.clock.advance(Duration::from_secs(5));
    mounted.start("signup-in", BOB).await.ok();
    mounted.verify(BOB, &change).await.refused(401, "E061102");
    // It does what it is for, with the login id of who asked, and that once.
    let answer = mounted.verify(ADA, &change).await.ok();
    assert_eq!(answer.json()["user"]["loginIds"], json!([BOB]));
    mounted.verify(ADA, &change).await.refused(401, "E061102");
    mounted.verify(BOB, &change).await.refused(401, "E061102");
}

#[tokio::test]
async fn st_29_a_sign_in_leaves_a_pending_change_as_it_is() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    mounted.update(&ada.refresh_jwt(), ADA, BOB).await.ok();
    let change = mounted.code(BOB).await;
    mounted.start("signin", ADA).await.ok();
    let signed_in = mounted.verify(ADA, &mounted.code(ADA).await).await.ok();
    assert_eq!(signed_in.json()["user"]["loginIds"], json!([ADA]));
    let changed = mounted.verify(ADA, &change).await.ok();
    assert_eq!(changed.json()["user"]["loginIds"], json!([BOB]));
}

#[tokio::test]
async fn st_29_a_wrong_code_counts_for_each_of_the_two_it_may_have_been_meant_for() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    mounted.update(&ada.refresh_jwt(), ADA, BOB).await.ok();
    mounted.start("signin", ADA).await.ok();
    let (change, sign_in) = (mounted.code(BOB).await, mounted.code(ADA).await);
    let wrong = (0..10).map(|n| format!("{n:06}")).find(|code| *code != change && *code != sign_in).unwrap();
    for _ in 0..5 {
        mounted.verify(ADA, &wrong).await.refused(401, "E061102");
    }
    for code in [change, sign_in] {
        mounted.verify(ADA, &code).await.refused(401, "E061103");
    }
}

/// What a stranger left behind for `victim` before she came.
async fn signed_up_after(mounted: &Mounted) -> Answer {
    mounted.world.clock.advance(Duration::from_mins(11));
    let body = json!({"loginId": ADA, "user": {"name": "Ada"}}).to_string();
    mounted.post("/v1/auth/otp/signup/email", &body).await.ok();
    mounted.verify(ADA, &mounted.code(ADA).await).await.ok()
}

#[tokio::test]
async fn st_31_what_a_stranger_said_in_a_sign_up_he_cannot_finish_is_gone() {
    let mounted = Mounted::new().await;
    let body = json!({
        "loginId": ADA, "user": {"name": "Eve", "phone": "+4930666666"},
        "loginOptions": {"customClaims": {"planted": true}}
    });
    mounted.post("/v1/auth/otp/signup/email", &body.to_string()).await.ok();
    mounted.verify(ADA, &other_than(&mounted.code(ADA).await)).await.refused(401, "E061102");
    let answer = signed_up_after(&mounted).await;
    let user = &answer.json()["user"];
    assert_eq!((&user["name"], &user["phone"], &user["loginIds"]), (&json!("Ada"), &json!(""), &json!([ADA])));
    assert!(jwt(&answer.session_jwt()).1.get("nsec").is_none());
}

#[tokio::test]
async fn st_31_what_was_said_about_who_had_not_come_yet_is_replaced_by_her_own_words() {
    let mounted = Mounted::new().await;
    let registered = mounted.engine().register(mounted.world.project(), address(ADA)).await.unwrap();
    let Registered::Added(owner) = registered else { panic!("it was there") };
    let answer = signed_up_after(&mounted).await;
    assert_eq!(answer.json()["firstSeen"], true);
    assert_eq!(answer.json()["user"]["name"], "Ada");
    let session = mounted.world.session(mounted.session_of(&answer.refresh_jwt())).await.unwrap();
    assert_eq!(session.identity, owner.identity.id, "it is the account that was there");
}

#[tokio::test]
async fn st_31_a_change_to_an_address_ends_when_its_owner_comes() {
    for is_added in [true, false] {
        let mounted = Mounted::new().await;
        let eve = mounted.signed_in(EVE).await.refresh_jwt();
        if is_added {
            mounted.add(&eve, EVE, ADA).await.ok();
        } else {
            mounted.update(&eve, EVE, ADA).await.ok();
        }
        let planted = mounted.code(ADA).await;
        mounted.world.clock.advance(Duration::from_secs(5));
        let ada = mounted.signed_in(ADA).await;
        mounted.verify(EVE, &planted).await.refused(401, "E061102");
        assert_eq!(mounted.me(&ada.refresh_jwt()).await.ok().json()["loginIds"], json!([ADA]));
        assert_eq!(mounted.me(&eve).await.ok().json()["loginIds"], json!([EVE]));
    }
}

#[tokio::test]
async fn st_31_sessions_of_before_are_not_sessions_of_hers() {
    let mounted = Mounted::new().await;
    // He had the address, gave it up, and she comes by it.
    let before = mounted.signed_in(ADA).await;
    mounted.update(&before.refresh_jwt(), ADA, EVE).await.ok();
    mounted.verify(ADA, &mounted.code(EVE).await).await.ok();
    mounted.world.clock.advance(Duration::from_secs(5));
    let hers = mounted.signed_in(ADA).await;
    assert_ne!(hers.json()["user"]["userId"], before.json()["user"]["userId"]);
    assert_eq!(mounted.me(&before.refresh_jwt()).await.ok().json()["loginIds"], json!([EVE]));
    mounted.update(&before.refresh_jwt(), ADA, BOB).await.refused(401, "E064001");
    mounted.post_as(&before.refresh_jwt(), "/v1/auth/logoutall", "").await.ok();
    mounted.me(&hers.refresh_jwt()).await.ok();
}

#[tokio::test]
async fn st_32_before_a_proof_there_is_no_session_and_no_token() {
    let mounted = Mounted::new().await;
    let mut answers = Vec::new();
    for which in ["signin", "signup", "signup-in"] {
        answers.push(mounted.start(which, ADA).await);
    }
    answers.push(mounted.verify(ADA, "000000").await);
    answers.push(mounted.post("/v1/auth/refresh", "").await);
    answers.push(mounted.post("/v1/auth/try-refresh", "").await);
    answers.push(mounted.post("/v1/auth/validate", "").await);
    for answer in answers {
        assert!(!answer.body.contains("eyJ"), "{answer}");
        assert_eq!(answer.header("set-cookie"), "");
    }
}
