//! Reading, setting and verifying an address.

use engine::MessageKind;
use serde_json::json;
use testkit::world::unlimited;

use crate::support::{ADA, BOB, EMAIL, EVE, Mounted, PROJECT, address};

#[tokio::test]
async fn st_33_a_new_address_is_shown_at_once_and_is_the_users_when_its_code_comes_back_of_which_the_old_one_is_told() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    assert_eq!(mounted.shown(&ada.token).await, (ADA.to_owned(), true));
    mounted.pass(60);

    let answer = mounted.set(&ada.token, BOB).await.ok();
    let details = json!({
        "sequence": "1", "creationDate": "2026-03-01T12:00:00Z", "changeDate": "2026-03-01T12:01:00Z",
        "resourceOwner": PROJECT,
    });
    assert_eq!(answer.json(), json!({"details": details}));
    assert_eq!(mounted.email(&ada.token).await.ok().json(), json!({"details": details, "email": {"email": BOB}}));
    // It signs nobody in yet, and the old one still does.
    let project = mounted.world.project().clone();
    assert!(mounted.engine().owner(&project, &address(BOB)).await.is_err());
    assert_eq!(mounted.engine().owner(&project, &address(ADA)).await.unwrap().identity.id, ada.identity);

    mounted.pass(60);
    let code = mounted.code(BOB).await;
    let told = async || mounted.engine().inbox(Some(address(ADA))).await.unwrap().remove(0).message;
    assert_eq!(told().await.kind, MessageKind::Code, "the one by which she signed in");
    let answer = mounted.verify(&ada.token, &code).await.ok();
    let notice = told().await;
    assert_eq!((notice.kind, notice.replaced_by.as_deref()), (MessageKind::AddressReplaced, Some("b***@example.com")));
    let details = json!({
        "sequence": "2", "creationDate": "2026-03-01T12:00:00Z", "changeDate": "2026-03-01T12:02:00Z",
        "resourceOwner": PROJECT,
    });
    assert_eq!(answer.json(), json!({"details": details}));
    let email = json!({"email": BOB, "isEmailVerified": true});
    assert_eq!(mounted.email(&ada.token).await.ok().json(), json!({"details": details, "email": email}));
    assert!(mounted.engine().owner(&project, &address(ADA)).await.is_err(), "the old one is nobody's");
    assert_eq!(mounted.engine().owner(&project, &address(BOB)).await.unwrap().identity.id, ada.identity);
}

#[tokio::test]
async fn the_same_address_is_no_change_and_nor_is_another_letter_case() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    for email in [ADA, "ADA@EXAMPLE.COM", "Ada@example.com"] {
        mounted.set(&ada.token, email).await.refused(400, 9, "COMMAND-2b7fM");
    }
    mounted.set(&ada.token, BOB).await.ok();
    mounted.set(&ada.token, "BOB@example.com").await.refused(400, 9, "COMMAND-2b7fM");
    assert_eq!(mounted.shown(&ada.token).await, (BOB.to_owned(), false));
}

#[tokio::test]
async fn who_thinks_better_of_it_proves_the_other_address() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    mounted.set(&ada.token, BOB).await.ok();
    let first = mounted.code(BOB).await;
    mounted.pass(5);
    mounted.set(&ada.token, EVE).await.ok();
    assert_eq!(mounted.shown(&ada.token).await, (EVE.to_owned(), false));
    mounted.verify(&ada.token, &first).await.refused(400, 3, "COMMAND-Gdsgs");
    mounted.verify(&ada.token, &mounted.code(EVE).await).await.ok();
    assert_eq!(mounted.shown(&ada.token).await, (EVE.to_owned(), true));
}

#[tokio::test]
async fn back_to_the_address_of_before_needs_a_code_too_and_changes_nothing() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    mounted.set(&ada.token, BOB).await.ok();
    let abandoned = mounted.code(BOB).await;
    mounted.pass(5);
    mounted.set(&ada.token, ADA).await.ok();
    assert_eq!(mounted.shown(&ada.token).await, (ADA.to_owned(), true), "it was proved once");
    mounted.resend(&ada.token).await.refused(400, 9, "COMMAND-3M9ds");
    mounted.verify(&ada.token, &abandoned).await.refused(400, 3, "COMMAND-Gdsgs");
    mounted.verify(&ada.token, &mounted.code(ADA).await).await.ok();
    assert_eq!(mounted.shown(&ada.token).await, (ADA.to_owned(), true));
}

#[tokio::test]
async fn st_34_an_address_of_somebody_else_gets_the_same_answer_and_no_mail() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    let free = mounted.set(&ada.token, EVE).await.ok();
    let bob = mounted.signed_in(BOB).await;
    let old_code = mounted.code(BOB).await;
    let eve = mounted.signed_in("eve2@example.com").await;
    let mut taken = mounted.set(&eve.token, BOB).await.ok();
    assert_eq!(taken.headers, free.headers);
    taken.body = free.body.clone();
    assert_eq!(taken, free);
    assert_eq!(mounted.code(BOB).await, old_code, "nothing was sent");
    for token in [&eve.token, &ada.token] {
        mounted.verify(token, &old_code).await.refused(400, 3, "COMMAND-Gdsgs");
    }
    assert_eq!(mounted.shown(&bob.token).await, (BOB.to_owned(), true));
    assert_eq!(mounted.shown(&eve.token).await, (BOB.to_owned(), false), "what she typed");
}

#[tokio::test]
async fn st_34_nor_is_it_told_where_the_policy_would_allow_it() {
    let mounted = Mounted::with(engine::Policy { reveals_accounts: true, ..unlimited() }, "").await;
    mounted.signed_in(BOB).await;
    let ada = mounted.signed_in(ADA).await;
    mounted.set(&ada.token, BOB).await.ok();
}

#[tokio::test]
async fn an_address_that_became_somebody_elses_meanwhile_is_not_to_be_had() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    mounted.set(&ada.token, BOB).await.ok();
    let code = mounted.code(BOB).await;
    mounted.pass(5);
    let bob = mounted.signed_in(BOB).await;
    mounted.verify(&ada.token, &code).await.refused(404, 5, "COMMAND-3n8ud");
    assert_eq!(mounted.shown(&ada.token).await, (ADA.to_owned(), true));
    assert_eq!(mounted.shown(&bob.token).await, (BOB.to_owned(), true));
}

#[tokio::test]
async fn st_15_st_19_what_is_no_plain_address_is_refused_in_one_of_two_ways() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    let long = format!("a@{}.example.test", [(); 4].map(|()| "b".repeat(60)).join("."));
    for email in ["", "nope", "a@", "@example.com", "a@b@", "a@example.com,b@example.com", long.as_str()] {
        let answer = mounted.set(&ada.token, email).await.refused(400, 3, "");
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        let shape = "invalid SetMyEmailRequest.Email: value must be a valid email address | caused by: ";
        assert!(message.starts_with(shape), "{message}");
        assert!(email.is_empty() || !message.contains(email), "{message}");
    }
    for email in
        ["Ann <ann@example.test>", "änn@example.test", "\"a b\"@example.test", " ann@example.test", "a@example"]
    {
        let answer = mounted.set(&ada.token, email).await.refused(400, 3, "EMAIL-599BI");
        assert_eq!(answer.json()["message"], "Email is invalid (EMAIL-599BI)");
    }
    for body in ["", "{}", r#"{"email":null}"#, r#"{"Email":"x@example.com"}"#] {
        let request = crate::support::request(http::Method::PUT, EMAIL, &ada.token, body);
        mounted.ask(request).await.refused(400, 3, "");
    }
    for body in [r#"{"email":["x@example.com"]}"#, r#"{"email":"x@example.com","email":"y@example.com"}"#] {
        let request = crate::support::request(http::Method::PUT, EMAIL, &ada.token, body);
        mounted.ask(request).await.refused(400, 3, "");
    }
    assert_eq!(mounted.shown(&ada.token).await, (ADA.to_owned(), true));
    mounted.set(&ada.token, "root@localhost").await.ok();
}

#[tokio::test]
async fn an_address_nobody_proves_is_forgotten_after_a_day() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    mounted.set(&ada.token, BOB).await.ok();
    let code = mounted.code(BOB).await;
    mounted.pass(24 * 3600 - 1);
    let token = mounted.renewed(&ada);
    assert_eq!(mounted.shown(&token).await, (BOB.to_owned(), false));
    mounted.pass(1);
    let token = mounted.renewed(&ada);
    assert_eq!(mounted.shown(&token).await, (ADA.to_owned(), true));
    mounted.resend(&token).await.refused(400, 9, "COMMAND-3M9ds");
    mounted.verify(&token, &code).await.refused(400, 3, "COMMAND-Gdsgs");
    mounted.set(&token, BOB).await.ok();
    mounted.verify(&token, &mounted.code(BOB).await).await.ok();
}

#[tokio::test]
async fn too_many_messages_to_an_address_are_refused_and_say_how_long_to_wait() {
    let mounted =
        Mounted::with(engine::Policy { send_limit: Some(engine::SendLimit::default()), ..unlimited() }, "").await;
    let ada = mounted.signed_in(ADA).await;
    mounted.set(&ada.token, BOB).await.ok();
    mounted.world.clock.advance(std::time::Duration::from_millis(4_001));
    let answer = mounted.resend(&ada.token).await.refused(429, 8, "CSIGN-RATE1");
    assert_eq!(answer.json()["message"], "Too many requests (CSIGN-RATE1)");
    assert_eq!(answer.header("retry-after"), "26", "rounded up");
    mounted.pass(26);
    mounted.resend(&ada.token).await.ok();
    mounted.verify(&ada.token, &mounted.code(BOB).await).await.ok();
}
