//! What is said where the engine refuses or fails.

use std::sync::Arc;
use std::time::Duration;

use engine::{Deaf, Engine, MasterKey, Parts, Project, ProjectId, Projects, Refusal, Store, StoreError};
use serde_json::json;
use testkit::env::SeededEntropy;
use testkit::scripted::{Script, Scripted, names_every_refusal};
use testkit::world::{MASTER_KEY, unlimited};
use web::Surface;

use crate::support::{ADA, Answer, BOB, Mounted, PROJECT, ask, get, mount, post};

/// The surface on a store that does as it is told, and the tokens of a session that is there.
struct Stage {
    /// Keeps the database of the real store.
    _mounted: Mounted,
    store: Arc<Scripted>,
    surface: Surface,
    session_jwt: String,
    refresh_jwt: String,
}

/// What each kind of call answered.
struct Played {
    start: Answer,
    update: Answer,
    verify: Answer,
    refresh: Answer,
    try_refresh: Answer,
    logout: Answer,
    validate: Answer,
    me: Answer,
}

impl Stage {
    async fn new() -> Self {
        let mounted = Mounted::new().await;
        let signed_in = mounted.signed_in(ADA).await;
        let inner = Arc::clone(&mounted.world.calls) as Arc<dyn Store>;
        let store = Arc::new(Scripted::new(inner, Script::Refuse(Refusal::FlowNotFound)));
        let project = Project { id: ProjectId::new(PROJECT), name: "Test".to_owned(), policy: unlimited() };
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
        engine.prepare_keys(&engine.projects().default_project().id, engine::Algorithm::Rs256).await.unwrap();
        let surface = mount(&engine, "").unwrap();
        let (session_jwt, refresh_jwt) = (signed_in.session_jwt(), signed_in.refresh_jwt());
        Self { _mounted: mounted, store, surface, session_jwt, refresh_jwt }
    }

    /// What is answered while the store follows `script`.
    async fn play(&self, script: Script) -> Played {
        self.store.follow(script);
        let router = &self.surface.router;
        let refresh = format!("{PROJECT}:{}", self.refresh_jwt);
        let session = format!("{PROJECT}:{}", self.session_jwt);
        let body = json!({"loginId": ADA, "email": BOB, "code": "123456"}).to_string();
        Played {
            start: ask(router, post("/v1/auth/otp/signin/email", PROJECT, &body)).await,
            update: ask(router, post("/v1/auth/otp/update/email", &refresh, &body)).await,
            verify: ask(router, post("/v1/auth/otp/verify/email", PROJECT, &body)).await,
            refresh: ask(router, post("/v1/auth/refresh", &refresh, "")).await,
            try_refresh: ask(router, post("/v1/auth/try-refresh", &refresh, "")).await,
            logout: ask(router, post("/v1/auth/logoutall", &refresh, "")).await,
            validate: ask(router, post("/v1/auth/validate", &session, "")).await,
            me: ask(router, get("/v1/auth/me", &refresh)).await,
        }
    }
}

/// A refusal, and what it comes to at a start, at a change, at a verification, and with a token.
const REFUSALS: [(Refusal, [(u16, &str); 4]); 17] = {
    const WRONG: (u16, &str) = (401, "E061102");
    const EXPIRED: (u16, &str) = (401, "E061104");
    const EXHAUSTED: (u16, &str) = (401, "E061103");
    const TOKEN: (u16, &str) = (401, "E064001");
    const TAKEN: (u16, &str) = (400, "E062107");
    const FIELD: (u16, &str) = (400, "E011003");
    const DISABLED: (u16, &str) = (403, "E011003");
    const TOO_SOON: (u16, &str) = (429, "E130429");
    [
        (Refusal::FlowNotFound, [WRONG; 4]),
        (Refusal::FlowExpired, [EXPIRED; 4]),
        (Refusal::FlowPassed, [WRONG; 4]),
        (Refusal::CodeMismatch { left: 3 }, [WRONG; 4]),
        (Refusal::CodeExpired, [EXPIRED; 4]),
        (Refusal::AttemptsExhausted, [EXHAUSTED; 4]),
        (Refusal::AddressMalformed, [FIELD; 4]),
        (Refusal::AddressTaken, [TAKEN, TAKEN, WRONG, WRONG]),
        (Refusal::IdentityNotFound, [(400, "E062108"), TOKEN, WRONG, WRONG]),
        (Refusal::IdentityInactive, [DISABLED; 4]),
        (Refusal::SessionEnded, [TOKEN; 4]),
        (Refusal::TokenInvalid, [TOKEN; 4]),
        (Refusal::TokenReused, [TOKEN; 4]),
        (Refusal::IdentityChanged, [TOKEN; 4]),
        (Refusal::TicketInvalid, [TOKEN; 4]),
        (Refusal::TicketReused, [TOKEN; 4]),
        (Refusal::TooSoon { retry_after: Duration::from_millis(61_001) }, [TOO_SOON; 4]),
    ]
};

#[tokio::test]
async fn every_refusal_has_one_answer() {
    let stage = Stage::new().await;
    assert!(names_every_refusal(REFUSALS.map(|(refusal, _)| refusal)));
    for (refusal, expected) in REFUSALS {
        let played = stage.play(Script::Refuse(refusal)).await;
        let answers = [&played.start, &played.update, &played.verify, &played.refresh];
        for (answer, (status, code)) in answers.into_iter().zip(expected) {
            assert_eq!(answer.error(), (status, code.to_owned()), "{refusal:?}");
            assert!(!answer.json()["errorMessage"].as_str().unwrap().is_empty());
            assert_eq!(answer.json()["message"], answer.json()["errorMessage"]);
            let wait = if status == 429 { "62" } else { "" };
            assert_eq!(answer.header("retry-after"), wait);
        }
        assert_eq!(played.logout.body, played.refresh.body, "{refusal:?}");
        // Who is not signed in is told so, and nothing is an error.
        assert_eq!((played.try_refresh.status.as_u16(), played.try_refresh.text("sessionJwt")), (200, String::new()));
        for answer in [played.validate, played.me] {
            let answer = answer.refused(401, "E064001");
            assert_eq!(answer.json()["errorMessage"], "Expired due to logout");
        }
    }
}

#[tokio::test]
async fn who_is_disabled_is_told_so_wherever_he_proves_to_be_it() {
    let stage = Stage::new().await;
    let played = stage.play(Script::Disable).await;
    for answer in [played.update, played.verify, played.refresh, played.validate, played.me] {
        let answer = answer.refused(403, "E011003");
        assert_eq!(answer.json()["errorMessage"], "User is disabled");
    }
    assert_eq!(played.try_refresh.ok().text("sessionJwt"), "");
}

#[tokio::test]
async fn a_fault_is_told_in_no_words_of_ours() {
    let stage = Stage::new().await;
    let internal = r#"{"errorCode":"E000500","errorDescription":"Internal error","errorMessage":"Something went wrong","message":"Something went wrong"}"#;
    let unavailable = r#"{"errorCode":"E000503","errorDescription":"Temporarily unavailable","errorMessage":"Try again in a moment","message":"Try again in a moment"}"#;
    for (fault, expected) in [
        (Script::Fail(|| StoreError::Unavailable("disk /var/lib is full".into())), (503, unavailable, "2")),
        (Script::Fail(|| StoreError::Corrupt { table: "flows", column: "seed", id: 7 }), (500, internal, "")),
        (Script::Fail(|| StoreError::Driver("no such table: flows".into())), (500, internal, "")),
    ] {
        let Played { start, update, verify, refresh, try_refresh, logout, validate, me } = stage.play(fault).await;
        for answer in [start, update, verify, refresh, try_refresh, logout, validate, me] {
            assert_eq!((answer.status.as_u16(), answer.body.as_str(), answer.header("retry-after")), expected);
        }
    }
}
