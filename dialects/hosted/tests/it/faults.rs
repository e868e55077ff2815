//! What happens where the engine refuses or fails, and outside of the handlers.

use std::sync::Arc;
use std::time::Duration;

use engine::{Deaf, Engine, MasterKey, Parts, Project, ProjectId, Projects, Refusal, Store, StoreError};
use testkit::env::SeededEntropy;
use testkit::scripted::{REFUSALS, Script, Scripted};
use testkit::world::{MASTER_KEY, unlimited};
use web::{Failure, Surface};

use crate::support::{Answer, EMAIL, Mounted, ORIGIN, ask, mount, request};

/// The surface on a store that does as it is told, and a browser that has come as far as the code on one that works.
struct Stage {
    _mounted: Mounted,
    store: Arc<Scripted>,
    surface: Surface,
    cookies: String,
    sealed: String,
    token: String,
    path: String,
}

impl Stage {
    async fn new() -> Self {
        let mounted = Mounted::new().await;
        let mut visitor = mounted.visitor();
        visitor.signed_in().await;
        let session = visitor.cookies.remove("__Host-countersign-session").unwrap();
        let sealed = visitor.begin().await.hidden("request");
        let token = visitor.asked(EMAIL).await.hidden("token");
        let path = visitor.path_of(&visitor.sign_in());
        visitor.cookies.insert("__Host-countersign-session".to_owned(), session);
        let cookies: Vec<_> = visitor.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
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
        let surface = mount(&engine, "", ORIGIN).unwrap();
        Self { store, surface, cookies: cookies.join("; "), sealed, token, path, _mounted: mounted }
    }

    async fn post(&self, path: &str, more: &str) -> Answer {
        let body = format!("token={}&request={}{more}", self.token, self.sealed);
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("cookie", self.cookies.as_str())];
        ask(&self.surface, request(http::Method::POST, path, &headers, body)).await
    }

    /// What is answered to an address, a code, and a browser that is remembered, while the store follows `script`.
    async fn play(&self, script: Script) -> [Answer; 3] {
        self.store.follow(script);
        let remembered = request(http::Method::GET, &self.path, &[("cookie", &self.cookies)], "");
        [
            self.post("/sign-in", "&email=ada%40example.com").await,
            self.post("/sign-in/code", "&code=123456").await,
            ask(&self.surface, remembered).await,
        ]
    }
}

#[tokio::test]
async fn no_refusal_is_more_than_a_page() {
    let stage = Stage::new().await;
    for refusal in REFUSALS.into_iter().filter(|refusal| !matches!(refusal, Refusal::TooSoon { .. })) {
        let [address, code, remembered] = stage.play(Script::Refuse(refusal)).await;
        address.assert_page(400, "go back to the application");
        code.assert_page(400, "go back to the application");
        remembered.assert_page(200, "Your e-mail address");
    }
    let [address, code, _] =
        stage.play(Script::Refuse(Refusal::TooSoon { retry_after: Duration::from_millis(60_001) })).await;
    address.assert_page(429, "Please wait 61 seconds");
    assert_eq!(address.header("retry-after"), "61");
    code.assert_page(400, "go back to the application");
}

#[tokio::test]
async fn st_50_a_fault_is_told_in_no_words_of_ours() {
    let stage = Stage::new().await;
    for (fault, status) in [
        (Script::Fail(|| StoreError::Unavailable("disk /var/lib is full".into())), 503),
        (Script::Fail(|| StoreError::Corrupt { table: "flows", column: "seed", id: 7 }), 500),
        (Script::Fail(|| StoreError::Driver("no such table: flows".into())), 500),
    ] {
        for answer in stage.play(fault).await {
            answer.assert_page(status, "it is not your fault");
            assert_eq!(answer.header("retry-after"), if status == 503 { "2" } else { "" });
            assert!(!answer.body.contains("disk") && !answer.body.contains("flows"), "{answer}");
        }
    }
}

#[tokio::test]
async fn what_happens_outside_of_the_handlers_is_a_page_too() {
    let mounted = Mounted::new().await;
    for failure in Failure::ALL {
        let (status, text) = match failure {
            Failure::NotFound => (404, "There is nothing here"),
            Failure::WrongVerb => (405, "it is not your fault"),
            Failure::Panicked => (500, "it is not your fault"),
            Failure::TimedOut => (408, "it is not your fault"),
            Failure::BodyTooLarge => (413, "it is not your fault"),
            Failure::Unavailable => (503, "it is not your fault"),
        };
        Answer::of((mounted.surface.failure)(failure)).await.assert_page(status, text);
    }
}
