//! Strangers, other sessions, other projects and other surfaces: ST-26, 28, 29, 32, 34 and 55.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::{
    Algorithm, Attempt as EngineAttempt, Client, Deaf, Engine, Handle, IdentityChange, IdentityId, IdentityState,
    MasterKey, Parts, Policy, Project, ProjectId, Projects, Purpose, SessionTerms, Store,
};
use http::Method;
use serde_json::{Value, json};
use testkit::env::SeededEntropy;
use testkit::world::{MASTER_KEY, World, other_than, unlimited};
use web::{App, Dialect as _, Surface};

use crate::support::{
    ADA, Answer, Attempt, BOB, Browser, Kind, Mounted, ORIGIN, Shape, address, ask, post_json, with_headers,
};

/// An answer without what is different each time: ids, tokens, the address.
fn masked(answer: &Answer, browser: &Browser<'_>, email: &str) -> String {
    let mut text = answer.to_string().replace(&browser.token(), "TOKEN").replace(email, "EMAIL");
    for id in ids(&answer.json()) {
        text = text.replace(&id, "ID");
    }
    // Ids are not of the same length each time.
    let (head, body) = text.split_once("\n\n").unwrap();
    let head: Vec<_> = head.lines().filter(|line| !line.starts_with("content-length")).collect();
    format!("{}\n\n{body}", head.join("\n"))
}

/// All ids that are in an answer.
fn ids(value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| {
                let own = value.as_str().filter(|_| name == "id" || name.ends_with("_id"));
                own.map(str::to_owned).into_iter().chain(ids(value)).collect::<Vec<_>>()
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(ids).collect(),
        _ => Vec::new(),
    }
}

/// All that can be done about an address without its code, as it is answered, and what was asked of the store for it.
async fn tried(mounted: &Mounted, shape: Shape, kind: Kind, email: &str) -> (Vec<String>, Vec<&'static str>) {
    let browser = mounted.browser_that_speaks(shape);
    mounted.world.calls.take_calls();
    let mut answers = vec![browser.open(kind, email).await];
    let attempt = answers[0].attempt(kind);
    answers.push(browser.verify(&attempt, "000000").await);
    for _ in 0..2 {
        answers.push(browser.prepare(&attempt).await);
    }
    mounted.world.clock.advance(Duration::from_secs(3));
    answers.push(browser.prepare(&attempt).await);
    answers.push(browser.get(&format!("/auth/identifier-availability?type=email&identifier={email}")).await);
    for guess in 1..=6 {
        // Nobody knows the code, and one in a million is right.
        answers.push(browser.verify(&attempt, &format!("00000{guess}")).await);
        answers.push(browser.get("/session").await);
    }
    mounted.world.clock.advance(Duration::from_mins(10));
    answers.push(browser.prepare(&attempt).await);
    answers.push(browser.get("/session").await);
    (answers.iter().map(|answer| masked(answer, &browser, email)).collect(), mounted.world.calls.take_calls())
}

#[tokio::test]
async fn st_34_known_and_unknown_addresses_are_answered_alike() {
    for policy in [unlimited(), Policy { sign_up: true, ..Policy::default() }] {
        for shape in Shape::ALL {
            for kind in Kind::ALL {
                let mut seen = Vec::new();
                for has_account in [true, false] {
                    let mounted = Mounted::with(policy.clone(), r#"mode = "staging""#).await;
                    // The worlds differ in nothing but whose account there is.
                    mounted.has_account(if has_account { ADA } else { BOB }).await;
                    // What was sent for that is forgotten.
                    mounted.world.clock.advance(Duration::from_hours(25));
                    seen.push(tried(&mounted, shape, kind, ADA).await);
                }
                let [(known, of_known), (unknown, of_unknown)] = &seen[..] else { panic!() };
                for (known, unknown) in known.iter().zip(unknown) {
                    assert_eq!(known, unknown, "{shape:?} {kind:?}");
                }
                assert_eq!(of_known, of_unknown, "{shape:?} {kind:?}");
            }
        }
    }
}

#[tokio::test]
async fn st_34_an_attempt_names_nobody_before_its_code_was_right() {
    let mounted = Mounted::new().await;
    mounted.has_account(ADA).await;
    let browser = mounted.browser();
    let attempt = browser.prepared(Kind::SignIn, ADA).await;
    let shown = browser.get("/session").await.ok().session()["signin_attempts"][0].clone();
    for field in ["user_id", "identifier_id"] {
        assert_eq!(shown[field], Value::Null);
    }
    for field in ["available_2fa_methods", "missing_fields", "required_fields"] {
        assert_eq!(shown[field], json!([]));
    }
    let session = browser.verify(&attempt, &mounted.code(ADA).await).await.ok().session();
    assert_eq!(session["signin_attempts"][0]["user_id"], session["active_signin"]["user_id"]);
    let address = &session["active_signin"]["user"]["primary_email_address_id"];
    assert_eq!(&session["signin_attempts"][0]["identifier_id"], address);
}

/// Has an operator disable whoever is signed in.
async fn disabled(mounted: &Mounted, session: &Value) {
    let id = session["active_signin"]["user_id"].as_str().unwrap().parse().unwrap();
    let change = IdentityChange { state: Some(IdentityState::Inactive), ..IdentityChange::default() };
    let engine = &mounted.world.engine;
    engine.change_identity(&mounted.world.context(), IdentityId::new(id), change).await.unwrap();
}

#[tokio::test]
async fn who_is_disabled_is_told_so_when_he_proves_to_be_it_and_is_signed_in_no_more() {
    let mounted = Mounted::new().await;
    let browser = mounted.browser();
    let session = browser.signs(Kind::SignUp, ADA).await.session();
    disabled(&mounted, &session).await;
    let session = browser.get("/session").await.ok().session();
    assert_eq!((&session["active_signin"], &session["signins"]), (&Value::Null, &json!([])));
    for path in ["/me", "/session/token", "/me/organization-memberships"] {
        browser.get(path).await.refused(401, "NOT_AUTHENTICATED");
    }
    mounted.world.clock.advance(Duration::from_secs(3));
    let other = mounted.browser();
    let attempt = other.prepared(Kind::SignIn, ADA).await;
    let code = mounted.code(ADA).await;
    other.verify(&attempt, &other_than(&code)).await.refused(400, "INVALID_CODE");
    other.verify(&attempt, &code).await.refused(403, "USER_DISABLED");
    other.verify(&attempt, &code).await.refused(400, "INVALID_ATTEMPT");
    assert_eq!(other.get("/session").await.ok().active(), None);
}

#[tokio::test]
async fn st_26_nothing_a_client_sends_verifies_an_address() {
    let mounted = Mounted::new().await;
    let browser = mounted.browser();
    let claims = json!({
        "email": ADA, "strategy": "email_otp", "verified": true, "email_verified": true, "completed": true, "user_id": "1",
        "identifier_id": "1", "current_step": "", "primary_email_address": {"email": ADA, "verified": true},
        "user_email_addresses": [{"email": ADA, "verified": true}], "verify_signup": false, "session_id": "1"
    });
    for kind in Kind::ALL {
        let answer = browser.ask(post_json(&format!("/auth/{}", kind.name()), &claims)).await.ok();
        let shown = &answer.session()[kind.list()][0];
        assert_eq!(shown["completed"], false);
        assert_ne!(shown["current_step"], "");
        assert_eq!(shown["session_id"], answer.session()["id"]);
        let attempt = answer.attempt(kind);
        let mut prepare = claims.clone();
        prepare[format!("{}_attempt_id", kind.name())] = json!(attempt.id);
        prepare["method"] = json!("email");
        browser.ask(post_json("/auth/prepare-verification", &prepare)).await.ok();
        browser.ask(post_json("/auth/attempt-verification", &prepare)).await.refused(400, "CODE_REQUIRED");
        mounted.world.clock.advance(Duration::from_secs(3));
    }
    assert!(mounted.world.engine.owner(mounted.world.project(), &address(ADA)).await.is_err(), "nobody has it");
    browser.get("/me").await.refused(401, "NOT_AUTHENTICATED");
}

#[tokio::test]
async fn st_28_the_code_of_one_is_none_for_another() {
    let mounted = Mounted::new().await;
    mounted.has_account(ADA).await;
    mounted.has_account(BOB).await;
    let browser = mounted.browser();
    let ada = browser.prepared(Kind::SignIn, ADA).await;
    let bob = browser.prepared(Kind::SignIn, BOB).await;
    let (of_ada, of_bob) = (mounted.code(ADA).await, mounted.code(BOB).await);
    assert_ne!(of_ada, of_bob);
    browser.verify(&ada, &of_bob).await.refused(400, "INVALID_CODE");
    browser.verify(&bob, &of_ada).await.refused(400, "INVALID_CODE");
    assert_eq!(browser.verify(&ada, &of_ada).await.ok().active().as_deref(), Some(ADA));
}

#[tokio::test]
async fn st_29_a_code_is_good_for_its_own_attempt_and_purpose_only() {
    let mounted = Mounted::new().await;
    let browser = mounted.browser();
    let up = browser.prepared(Kind::SignUp, ADA).await;
    let code = mounted.code(ADA).await;
    mounted.world.clock.advance(Duration::from_secs(3));
    let again = browser.prepared(Kind::SignUp, ADA).await;
    let other = mounted.code(ADA).await;
    assert_ne!(code, other);
    let into = browser.prepared(Kind::SignIn, ADA).await;
    for (attempt, code) in [(&up, &other), (&again, &code), (&into, &code), (&into, &other)] {
        browser.verify(attempt, code).await.refused(400, "INVALID_CODE");
    }
    for (attempt, code) in [(&up, &code), (&again, &other)] {
        let crossed = Attempt { kind: Kind::SignIn, id: attempt.id.clone() };
        browser.verify(&crossed, code).await.refused(400, "INVALID_ATTEMPT");
    }
    browser.verify(&up, &code).await.ok();
}

#[tokio::test]
async fn st_32_nobody_is_signed_in_before_a_code_was_right() {
    for mounted in [Mounted::new().await, Mounted::production().await] {
        mounted.has_account(ADA).await;
        for kind in Kind::ALL {
            let browser = mounted.browser();
            let email = if kind == Kind::SignIn { ADA } else { BOB };
            let is_nobody = async |answer: Answer| {
                assert_eq!(
                    (&answer.session()["active_signin"], &answer.session()["signins"]),
                    (&Value::Null, &json!([]))
                );
                browser.get("/me").await.refused(401, "NOT_AUTHENTICATED");
                browser.get("/session/token").await.refused(401, "NOT_AUTHENTICATED");
            };
            is_nobody(browser.get("/session").await).await;
            let opened = browser.open(kind, email).await;
            let attempt = opened.attempt(kind);
            is_nobody(opened).await;
            is_nobody(browser.prepare(&attempt).await).await;
            let code = mounted.code(email).await;
            is_nobody(browser.verify(&attempt, &other_than(&code)).await).await;
            mounted.world.clock.advance(Duration::from_mins(5));
            is_nobody(browser.verify(&attempt, &code).await.refused(400, "EXPIRED_CODE")).await;
        }
    }
}

#[tokio::test]
async fn st_55_codes_and_sessions_of_another_surface_are_worth_nothing_here() {
    let mounted = Mounted::new().await;
    mounted.has_account(ADA).await;
    let engine = &mounted.world.engine;
    let browser = mounted.browser();
    let attempt = browser.prepared(Kind::SignIn, ADA).await;
    let own = mounted.code(ADA).await;
    mounted.world.clock.advance(Duration::from_secs(3));

    let project = engine.projects().default_project();
    let context = engine.context(project, "login", Client::default());
    let mut challenge = mounted.world.challenge("ada", Purpose::SignInOrUp, &address(ADA));
    challenge.handle = Handle::new("login", &project.id, "flow", b"ada");
    let handle = challenge.handle;
    engine.start_challenge(&context, challenge).await.unwrap();
    let theirs = mounted.code(ADA).await;
    assert_ne!(own, theirs);
    browser.verify(&attempt, &theirs).await.refused(400, "INVALID_CODE");
    let session = || Some(SessionTerms::of(Duration::from_hours(1)));
    let tried = EngineAttempt { handles: &[handle], code: &own, session: session() };
    assert!(engine.verify(&context, tried).await.is_err());
    let verified = EngineAttempt { handles: &[handle], code: &theirs, session: session() };
    let verified = engine.verify(&context, verified).await.unwrap();

    let answer = browser.verify(&attempt, &own).await.ok();
    assert_eq!(answer.session()["signins"].as_array().unwrap().len(), 1, "only what was signed in here is shown");
    let id = verified.session.unwrap().id.to_string();
    browser.post("/session/switch-sign-in", &[("sign_in_id", &id)]).await.refused(400, "INVALID_SIGNIN");
    browser.post("/session/sign-out", &[("sign_in_id", &id)]).await.refused(400, "INVALID_SIGNIN");
    let jwt =
        engine.sign(&context, Algorithm::Es256, &json!({"iss": ORIGIN, "sub": id, "exp": 4_102_444_800_i64})).unwrap();
    for token in [jwt, browser.get("/session/token").await.ok().json()["data"]["token"].as_str().unwrap().to_owned()] {
        let request = with_headers(Method::GET, &format!("/session?__dev_session__={token}"), &[], "");
        assert_eq!(mounted.ask(request).await.ok().active(), None, "a JWT is no session");
    }
}

#[tokio::test]
async fn st_55_only_the_tokens_own_kind_generation_and_device_open_it() {
    let mounted = Mounted::new().await;
    mounted.has_account(ADA).await;
    let browser = mounted.browser();
    let session = browser.signs(Kind::SignIn, ADA).await.session();
    let device: i64 = session["id"].as_str().unwrap().parse().unwrap();
    let now = mounted.world.engine.now().seconds();
    let make = |generation: u32, second: i64, kind: &str, id: i64| {
        let mut token = generation.to_be_bytes().to_vec();
        token.extend_from_slice(&second.to_be_bytes());
        token.extend_from_slice(mounted.world.engine.bearer(kind, id).expose());
        URL_SAFE_NO_PAD.encode(token)
    };
    let kind = |generation: u32, second: i64| format!("wacht session {generation} {second} P1");
    assert_eq!(make(1, now, &kind(1, now), device), browser.token());
    let sign_in: i64 = session["active_signin_id"].as_str().unwrap().parse().unwrap();
    let week = 7 * 24 * 3600;
    for token in [
        make(1, now, &kind(0, now), device),
        make(0, now, &kind(1, now), device),
        make(2, now, &kind(2, now), device),
        make(1, now, &kind(1, now - 1), device),
        make(1, now + 1, &kind(1, now), device),
        make(1, now - week, &kind(1, now - week), device),
        make(1, i64::MIN, &kind(1, i64::MIN), device),
        make(1, now, &format!("wacht session 1 {now} P2"), device),
        make(1, now, "wacht session", device),
        make(1, now, &format!("kratos session 1 {now} P1"), device),
        make(1, now, &kind(1, now), device + 1),
        make(1, now, &kind(1, now), sign_in),
        URL_SAFE_NO_PAD.encode([0; 36]),
    ] {
        let request = with_headers(Method::GET, &format!("/session?__dev_session__={token}"), &[], "");
        let answer = mounted.ask(request).await.ok();
        assert_eq!(answer.active(), None, "{token}");
        assert!(answer.token().is_some());
    }
    assert_eq!(browser.get("/session").await.ok().active().as_deref(), Some(ADA));
}

/// The surface for one of two projects of an installation.
fn surface_for(engine: &Arc<Engine>, project: &str) -> Surface {
    let project = Arc::clone(engine.projects().get(&ProjectId::new(project)).unwrap());
    let app = App { engine: Arc::clone(engine), project, origin: ORIGIN.to_owned(), development: true };
    countersign_wacht::Wacht.mount(app, toml::Table::new()).unwrap()
}

#[tokio::test]
async fn st_55_projects_share_neither_sessions_nor_codes_nor_users() {
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
    let (one, two) = (surface_for(&engine, "P1"), surface_for(&engine, "P2"));
    let with = |path: &str, token: &str, body: &Value| post_json(&format!("{path}?__dev_session__={token}"), body);
    let opened = ask(&one.router, post_json("/auth/signup", &json!({"email": ADA}))).await.ok();
    let (token, attempt) = (opened.token().unwrap(), opened.attempt(Kind::SignUp));
    let prepare = json!({"signup_attempt_id": attempt.id, "method": "email"});
    ask(&one.router, with("/auth/prepare-verification", &token, &prepare)).await.ok();
    let code = world.code(&address(ADA)).await.unwrap();
    let verify = json!({"signup_attempt_id": attempt.id, "code": code});
    let path = "/auth/attempt-verification";
    let strange = ask(&two.router, with(path, &token, &verify)).await.refused(400, "INVALID_ATTEMPT");
    assert_ne!(strange.session()["id"], opened.session()["id"]);
    let signed_in = ask(&one.router, with(path, &token, &verify)).await.ok();
    let session = |token: &str| with_headers(Method::GET, &format!("/session?__dev_session__={token}"), &[], "");
    let token = signed_in.token().unwrap();
    assert_eq!(ask(&one.router, session(&token)).await.ok().active().as_deref(), Some(ADA));
    assert_eq!(ask(&two.router, session(&token)).await.ok().active(), None);
}

#[tokio::test]
async fn no_answer_has_a_code_in_it() {
    let mounted = Mounted::new().await;
    for shape in Shape::ALL {
        for kind in Kind::ALL {
            let browser = mounted.browser_that_speaks(shape);
            let email = format!("{}.{shape:?}@example.com", kind.name()).to_lowercase();
            if kind == Kind::SignIn {
                mounted.has_account(&email).await;
            }
            let mut answers = vec![browser.open(kind, &email).await];
            let attempt = answers[0].attempt(kind);
            answers.push(browser.prepare(&attempt).await);
            let code = mounted.code(&email).await;
            answers.push(browser.verify(&attempt, &other_than(&code)).await);
            answers.push(browser.ask(post_json("/auth/attempt-verification", &json!({"code": [code]}))).await);
            answers.push(browser.verify(&attempt, &code).await.ok());
            answers.push(browser.get("/session").await);
            for answer in answers {
                let mut text = answer.to_string();
                // Ids and tokens are digits and letters of their own.
                for id in ids(&answer.json()).into_iter().chain(answer.token()) {
                    text = text.replace(&id, "");
                }
                assert!(!text.contains(&code), "{code} in {answer}");
            }
        }
    }
}
