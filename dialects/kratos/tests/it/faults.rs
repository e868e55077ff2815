//! What is said where the engine refuses or fails.

use std::sync::Arc;
use std::time::Duration;

use engine::{Deaf, Engine, MasterKey, Parts, Project, ProjectId, Projects, Refusal, Store, StoreError};
use http::Method;
use serde_json::json;
use testkit::env::SeededEntropy;
use testkit::folder::TempFolder;
use testkit::scripted::{Script, Scripted};
use testkit::world::{MASTER_KEY, unlimited};
use web::Surface;

use crate::support::{ADA, Answer, Mounted, ask, mount};
use crate::verifying::submit;

/// The surface on a store that does as it is told, and a flow in which a code was sent.
struct Stage {
    mounted: Mounted,
    store: Arc<Scripted>,
    surface: Surface,
    id: String,
    _folder: TempFolder,
}

impl Stage {
    async fn new() -> Self {
        let mounted = Mounted::new().await;
        mounted.person(ADA).await;
        let (id, _) = mounted.sent(ADA).await;
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
        let folder = TempFolder::new();
        let surface = mount(&engine, &folder, &[]);
        Self { mounted, store, surface, id, _folder: folder }
    }

    async fn post(&self, body: &serde_json::Value) -> Answer {
        let headers = [("content-type", "application/json")];
        let native = self.mounted.native();
        ask(self.surface.router.clone(), native.request(Method::POST, &submit(&self.id), &headers, body.to_string()))
            .await
    }

    async fn get(&self, path: &str) -> Answer {
        ask(self.surface.router.clone(), self.mounted.native().request(Method::GET, path, &[], "")).await
    }
}

/// How an answer begins: its status, and the error's id or the first message.
fn gist(answer: &Answer) -> (u16, String) {
    let body = answer.json();
    let message = body["ui"]["messages"][0]["id"].as_u64().map(|id| id.to_string());
    (answer.status, message.unwrap_or_else(|| body["error"]["id"].as_str().unwrap_or_default().to_owned()))
}

#[tokio::test]
async fn every_refusal_has_one_answer() {
    let stage = Stage::new().await;
    let replaced = (410, "self_service_flow_replaced");
    let plain = |status: u16| (status, "");
    let restarted = (303, "");
    // What a send and what a code come to, where the note of it that some of them leave in the flow is refused as well.
    let cases = [
        (Refusal::FlowNotFound, plain(404), plain(404)),
        (Refusal::FlowExpired, restarted, restarted),
        (Refusal::FlowPassed, replaced, replaced),
        (Refusal::CodeMismatch { left: 3 }, plain(400), plain(400)),
        (Refusal::CodeExpired, plain(400), (410, "self_service_flow_expired")),
        (Refusal::AttemptsExhausted, replaced, replaced),
        (Refusal::AddressMalformed, plain(400), plain(400)),
        (Refusal::AddressTaken, plain(409), plain(409)),
        (Refusal::IdentityNotFound, plain(404), plain(404)),
        (Refusal::IdentityInactive, plain(401), plain(401)),
        (Refusal::IdentityChanged, plain(409), plain(409)),
        (Refusal::SessionEnded, plain(401), plain(401)),
        (Refusal::TokenInvalid, plain(401), plain(401)),
        (Refusal::TokenReused, plain(401), plain(401)),
        (Refusal::TicketInvalid, plain(401), plain(401)),
        (Refusal::TicketReused, plain(401), plain(401)),
        (Refusal::TooSoon { retry_after: Duration::from_millis(61_001) }, plain(429), plain(429)),
    ];
    for (refusal, send, verify) in cases {
        stage.store.follow(Script::Refuse(refusal));
        let answers = [
            (stage.post(&json!({"method": "code", "email": ADA})).await, send),
            (stage.post(&json!({"method": "code", "code": "1"})).await, verify),
        ];
        for (answer, (status, said)) in answers {
            if status == 303 {
                assert!(answer.location().starts_with("https://accounts.test/self-service/verification/flows?id="));
                assert_eq!(answer.status, 303, "{refusal:?}");
                continue;
            }
            assert_eq!(gist(&answer), (status, said.to_owned()), "{refusal:?}\n{answer}");
        }
    }
}

#[tokio::test]
async fn a_fault_is_told_in_no_words_of_ours() {
    let stage = Stage::new().await;
    for (fault, status, members, wait) in [
        (Script::Fail(|| StoreError::Unavailable("disk /var/lib is full".into())), 503, 4, "2"),
        (Script::Fail(|| StoreError::Corrupt { table: "flows", column: "seed", id: 7 }), 500, 3, ""),
        (Script::Fail(|| StoreError::Driver("no such table: flows".into())), 500, 3, ""),
    ] {
        stage.store.follow(fault);
        let answers = [
            stage.post(&json!({"method": "code", "email": ADA})).await,
            stage.post(&json!({"method": "code", "code": "1"})).await,
            stage.post(&json!({"method": "code", "email": "asdf"})).await,
            stage.get(&format!("{}&code=123456", submit(&stage.id))).await,
        ];
        for answer in answers {
            assert_eq!(answer.error(), (status, String::new(), String::new()));
            assert_eq!(answer.header("retry-after"), wait);
            let body = answer.json()["error"].clone();
            assert_eq!(body.as_object().unwrap().len(), members, "{body}");
            assert!(!body.to_string().contains("disk") && !body.to_string().contains("flows"), "{body}");
        }
    }
}

#[tokio::test]
async fn without_its_database_it_is_alive_and_not_ready() {
    let stage = Stage::new().await;
    for (script, ready) in
        [(Script::Fail(|| StoreError::Unavailable("the connection was refused".into())), 503), (Script::Disable, 200)]
    {
        stage.store.follow(script);
        assert_eq!(stage.get("/health/ready").await.status, ready);
        assert_eq!(stage.get("/health/alive").await.status, 200);
    }
}
