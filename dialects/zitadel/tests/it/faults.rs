//! What is said where the store fails.

use std::sync::Arc;

use engine::{Deaf, Engine, MasterKey, Parts, Project, ProjectId, Projects, Store, StoreError};
use http::Method;
use testkit::env::SeededEntropy;
use testkit::scripted::{Script, Scripted};
use testkit::world::{MASTER_KEY, unlimited};

use crate::support::{ADA, EMAIL, ME, Mounted, PROJECT, RESEND, VERIFY, ask, mount, request};

#[tokio::test]
async fn a_fault_is_told_in_no_words_of_ours() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    let inner = Arc::clone(&mounted.world.calls) as Arc<dyn Store>;
    let store = Arc::new(Scripted::new(inner, Script::Disable));
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
    let requests = || {
        [
            request(Method::GET, ME, &ada.token, ""),
            request(Method::GET, EMAIL, &ada.token, ""),
            request(Method::PUT, EMAIL, &ada.token, r#"{"email":"x@example.com"}"#),
            request(Method::POST, RESEND, &ada.token, ""),
            request(Method::POST, VERIFY, &ada.token, r#"{"code":"000000"}"#),
        ]
    };
    for request in requests() {
        ask(&surface.router, request).await.refused(401, 16, "AUTH-7fs1e");
    }
    let internal = r#"{"code":13,"message":"An internal error occurred"}"#;
    let unavailable = r#"{"code":14,"message":"try again later"}"#;
    for (fault, expected) in [
        (Script::Fail(|| StoreError::Unavailable("disk /var/lib is full".into())), (503, unavailable, "2")),
        (Script::Fail(|| StoreError::Corrupt { table: "flows", column: "seed", id: 7 }), (500, internal, "")),
        (Script::Fail(|| StoreError::Driver("no such table: flows".into())), (500, internal, "")),
    ] {
        store.follow(fault);
        for request in requests() {
            let answer = ask(&surface.router, request).await;
            assert_eq!((answer.status.as_u16(), answer.body.as_str(), answer.header("retry-after")), expected);
        }
    }
}
