//! The user, and addresses that were there before they were proved.

use std::time::Duration;

use engine::{Address, IdentityChange, IdentityState, NewIdentity, NewTicket, SessionTerms, Taking, WantedAddress};
use serde_json::json;
use testkit::world::LIFE;

use crate::support::{ADA, BOB, EVE, ME, Mounted, PROJECT, SignedIn, address};

/// An address as an operator gives it.
fn wanted(email: &str, verified: bool) -> WantedAddress {
    WantedAddress { address: address(email), verified: Some(verified) }
}

impl Mounted {
    /// Somebody whom an operator added with addresses, and who is signed in although he proved none himself.
    async fn added(&self, traits: &str, addresses: Vec<WantedAddress>) -> SignedIn {
        let context = self.context();
        let new = NewIdentity {
            traits: traits.to_owned(),
            metadata: "{}".to_owned(),
            state: IdentityState::Active,
            addresses,
        };
        let identity = self.engine().create_identity(&context, new).await.unwrap().identity.id;
        let binding = [0; 32];
        let new = NewTicket { kind: "test", binding, identity: Some(identity), method: "", body: &[], life: LIFE };
        let ticket = self.engine().put_ticket(&context, new).await.unwrap();
        let session = Some(SessionTerms::of(Duration::from_hours(48)));
        let taking = Taking { kind: "test", ticket: ticket.expose(), binding, session };
        let session = self.engine().take_ticket(&context, taking).await.unwrap().session.unwrap().id;
        SignedIn { token: self.sign(&self.claims(session, identity)), session, identity }
    }
}

#[tokio::test]
async fn a_user_is_shown_as_far_as_he_is_known() {
    let mounted = Mounted::new().await;
    let traits = r#"{"givenName":"Ada","familyName":"Lovelace"}"#;
    let ada = mounted.added(traits, vec![wanted(ADA, true)]).await;
    let details = json!({
        "sequence": "1", "creationDate": "2026-03-01T12:00:00Z", "changeDate": "2026-03-01T12:00:00Z",
        "resourceOwner": PROJECT,
    });
    let mut user = json!({
        "id": ada.identity.get().to_string(),
        "details": details,
        "state": "USER_STATE_ACTIVE",
        "userName": ADA,
        "loginNames": [ADA],
        "preferredLoginName": ADA,
        "human": {
            "profile": {
                "firstName": "Ada", "lastName": "Lovelace", "displayName": "Ada Lovelace", "preferredLanguage": "und",
            },
            "email": {"email": ADA, "isEmailVerified": true},
            "phone": {},
        },
    });
    assert_eq!(mounted.get(&ada.token, ME).await.ok().json(), json!({"user": user}));

    // An address that is not proved yet is shown, and signs nobody in.
    mounted.set(&ada.token, BOB).await.ok();
    user["human"]["email"] = json!({"email": BOB});
    assert_eq!(mounted.get(&ada.token, ME).await.ok().json(), json!({"user": user}));
}

#[tokio::test]
async fn a_phone_number_is_shown_where_there_is_one() {
    let mounted = Mounted::new().await;
    let phone = |number: &str| WantedAddress {
        address: Address::from_stored(engine::Channel::Sms, number.to_owned(), number.to_owned()),
        verified: None,
    };
    let addresses = vec![wanted(ADA, true), phone("+41790000000"), phone("+41791234567")];
    let ada = mounted.added("{}", addresses).await;
    let body = mounted.get(&ada.token, ME).await.ok().json();
    assert_eq!(body["user"]["human"]["phone"], json!({"phone": "+41791234567"}));
    assert_eq!(body["user"]["loginNames"], json!([ADA, "+41790000000", "+41791234567"]));
    assert_eq!(body["user"]["userName"], ADA);
}

#[tokio::test]
async fn an_address_that_was_there_before_it_was_proved_is_verified_in_its_place() {
    let mounted = Mounted::new().await;
    let ada = mounted.added("{}", vec![wanted(ADA, false)]).await;
    assert_eq!(mounted.shown(&ada.token).await, (ADA.to_owned(), false));
    mounted.verify(&ada.token, "000000").await.refused(404, 5, "COMMAND-3n8ud");
    mounted.set(&ada.token, ADA).await.refused(400, 9, "COMMAND-2b7fM");
    mounted.resend(&ada.token).await.ok();
    let first = mounted.code(ADA).await;
    mounted.pass(5);
    mounted.resend(&ada.token).await.ok();
    let second = mounted.code(ADA).await;
    mounted.verify(&ada.token, &first).await.refused(400, 3, "COMMAND-Gdsgs");
    let answer = mounted.verify(&ada.token, &second).await.ok();
    assert_eq!(answer.json()["details"]["sequence"], "2");
    assert_eq!(mounted.shown(&ada.token).await, (ADA.to_owned(), true));
}

#[tokio::test]
async fn st_31_where_a_change_is_the_first_proof_everything_from_before_it_ends() {
    let mounted = Mounted::new().await;
    let ada = mounted.added("{}", vec![wanted(ADA, false)]).await;
    mounted.set(&ada.token, BOB).await.ok();
    mounted.verify(&ada.token, &mounted.code(BOB).await).await.ok();
    mounted.email(&ada.token).await.refused(401, 16, "AUTH-7fs1e");
    mounted.pass(5);
    let again = mounted.signed_in(BOB).await;
    assert_eq!(again.identity, ada.identity);
    assert_eq!(mounted.shown(&again.token).await, (BOB.to_owned(), true));
}

#[tokio::test]
async fn after_its_guesses_an_unproved_address_can_be_asked_about_again() {
    let mounted = Mounted::new().await;
    let ada = mounted.added("{}", vec![wanted(ADA, false)]).await;
    mounted.resend(&ada.token).await.ok();
    let code = mounted.code(ADA).await;
    for _ in 0..5 {
        mounted.verify(&ada.token, "000000").await.refused(400, 3, "COMMAND-Gdsgs");
    }
    mounted.verify(&ada.token, &code).await.refused(404, 5, "COMMAND-3n8ud");
    mounted.pass(5);
    mounted.resend(&ada.token).await.ok();
    mounted.verify(&ada.token, &mounted.code(ADA).await).await.ok();
    assert_eq!(mounted.shown(&ada.token).await, (ADA.to_owned(), true), "it verified, and changed nothing");
}

#[tokio::test]
async fn st_27_an_address_that_went_to_somebody_else_is_not_asked_about_again() {
    let mounted = Mounted::new().await;
    let ada = mounted.added("{}", vec![wanted(ADA, false)]).await;
    mounted.resend(&ada.token).await.ok();
    let code = mounted.code(ADA).await;
    for _ in 0..5 {
        mounted.verify(&ada.token, "000000").await.refused(400, 3, "COMMAND-Gdsgs");
    }
    let addresses = Some(vec![wanted(BOB, false)]);
    let change = IdentityChange { revision: None, traits: None, metadata: None, state: None, addresses };
    mounted.engine().change_identity(&mounted.context(), ada.identity, change).await.unwrap();
    mounted.added("{}", vec![wanted(ADA, false)]).await;
    mounted.pass(5);
    mounted.resend(&ada.token).await.ok();
    let sent = mounted.world.code(&address(ADA)).await;
    assert!(sent.is_none_or(|sent| sent == code), "a code went to somebody who did not ask");
}

#[tokio::test]
async fn of_several_addresses_the_newest_that_was_proved_is_the_users() {
    let mounted = Mounted::new().await;
    let ada = mounted.added("{}", vec![wanted(ADA, true), wanted(BOB, true), wanted(EVE, false)]).await;
    assert_eq!(mounted.shown(&ada.token).await, (BOB.to_owned(), true));
    let body = mounted.get(&ada.token, ME).await.ok().json();
    assert_eq!(body["user"]["loginNames"], json!([ADA, BOB, EVE]));
    // That one is replaced, and no other.
    mounted.set(&ada.token, "new@example.com").await.ok();
    mounted.verify(&ada.token, &mounted.code("new@example.com").await).await.ok();
    let account = mounted.engine().identity(&mounted.context(), ada.identity).await.unwrap();
    let addresses: Vec<_> = account.addresses.iter().map(|own| own.address.as_str()).collect();
    assert_eq!(addresses, [ADA, EVE, "new@example.com"]);
}

#[tokio::test]
async fn who_has_no_address_has_none_to_verify() {
    let mounted = Mounted::new().await;
    let nobody = mounted.added("{}", Vec::new()).await;
    let body = mounted.email(&nobody.token).await.ok().json();
    assert_eq!(body["email"], json!({}));
    let user = mounted.get(&nobody.token, ME).await.ok().json();
    assert_eq!(user["user"]["userName"], json!(nobody.identity.get().to_string()));
    mounted.set(&nobody.token, ADA).await.refused(400, 9, "COMMAND-0Pe4r");
    mounted.resend(&nobody.token).await.refused(404, 5, "COMMAND-0Pe4r");
    mounted.verify(&nobody.token, "000000").await.refused(404, 5, "COMMAND-3n8ud");
}

#[tokio::test]
async fn st_27_a_code_proves_nothing_once_the_address_or_the_user_is_gone() {
    let mounted = Mounted::new().await;
    let ada = mounted.added("{}", vec![wanted(ADA, true)]).await;
    mounted.set(&ada.token, BOB).await.ok();
    let code = mounted.code(BOB).await;
    // The address that the new one should replace was taken away by an operator.
    let addresses = Some(vec![wanted(EVE, true)]);
    let change = IdentityChange { revision: None, traits: None, metadata: None, state: None, addresses };
    mounted.engine().change_identity(&mounted.context(), ada.identity, change).await.unwrap();
    mounted.verify(&ada.token, &code).await.refused(404, 5, "COMMAND-3n8ud");
    assert_eq!(mounted.shown(&ada.token).await, (EVE.to_owned(), true));

    mounted.pass(5);
    mounted.set(&ada.token, BOB).await.ok();
    let code = mounted.code(BOB).await;
    mounted.engine().erase_identity(&mounted.context(), ada.identity).await.unwrap();
    mounted.verify(&ada.token, &code).await.refused(401, 16, "AUTH-7fs1e");
    let project = mounted.world.project().clone();
    assert!(mounted.engine().owner(&project, &address(BOB)).await.is_err());
}

#[tokio::test]
async fn who_may_not_sign_in_has_a_token_that_is_worth_nothing() {
    let mounted = Mounted::new().await;
    let ada = mounted.added("{}", vec![wanted(ADA, true)]).await;
    mounted.set(&ada.token, BOB).await.ok();
    let code = mounted.code(BOB).await;
    let state = Some(IdentityState::Inactive);
    let change = IdentityChange { revision: None, traits: None, metadata: None, state, addresses: None };
    mounted.engine().change_identity(&mounted.context(), ada.identity, change).await.unwrap();
    mounted.verify(&ada.token, &code).await.refused(401, 16, "AUTH-7fs1e");
    mounted.email(&ada.token).await.refused(401, 16, "AUTH-7fs1e");
}
