//! What is there before anything was proved: nothing.

use serde_json::json;

use super::entries;
use super::entry::{Owner, Verdict};
use super::stage::{Stage, credentials, other_than};

#[tokio::test]
async fn st_26_nobody_verifies_himself_by_saying_so_at_any_entry() {
    let stage = Stage::dev().await;
    let now = "2026-01-01T00:00:00Z";
    let claims = json!({
        "verified": true, "is_verified": true, "isVerified": true, "isEmailVerified": true, "emailVerified": true, "email_verified": true,
        "verifiedEmail": true, "verified_at": now, "verifiedAt": now, "state": "passed_challenge", "status": "completed",
        "verifiable_addresses": [{"value": "ada@example.com", "via": "email", "verified": true, "status": "completed"}],
        "metadata_admin": {"verified": true}, "success": {"token": "x"}, "active_signin": {"id": "1"}, "completed": true,
    });
    for entry in entries() {
        for is_proved_after_all in [false, true] {
            let address = stage.address();
            if entry.owner == Owner::Somebody {
                stage.add(&address).await;
            }
            let mut visitor = stage.visitor().claiming(&claims);
            let Some(live) = (entry.ask)(&stage, &mut visitor, &address).await else {
                panic!("{}: {}", entry.name, visitor.answers.last().unwrap().whole());
            };
            assert_eq!(credentials(&visitor.answers), [""; 0], "{}", entry.name);
            let code = stage.code_to(&address).await;
            assert_eq!(stage.bring(&live, &other_than(&code)).await, Verdict::Wrong, "{}", entry.name);
            // The other half of them shows that the claims did not stand in the way of it.
            if is_proved_after_all {
                assert_eq!(stage.bring(&live, &code).await, Verdict::Passed, "{}", entry.name);
                stage.proved(&live, &address);
            }
        }
    }
    // Here it is seen whose addresses are proved.
    stage.stop("SELECT 0").await;
}

#[tokio::test]
async fn st_32_there_is_no_session_and_no_token_before_a_proof_at_any_entry() {
    let stage = Stage::dev().await;
    // Who has to be signed in to ask has a session before.
    for entry in entries().into_iter().filter(|entry| !entry.is_for_users) {
        let address = stage.address();
        if entry.owner == Owner::Somebody {
            stage.add(&address).await;
        }
        let mut visitor = stage.visitor();
        let live = (entry.ask)(&stage, &mut visitor, &address).await.unwrap();
        let code = stage.code_to(&address).await;
        // To the last guess and beyond, and the right one when it is too late.
        for _ in 0..6 {
            let wrong = visitor.send_as_is(&live.bring(&other_than(&code))).await;
            assert_ne!(live.verdict(&wrong), Verdict::Passed, "{}", entry.name);
        }
        let late = visitor.send_as_is(&live.bring(&code)).await;
        assert_ne!(live.verdict(&late), Verdict::Passed, "{}", entry.name);
        if let Some(signed_in) = &live.signed_in {
            let seen = stage.send(&signed_in.request(&visitor.cookies)).await;
            assert!(!(signed_in.is)(&seen), "{}: {}", entry.name, seen.whole());
        }
        assert_eq!(credentials(&visitor.answers), [""; 0], "{}", entry.name);
    }
    let statement = "SELECT (SELECT count(*) FROM sessions) + (SELECT count(*) FROM tickets)";
    let rows = stage.stop(statement).await;
    assert!(rows.is_none_or(|count| count == 0), "{rows:?}");
}
