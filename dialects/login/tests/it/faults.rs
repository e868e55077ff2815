//! What happens where the engine refuses or fails, and outside of the handlers.

use std::sync::Arc;

use engine::{Deaf, Engine, MasterKey, Parts, Project, ProjectId, Projects, Refusal, Store, StoreError};
use testkit::env::SeededEntropy;
use testkit::scripted::{REFUSALS, Script, Scripted};
use testkit::world::{MASTER_KEY, World, unlimited};
use web::{Failure, Surface};

use crate::support::{Answer, EMAIL, Mounted, NOBODYS_TOKEN, ask, blamed, error, invalid_code, mount, post, whole};

/// What is said where it is worth asking again.
const AGAIN: &str = r#"{"code":14,"grpc-code":"UNAVAILABLE","message":"try again later","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"2s"}]}"#;

/// The surface on a store that does as it is told.
struct Stage {
    /// Keeps the database of the real store.
    _world: World,
    store: Arc<Scripted>,
    surface: Surface,
}

impl Stage {
    async fn new() -> Self {
        let world = World::new().await;
        let inner = Arc::clone(&world.calls) as Arc<dyn Store>;
        let store = Arc::new(Scripted::new(inner, Script::Refuse(Refusal::FlowNotFound)));
        let project = Project { id: ProjectId::new("P1"), name: "Test".to_owned(), policy: unlimited() };
        let parts = Parts {
            store: Arc::clone(&store) as Arc<dyn Store>,
            clock: Arc::clone(&world.clock) as Arc<dyn engine::Clock>,
            entropy: Arc::new(SeededEntropy::new(2)),
            node: 1,
            projects: Projects::new(project, []),
            master_key: MasterKey::new(MASTER_KEY),
            observer: Arc::new(Deaf),
        };
        let engine = Arc::new(Engine::open(parts).await.unwrap());
        let surface = mount(&engine, "").unwrap();
        Self { _world: world, store, surface }
    }

    /// What is answered to a start and to a verification while the store follows `script`.
    async fn play(&self, script: Script) -> (Answer, Answer) {
        self.store.follow(script);
        let router = &self.surface.router;
        let verification = format!(r#"{{"auth_flow_token":"{NOBODYS_TOKEN}","code":"123456"}}"#);
        (
            ask(router, post("/v1/login", &format!(r#"{{"email":"{EMAIL}"}}"#))).await,
            ask(router, post("/v1/login/email-code", &verification)).await,
        )
    }
}

#[tokio::test]
async fn every_refusal_has_one_answer() {
    let stage = Stage::new().await;
    let too_soon = r#"{"code":8,"grpc-code":"RESOURCE_EXHAUSTED","message":"too many login attempts","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"62s"}]}"#;
    for refusal in REFUSALS {
        let (start, verification) = stage.play(Script::Refuse(refusal)).await;
        let (expected_start, expected) = match refusal {
            Refusal::TooSoon { .. } => {
                let answer = whole(429, 8, "retry-after: 62\n", too_soon);
                (answer.clone(), answer)
            }
            Refusal::AddressMalformed => {
                let answer = whole(400, 3, "", &blamed("email", "email must be an e-mail address"));
                (answer.clone(), answer)
            }
            // A start opens a flow under a new token, so a refusal of a flow that is there already is a fault of ours.
            _ => (
                whole(500, 13, "", &error(13, "INTERNAL", "internal error")),
                whole(200, 0, "", &invalid_code(NOBODYS_TOKEN)),
            ),
        };
        assert_eq!(start.to_string(), expected_start, "{refusal:?}");
        assert_eq!(verification.to_string(), expected, "{refusal:?}");
    }
}

#[tokio::test]
async fn st_50_a_fault_is_told_in_no_words_of_ours() {
    let stage = Stage::new().await;
    let unavailable = whole(503, 14, "retry-after: 2\n", AGAIN);
    let internal = whole(500, 13, "", &error(13, "INTERNAL", "internal error"));
    for (fault, expected) in [
        (Script::Fail(|| StoreError::Unavailable("disk /var/lib is full".into())), &unavailable),
        (Script::Fail(|| StoreError::Corrupt { table: "flows", column: "seed", id: 7 }), &internal),
        (Script::Fail(|| StoreError::Driver("no such table: flows".into())), &internal),
    ] {
        let (start, verification) = stage.play(fault).await;
        assert_eq!(&start.to_string(), expected);
        assert_eq!(&verification.to_string(), expected);
    }
}

#[tokio::test]
async fn a_key_that_is_not_there_yet_is_worth_trying_again_for() {
    let mounted = Mounted::without_keys(World::new().await, "");
    let token = mounted.start(EMAIL).await.token();
    let answer = mounted.email_code(&token, &mounted.code().await).await;
    assert_eq!(answer.to_string(), whole(503, 14, "retry-after: 2\n", AGAIN));
}

/// These are made outside of the router and its layers; a page of another origin can read them all the same.
#[tokio::test]
async fn what_happens_outside_of_the_handlers_is_told_in_the_surfaces_shape() {
    let mounted = Mounted::new().await;
    for failure in Failure::ALL {
        let (status, code, name, message) = match failure {
            Failure::NotFound => (404, 5, "NOT_FOUND", "no such path"),
            Failure::WrongVerb => (405, 12, "UNIMPLEMENTED", "the path does not have this verb"),
            Failure::Panicked => (500, 13, "INTERNAL", "internal error"),
            Failure::TimedOut => (408, 4, "DEADLINE_EXCEEDED", "the request did not arrive in time"),
            Failure::BodyTooLarge => (413, 8, "RESOURCE_EXHAUSTED", "the body is longer than 65536 bytes"),
            Failure::Unavailable => (503, 14, "UNAVAILABLE", "try again later"),
        };
        let (more, body) = match failure {
            Failure::Unavailable => ("retry-after: 2\n", AGAIN.to_owned()),
            _ => ("", error(code, name, message)),
        };
        assert_eq!(
            mounted.failure(failure).await.to_string(),
            format!(
                "{status}\naccess-control-allow-origin: *\ncache-control: no-store\ncontent-type: application/json; charset=utf-8\n\
                 grpc-status: {code}\n{more}\n{body}"
            )
        );
        assert_eq!(mounted.surface().name, "login");
    }
}
