//! Flows of other surfaces, slots and projects: ST-55.

use engine::{Attempt, Client, Handle, ProjectId, Purpose};
use serde_json::json;
use uuid::Uuid;

use crate::support::{ADA, Mounted, address};
use crate::verifying::{read, submit};

#[tokio::test]
async fn st_55_no_flow_of_another_surface_slot_or_project_is_found_or_passed_here() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let project = mounted.world.project().clone();
    let key = Uuid::from_u128(0x6d1f_0c4e_8a5d_4b6e_9f0a_2b1c_3d4e_5f60);
    let native = mounted.native();
    for (surface, project, slot) in [
        ("login", &project, "verification"),
        ("descope", &project, "verification"),
        ("kratos", &project, "login"),
        ("kratos", &project, "registration"),
        ("kratos", &project, "error"),
        ("kratos", &ProjectId::new("P2"), "verification"),
    ] {
        let handle = Handle::new(surface, project, slot, key.as_bytes());
        let mut challenge = mounted.world.challenge("x", Purpose::SignInOrUp, &address(ADA));
        challenge.handle = handle;
        mounted.engine().start_challenge(&mounted.world.context(), challenge).await.unwrap();
        let code = mounted.code(ADA).await;
        let id = key.to_string();
        for body in [json!({"code": code}), json!({"method": "code", "email": ADA})] {
            assert_eq!(native.post(&submit(&id), &body).await.error().0, 404, "{surface} {slot}");
        }
        assert_eq!(native.get(&read(&id)).await.error().0, 404);
        assert_eq!(native.get(&format!("{}&code={code}", submit(&id))).await.error().0, 404);
    }
    assert!(!mounted.is_verified(ADA).await);
}

#[tokio::test]
async fn st_55_a_code_of_here_passes_nowhere_else() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let (id, code) = mounted.sent(ADA).await;
    let key = id.parse::<Uuid>().unwrap();
    for surface in ["login", "descope", "zitadel", "wacht"] {
        for slot in ["verification", "otp", "flow"] {
            let handle = Handle::new(surface, mounted.world.project(), slot, key.as_bytes());
            let project = mounted.engine().projects().default_project();
            let context = mounted.engine().context(project, "login", Client::default());
            let attempt = Attempt { handles: &[handle], code: &code, session: None };
            assert!(mounted.engine().verify(&context, attempt).await.is_err());
        }
    }
    assert_eq!(mounted.native().bring(&id, &code).await.is(200).state(), "passed_challenge");
}
