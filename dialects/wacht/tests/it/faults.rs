//! What is said where the engine refuses or fails.

use std::sync::Arc;
use std::time::Duration;

use engine::{Deaf, Engine, MasterKey, Parts, Project, ProjectId, Projects, Refusal, Store, StoreError};
use http::Method;
use testkit::env::SeededEntropy;
use testkit::scripted::{Script, Scripted, names_every_refusal};
use testkit::world::{MASTER_KEY, unlimited};
use web::Surface;

use crate::support::{ADA, Answer, BOB, Kind, Mounted, ask, mount, post_form, with_headers};

/// The surface on a store that does as it is told, and a session that somebody is signed in at and that has an open attempt.
struct Stage {
    /// Keeps the database of the real store.
    _mounted: Mounted,
    store: Arc<Scripted>,
    surface: Surface,
    token: String,
    sign_in: String,
    attempt: String,
}

/// What each kind of call answered.
struct Played {
    prepare: Answer,
    verify: Answer,
    switch: Answer,
    sign_out: Answer,
}

impl Stage {
    async fn new() -> Self {
        let mounted = Mounted::new().await;
        let browser = mounted.browser();
        let session = browser.signs(Kind::SignUp, ADA).await.session();
        let attempt = browser.prepared(Kind::SignUp, BOB).await.id;
        let (token, sign_in) = (browser.token(), session["active_signin_id"].as_str().unwrap().to_owned());
        let inner = Arc::clone(&mounted.world.calls) as Arc<dyn Store>;
        let store = Arc::new(Scripted::new(inner, Script::Refuse(Refusal::FlowNotFound)));
        let project = Project { id: ProjectId::new("P1"), name: "Test".to_owned(), policy: unlimited() };
        let parts = Parts {
            store: Arc::clone(&store) as Arc<dyn Store>,
            clock: Arc::clone(&mounted.world.clock) as Arc<dyn engine::Clock>,
            entropy: Arc::new(SeededEntropy::new(2)),
            node: 1,
            projects: Projects::new(project, []),
            master_key: MasterKey::new(MASTER_KEY),
            observer: Arc::new(Deaf),
        };
        let engine = Arc::new(Engine::open(parts).await.unwrap());
        let surface = mount(&engine, "mode = \"staging\"").unwrap();
        Self { _mounted: mounted, store, surface, token, sign_in, attempt }
    }

    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let between = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{between}__dev_session__={}", self.token);
        ask(&self.surface.router, post_form(&path, fields)).await
    }

    /// What is answered while the store follows `script`.
    async fn play(&self, script: Script) -> Played {
        self.store.follow(script);
        let named = format!("attempt_identifier={}&identifier_type=signup&strategy=email_otp", self.attempt);
        Played {
            prepare: self.post(&format!("/auth/prepare-verification?{named}"), &[]).await,
            verify: self.post(&format!("/auth/attempt-verification?{named}"), &[("verification_code", "123456")]).await,
            switch: self.post(&format!("/session/switch-sign-in?sign_in_id={}", self.sign_in), &[]).await,
            sign_out: self.post("/session/sign-out", &[]).await,
        }
    }
}

/// A refusal, and what it comes to at a preparation, at a verification and with a session.
const REFUSALS: [(Refusal, [(u16, &str); 3]); 17] = {
    const WRONG: (u16, &str) = (400, "INVALID_CODE");
    const EXPIRED: (u16, &str) = (400, "EXPIRED_CODE");
    const NO_ATTEMPT: (u16, &str) = (400, "INVALID_ATTEMPT");
    const EXHAUSTED: (u16, &str) = (429, "TOO_MANY_ATTEMPTS");
    const NOBODY: (u16, &str) = (401, "NOT_AUTHENTICATED");
    const INTERNAL: (u16, &str) = (500, "INTERNAL");
    [
        (Refusal::FlowNotFound, [NO_ATTEMPT; 3]),
        (Refusal::FlowExpired, [NO_ATTEMPT; 3]),
        (Refusal::FlowPassed, [NO_ATTEMPT; 3]),
        (Refusal::CodeMismatch { left: 3 }, [WRONG; 3]),
        (Refusal::CodeExpired, [EXPIRED; 3]),
        (Refusal::AttemptsExhausted, [EXHAUSTED; 3]),
        (Refusal::AddressMalformed, [(400, "VALIDATION_ERROR"); 3]),
        (Refusal::AddressTaken, [(400, "EMAIL_EXISTS"); 3]),
        (Refusal::IdentityNotFound, [WRONG, WRONG, NOBODY]),
        (Refusal::IdentityInactive, [(403, "USER_DISABLED"); 3]),
        (Refusal::IdentityChanged, [INTERNAL; 3]),
        (Refusal::SessionEnded, [(400, "INVALID_SIGNIN"); 3]),
        (Refusal::TokenInvalid, [NOBODY; 3]),
        (Refusal::TokenReused, [NOBODY; 3]),
        (Refusal::TicketInvalid, [INTERNAL; 3]),
        (Refusal::TicketReused, [INTERNAL; 3]),
        (Refusal::TooSoon { retry_after: Duration::from_millis(61_001) }, [(429, "RATE_LIMIT_EXCEEDED"); 3]),
    ]
};

#[tokio::test]
async fn every_refusal_has_one_answer() {
    let stage = Stage::new().await;
    assert!(names_every_refusal(REFUSALS.map(|(refusal, _)| refusal)));
    for (refusal, expected) in REFUSALS {
        let Played { prepare, verify, switch, sign_out } = stage.play(Script::Refuse(refusal)).await;
        assert_eq!(switch.json()["errors"], sign_out.json()["errors"]);
        for (answer, (status, code)) in [prepare, verify, switch].into_iter().zip(expected) {
            let answer = answer.refused(status, code);
            assert_eq!(answer.token(), None, "{refusal:?}: nothing was rotated");
            assert!(answer.active().is_some(), "{refusal:?}: nobody was signed out");
            assert_eq!(answer.header("retry-after"), if code == "RATE_LIMIT_EXCEEDED" { "62" } else { "" });
        }
    }
}

#[tokio::test]
async fn a_fault_is_told_in_no_words_of_ours() {
    let stage = Stage::new().await;
    let internal = serde_json::json!([{"code": "INTERNAL", "message": "Something went wrong"}]);
    let again = "Something went wrong. Try again in a moment";
    let unavailable = serde_json::json!([{"code": "UNAVAILABLE", "message": again}]);
    for (fault, status, error, wait) in [
        (Script::Fail(|| StoreError::Unavailable("disk /var/lib is full".into())), 503, &unavailable, "2"),
        (Script::Fail(|| StoreError::Corrupt { table: "flows", column: "seed", id: 7 }), 500, &internal, ""),
        (Script::Fail(|| StoreError::Driver("no such table: flows".into())), 500, &internal, ""),
    ] {
        let Played { prepare, verify, switch, sign_out } = stage.play(fault).await;
        for answer in [prepare, verify, switch, sign_out] {
            assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (status, wait));
            assert_eq!((&answer.json()["errors"], &answer.json()["data"]), (error, &serde_json::Value::Null));
            assert!(answer.active().is_some());
        }
    }
}

#[tokio::test]
async fn without_a_key_there_is_no_token_and_nothing_else_is_missing() {
    let stage = Stage::new().await;
    let get = |path: &str| with_headers(Method::GET, &format!("{path}?__dev_session__={}", stage.token), &[], "");
    // It may still be made.
    ask(&stage.surface.router, get("/session/token")).await.refused(503, "UNAVAILABLE");
    ask(&stage.surface.router, get("/.well-known/jwk")).await.refused(500, "INTERNAL");
    ask(&stage.surface.router, get("/me")).await.ok();
}
