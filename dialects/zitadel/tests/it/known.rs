//! A token says from where somebody asks: where its session was opened, his own addresses know him.

use engine::{Attempt, Change, Keeping, Naming, Policy, Purpose, SendLimit};
use testkit::world::{other_than, unlimited};
use web::hand_over::AUTHORIZATION_SERVER;

use crate::support::{ADA, BOB, EVE, Mounted, SignedIn, address};

/// Ada, who has proved another address beside her first.
async fn with_two_addresses(mounted: &Mounted) -> SignedIn {
    let ada = mounted.signed_in(ADA).await;
    let context = mounted.context();
    let handle = mounted.world.handle("beside");
    let mut challenge = mounted.world.challenge("beside", Purpose::ChangeAddress, &address(BOB));
    challenge.change =
        Some(Change { session: ada.session, generation: None, current: address(ADA), keeping: Keeping::Both });
    challenge.naming = Naming::Public;
    mounted.engine().start_challenge(&context, challenge).await.unwrap();
    let code = mounted.code(BOB).await;
    mounted.engine().verify(&context, Attempt { handles: &[handle], code: &code, session: None }).await.unwrap();
    ada
}

/// A stranger at the authorization server spends what strangers may guess about `email`.
async fn spend(mounted: &Mounted, email: &str) {
    let context = mounted.context_of(AUTHORIZATION_SERVER);
    let challenge = mounted.world.challenge("stranger", Purpose::SignIn, &address(email));
    let handles = [challenge.handle];
    mounted.engine().start_challenge(&context, challenge).await.unwrap();
    let wrong = other_than(&mounted.code(email).await);
    for _ in 0..5 {
        let attempt = Attempt { handles: &handles, code: &wrong, session: None };
        mounted.engine().verify(&context, attempt).await.unwrap_err();
    }
}

#[tokio::test]
async fn an_own_address_is_sent_short_codes_when_strangers_have_spent_theirs() {
    let mounted = Mounted::new().await;
    let ada = with_two_addresses(&mounted).await;
    assert_eq!(mounted.shown(&ada.token).await, (BOB.to_owned(), true));
    spend(&mounted, ADA).await;
    // Back to the address that she has already.
    mounted.set(&ada.token, ADA).await.ok();
    let code = mounted.code(ADA).await;
    assert_eq!(code.len(), 6);
    mounted.verify(&ada.token, &code).await.ok();
}

#[tokio::test]
async fn an_own_address_does_not_wait_because_strangers_asked() {
    let policy = Policy { send_limit: Some(SendLimit::default()), ..unlimited() };
    let mounted = Mounted::with(policy, "").await;
    let ada = with_two_addresses(&mounted).await;
    mounted.pass(60);
    let context = mounted.context_of(AUTHORIZATION_SERVER);
    let stranger = mounted.world.challenge("stranger", Purpose::SignIn, &address(ADA));
    mounted.engine().start_challenge(&context, stranger).await.unwrap();
    mounted.set(&ada.token, ADA).await.ok();
    mounted.set(&ada.token, EVE).await.ok();
}

#[tokio::test]
async fn to_an_address_that_is_nobodys_or_somebody_elses_everybody_is_a_stranger() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    mounted.signed_in(BOB).await;
    for email in [BOB, EVE] {
        mounted.set(&ada.token, email).await.ok();
        for _ in 0..5 {
            mounted.verify(&ada.token, "AAAAAAA").await.refused(400, 3, "COMMAND-Gdsgs");
        }
        // Strangers have had their guesses with that.
        let context = mounted.context_of(AUTHORIZATION_SERVER);
        let key = format!("stranger to {email}");
        let challenge = mounted.world.challenge(&key, Purpose::SignInOrUp, &address(email));
        let started = mounted.engine().start_challenge(&context, challenge).await.unwrap();
        assert!(started.flow.challenge.unwrap().format.is_long(), "{email}");
    }
}
