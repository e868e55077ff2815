//! Strangers, other projects and other surfaces: ST-23, 55 and 63.

use std::sync::Arc;
use std::time::Duration;

use engine::{
    Algorithm, Attempt, Client, Deaf, Engine, Handle, MasterKey, Parts, Project, ProjectId, Projects, Purpose,
    SessionTerms, Store,
};
use serde_json::{Value, json};
use testkit::env::SeededEntropy;
use testkit::world::{MASTER_KEY, World, other_than, unlimited};

use crate::support::{ADA, Answer, BOB, Mounted, PROJECT, address, ask, get, jwt, mount, post};

const EVE: &str = "eve@example.com";

#[tokio::test]
async fn st_23_no_answer_has_a_code_in_it() {
    let mounted = Mounted::new().await;
    let mut answers: Vec<Answer> = Vec::new();
    let mut codes = Vec::new();
    let mut ada = String::new();
    for which in ["signup", "signup-in", "signin"] {
        answers.push(mounted.start(which, ADA).await);
        let code = mounted.code(ADA).await;
        answers.push(mounted.verify(ADA, &other_than(&code)).await);
        answers.push(mounted.verify(EVE, &code).await);
        answers.push(mounted.post("/v1/auth/otp/verify/email", &format!(r#"{{"loginId":7,"code":"{code}"}}"#)).await);
        answers.push(mounted.post("/v1/auth/otp/verify/email", &format!(r#"{{"code":"{code}""#)).await);
        if which != "signup" {
            let answer = mounted.verify(ADA, &code).await.ok();
            ada = answer.refresh_jwt();
            answers.push(answer);
        }
        codes.push(code);
    }
    answers.push(mounted.update(&ada, ADA, BOB).await.ok());
    let change = mounted.code(BOB).await;
    answers.push(mounted.me(&ada).await);
    answers.push(mounted.verify(ADA, &change).await.ok());
    codes.push(change);
    for answer in &answers {
        // Tokens are random letters: what they say is looked at instead.
        let mut text = answer.to_string();
        for token in answer.body.split('"').filter(|text| text.split('.').count() == 3) {
            let (header, claims) = jwt(token);
            text = text.replace(token, "") + &header["alg"].to_string() + &claims.to_string();
        }
        for code in &codes {
            assert!(!text.contains(code.as_str()), "{code} in {answer}");
        }
    }
}

/// A session that another surface opened for Ada, and its id in this surface's tokens.
async fn session_of_another_surface(mounted: &Mounted) -> (engine::Verified, Value) {
    let context = mounted.engine().context(mounted.project(), "login", Client::default());
    let mut challenge = mounted.world.challenge("ada", Purpose::SignInOrUp, &address(ADA));
    challenge.handle = Handle::new("login", &mounted.project().id, "flow", b"ada");
    let handle = challenge.handle;
    mounted.engine().start_challenge(&context, challenge).await.unwrap();
    let code = mounted.code(ADA).await;
    // Her code is nothing here.
    mounted.verify(ADA, &code).await.refused(401, "E061102");
    mounted.start("signup-in", ADA).await.ok();
    let own = mounted.code(ADA).await;
    mounted.verify(ADA, &code).await.refused(401, "E061102");
    // And this surface's code is nothing there.
    let session = Some(SessionTerms::of(Duration::from_hours(1)));
    let refused = mounted.engine().verify(&context, Attempt { handles: &[handle], code: &own, session }).await;
    assert!(matches!(refused, Err(engine::Error::Refused { .. })));
    let verified =
        mounted.engine().verify(&context, Attempt { handles: &[handle], code: &code, session }).await.unwrap();
    let id = verified.session.as_ref().unwrap().id.get();
    let sid = json!(mounted.engine().public_id("descope.session", id));
    (verified, sid)
}

#[tokio::test]
async fn st_55_neither_code_nor_session_of_another_surface_is_worth_anything_here() {
    let mounted = Mounted::new().await;
    let (_, sid) = session_of_another_surface(&mounted).await;
    // Even a token that this surface would make for that session.
    let now = mounted.engine().now().seconds();
    let claims = json!({
        "amr": ["email"], "drn": "DSR", "exp": now + 3600, "gen": 0, "iat": now, "iss": PROJECT, "sid": sid, "sub": "U1"
    });
    let token = mounted.engine().sign(&mounted.context(), Algorithm::Rs256, &claims).unwrap();
    mounted.refresh(&token).await.refused(401, "E064001");
    mounted.me(&token).await.refused(401, "E064001");
    mounted.update(&token, ADA, BOB).await.refused(401, "E064001");
    mounted.post_as(&token, "/v1/auth/logout", "").await.refused(401, "E064001");
}

#[tokio::test]
async fn st_55_a_token_that_is_like_one_of_ours_but_for_one_thing_is_refused() {
    let mounted = Mounted::new().await;
    let signed_in = mounted.signed_in(ADA).await;
    let good = jwt(&signed_in.refresh_jwt()).1;
    let session = jwt(&signed_in.session_jwt()).1;
    let context = mounted.context();
    let sign = |claims: &Value| mounted.engine().sign(&context, Algorithm::Rs256, claims).unwrap();
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        sign(&claims)
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        sign(&claims)
    };
    mounted.refresh(&sign(&good)).await.ok();
    let other_kind = mounted.engine().public_id("session", mounted.session_of(&signed_in.refresh_jwt()).get());
    let bad = [
        with("iss", json!("P2")),
        with("iss", json!("https://login.example.com")),
        with("drn", json!("DS")),
        with("drn", json!("dsr")),
        with("sid", json!(other_kind)),
        with("sid", json!("7")),
        with("sid", json!(uuid::Uuid::nil())),
        with("gen", json!(1)),
        with("gen", json!(-1)),
        with("exp", json!(1)),
        without("drn"),
        without("gen"),
        without("exp"),
        without("sid"),
        sign(&session),
    ];
    let (message, signature) = good_parts(&signed_in.refresh_jwt());
    let altered = [
        format!("{message}.{}", "A".repeat(342)),
        format!("{message}."),
        format!("{message}.{}", &signature[1..]),
        signed_in.refresh_jwt().to_uppercase(),
        "a.b.c".to_owned(),
        "..".to_owned(),
    ];
    for token in bad.into_iter().chain(altered) {
        mounted.refresh(&token).await.refused(401, "E064001");
        mounted.update(&token, ADA, BOB).await.refused(401, "E064001");
    }
    mounted.post_as(&sign(&good), "/v1/auth/validate", "").await.refused(401, "E064001");
    mounted.refresh(&signed_in.refresh_jwt()).await.ok();
}

fn good_parts(token: &str) -> (String, String) {
    let (message, signature) = token.rsplit_once('.').unwrap();
    (message.to_owned(), signature.to_owned())
}

/// Two projects on one installation.
#[tokio::test]
async fn st_55_projects_share_neither_codes_nor_users_nor_tokens() {
    let world = World::new().await;
    let project = |id: &str| Project { id: ProjectId::new(id), name: id.to_owned(), policy: unlimited() };
    let parts = Parts {
        store: Arc::clone(&world.calls) as Arc<dyn Store>,
        clock: Arc::clone(&world.clock) as Arc<dyn engine::Clock>,
        entropy: Arc::new(SeededEntropy::new(2)),
        node: 1,
        projects: Projects::new(project("P1"), [project("P2")]),
        master_key: MasterKey::new(MASTER_KEY),
        observer: Arc::new(Deaf),
    };
    let engine = Arc::new(Engine::open(parts).await.unwrap());
    for project in engine.projects().iter() {
        engine.prepare_keys(&project.id, Algorithm::Rs256).await.unwrap();
    }
    let router = mount(&engine, "").unwrap().router;
    let start = |bearer: &str| post("/v1/auth/otp/signup-in/email", bearer, &json!({"loginId": ADA}).to_string());
    let verify = |bearer: &str, code: &str| {
        post("/v1/auth/otp/verify/email", bearer, &json!({"loginId": ADA, "code": code}).to_string())
    };
    ask(&router, start("P1")).await.ok();
    let first = world.code(&address(ADA)).await.unwrap();
    ask(&router, verify("P2", &first)).await.refused(401, "E061102");
    ask(&router, start("P2")).await.ok();
    let second = world.code(&address(ADA)).await.unwrap();
    let (one, two) = (ask(&router, verify("P1", &first)).await.ok(), ask(&router, verify("P2", &second)).await.ok());
    assert_ne!(one.json()["user"]["userId"], two.json()["user"]["userId"]);
    let token = one.refresh_jwt();
    ask(&router, post("/v1/auth/refresh", &format!("P1:{token}"), "")).await.ok();
    ask(&router, post("/v1/auth/refresh", &format!("P2:{token}"), "")).await.refused(401, "E064001");
    ask(&router, get("/v1/auth/me", &format!("P2:{token}"))).await.refused(401, "E064001");
    let keys = |project: &str| get(&format!("/v2/keys/{project}"), project);
    assert_ne!(ask(&router, keys("P1")).await.ok().body, ask(&router, keys("P2")).await.ok().body);
}

#[tokio::test]
async fn st_63_a_strangers_start_changes_nothing_of_a_flow_that_is_under_way() {
    for stranger in ["signin", "signup", "signup-in"] {
        let mounted = Mounted::new().await;
        let body = json!({
            "loginId": ADA, "user": {"name": "Ada", "phone": "+4930123456"},
            "loginOptions": {"customClaims": {"plan": "gold"}}
        });
        mounted.post("/v1/auth/otp/signup/email", &body.to_string()).await.ok();
        let code = mounted.code(ADA).await;
        mounted.verify(ADA, &other_than(&code)).await.refused(401, "E061102");
        mounted.world.clock.advance(Duration::from_secs(5));
        let body = json!({
            "loginId": ADA, "user": {"name": "Eve", "phone": "+4930666666"},
            "loginOptions": {"customClaims": {"plan": "stolen", "more": 1}}
        });
        mounted.post(&format!("/v1/auth/otp/{stranger}/email"), &body.to_string()).await.ok();
        assert_eq!(mounted.code(ADA).await, code, "{stranger}");
        let answer = mounted.verify(ADA, &code).await.ok();
        let user = &answer.json()["user"];
        assert_eq!((&user["name"], &user["phone"]), (&json!("Ada"), &json!("+4930123456")), "{stranger}");
        assert_eq!(user["loginIds"], json!([ADA]), "{stranger}: what is unproven is no login id");
        assert_eq!(jwt(&answer.session_jwt()).1["nsec"], json!({"plan": "gold"}), "{stranger}");
    }
}

#[tokio::test]
async fn st_63_a_strangers_start_gives_no_guesses_back() {
    let mounted = Mounted::new().await;
    mounted.start("signup-in", ADA).await.ok();
    let code = mounted.code(ADA).await;
    mounted.verify(ADA, &other_than(&code)).await.refused(401, "E061102");
    for which in ["signin", "signup", "signup-in", "signup"] {
        mounted.world.clock.advance(Duration::from_secs(5));
        mounted.start(which, ADA).await.ok();
        assert_eq!(mounted.code(ADA).await, code, "{which}");
        mounted.verify(ADA, &other_than(&code)).await.refused(401, "E061102");
    }
    mounted.verify(ADA, &code).await.refused(401, "E061103");
}

#[tokio::test]
async fn st_63_a_stranger_cannot_disturb_a_pending_change() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    let eve = mounted.signed_in(EVE).await;
    mounted.add(&ada.refresh_jwt(), ADA, BOB).await.ok();
    let code = mounted.code(BOB).await;
    mounted.world.clock.advance(Duration::from_secs(5));
    let body = json!({"loginId": ADA, "email": "x@example.com"}).to_string();
    mounted.post("/v1/auth/otp/update/email", &body).await.refused(401, "E011002");
    mounted.update(&eve.refresh_jwt(), ADA, "x@example.com").await.refused(401, "E064001");
    for which in ["signin", "signup", "signup-in"] {
        mounted.start(which, ADA).await.ok();
        mounted.start(which, BOB).await.ok();
    }
    let answer = mounted.verify(ADA, &code).await.ok();
    assert_eq!(answer.json()["user"]["loginIds"], json!([ADA, BOB]));
    assert_eq!(answer.json()["user"]["userId"], ada.json()["user"]["userId"]);
}

#[tokio::test]
async fn st_63_an_address_besides_the_login_id_is_not_taken_on_somebodys_word() {
    let mounted = Mounted::new().await;
    for body in [
        json!({"loginId": ADA, "email": EVE}),
        json!({"loginId": ADA, "user": {"email": EVE}}),
        json!({"loginId": ADA, "email": ADA, "user": {"email": EVE}}),
        json!({"loginId": ADA, "user": {"email": "no address"}}),
    ] {
        mounted.post("/v1/auth/otp/signup/email", &body.to_string()).await.refused(400, "E011003");
    }
    assert!(mounted.world.calls.take_calls().is_empty());
}
