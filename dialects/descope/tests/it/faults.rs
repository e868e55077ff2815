//! What is said where the engine refuses or fails.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{
    Address, Caller, Deaf, EndSessions, Engine, Flow, Handle, IdentityState, Lease, Leases, MasterKey, MessageQuery,
    MessageState, OutboxDepth, OutboxMessage, Owner, Parts, Project, ProjectId, Projects, Refresh, RefreshOutcome,
    Refusal, Register, Registered, Reply, Resend, SealedKey, SessionId, Settle, Start, StartOutcome, Store, StoreError,
    Swept, Timestamp, Verify, VerifyOutcome,
};
use serde_json::json;
use testkit::env::SeededEntropy;
use testkit::world::{MASTER_KEY, unlimited};
use web::Surface;

use crate::support::{ADA, Answer, BOB, Mounted, PROJECT, ask, get, mount, post};

/// What a [`Scripted`] store answers to whatever a surface asks of it.
#[derive(Clone, Copy)]
enum Script {
    Refuse(Refusal),
    Fail(fn() -> StoreError),
    /// Callers are disabled; the rest is as it is.
    Disable,
}

/// A store that answers as it was told; what surfaces do not ask goes to a real one.
struct Scripted {
    inner: Arc<dyn Store>,
    script: Mutex<Script>,
}

impl Scripted {
    fn answer<'a, T: Send + 'a>(&self, refused: impl FnOnce(Refusal) -> T) -> Reply<'a, T> {
        let answer = match *self.script.lock().unwrap() {
            Script::Refuse(refusal) => Ok(refused(refusal)),
            Script::Fail(fault) => Err(fault()),
            Script::Disable => Ok(refused(Refusal::IdentityInactive)),
        };
        Box::pin(std::future::ready(answer))
    }
}

impl Store for Scripted {
    fn start(&self, _operation: Start) -> Reply<'_, StartOutcome> {
        self.answer(StartOutcome::Refused)
    }
    fn resend(&self, _operation: Resend) -> Reply<'_, StartOutcome> {
        self.answer(StartOutcome::Refused)
    }
    fn verify(&self, _operation: Verify) -> Reply<'_, VerifyOutcome> {
        self.answer(|refusal| VerifyOutcome::Refused { refusal, flow: None })
    }
    fn refresh(&self, _operation: Refresh) -> Reply<'_, RefreshOutcome> {
        self.answer(RefreshOutcome::Refused)
    }
    fn end_sessions(&self, _operation: EndSessions) -> Reply<'_, Result<(), Refusal>> {
        self.answer(Err)
    }
    fn caller(&self, id: SessionId) -> Reply<'_, Option<Caller>> {
        let script = *self.script.lock().unwrap();
        Box::pin(async move {
            match script {
                Script::Refuse(_) => Ok(None),
                Script::Fail(fault) => Err(fault()),
                Script::Disable => {
                    let mut caller = self.inner.caller(id).await?;
                    if let Some(caller) = &mut caller {
                        caller.account.identity.state = IdentityState::Inactive;
                    }
                    Ok(caller)
                }
            }
        })
    }
    fn register(&self, operation: Register) -> Reply<'_, Registered> {
        self.inner.register(operation)
    }
    fn lease(&self, operation: Lease) -> Reply<'_, Leases> {
        self.inner.lease(operation)
    }
    fn settle(&self, operation: Settle) -> Reply<'_, Vec<MessageState>> {
        self.inner.settle(operation)
    }
    fn sweep(&self, now: Timestamp, before: Timestamp) -> Reply<'_, Swept> {
        self.inner.sweep(now, before)
    }
    fn flow(&self, handle: Handle) -> Reply<'_, Option<Flow>> {
        self.inner.flow(handle)
    }
    fn owner(&self, project: ProjectId, address: Address) -> Reply<'_, Option<Owner>> {
        self.inner.owner(project, address)
    }
    fn messages(&self, query: MessageQuery) -> Reply<'_, Vec<(OutboxMessage, Option<Flow>)>> {
        self.inner.messages(query)
    }
    fn outbox_depth(&self) -> Reply<'_, OutboxDepth> {
        self.inner.outbox_depth()
    }
    fn signing_keys(&self, project: ProjectId) -> Reply<'_, Vec<SealedKey>> {
        self.inner.signing_keys(project)
    }
    fn add_signing_key(&self, key: SealedKey) -> Reply<'_, ()> {
        self.inner.add_signing_key(key)
    }
    fn meta(&self, name: &'static str) -> Reply<'_, Option<Vec<u8>>> {
        self.inner.meta(name)
    }
    fn claim_meta(&self, name: &'static str, value: Vec<u8>) -> Reply<'_, Vec<u8>> {
        self.inner.claim_meta(name, value)
    }
    fn put_meta(&self, name: &'static str, value: Vec<u8>) -> Reply<'_, ()> {
        self.inner.put_meta(name, value)
    }
    fn highest_id(&self) -> Reply<'_, i64> {
        self.inner.highest_id()
    }
    fn ping(&self) -> Reply<'_, ()> {
        self.inner.ping()
    }
}

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
        let store = Arc::new(Scripted { inner, script: Mutex::new(Script::Refuse(Refusal::FlowNotFound)) });
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
        *self.store.script.lock().unwrap() = script;
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
const REFUSALS: [(Refusal, [(u16, &str); 4]); 14] = {
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
        (Refusal::TooSoon { retry_after: Duration::from_millis(61_001) }, [TOO_SOON; 4]),
    ]
};

/// Whatever is added to the list has to be added to [`REFUSALS`].
const fn is_listed(refusal: Refusal) -> bool {
    match refusal {
        Refusal::FlowNotFound
        | Refusal::FlowExpired
        | Refusal::FlowPassed
        | Refusal::CodeMismatch { .. }
        | Refusal::CodeExpired
        | Refusal::AttemptsExhausted
        | Refusal::AddressMalformed
        | Refusal::AddressTaken
        | Refusal::IdentityNotFound
        | Refusal::IdentityInactive
        | Refusal::SessionEnded
        | Refusal::TokenInvalid
        | Refusal::TokenReused
        | Refusal::TooSoon { .. } => true,
    }
}

#[tokio::test]
async fn every_refusal_has_one_answer() {
    let stage = Stage::new().await;
    for (refusal, expected) in REFUSALS {
        assert!(is_listed(refusal));
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
async fn a_fault_is_told_in_no_words_of_ours_and_is_never_a_503() {
    let stage = Stage::new().await;
    let body = r#"{"errorCode":"E000500","errorDescription":"Internal error","errorMessage":"Something went wrong","message":"Something went wrong"}"#;
    for fault in [
        Script::Fail(|| StoreError::Unavailable("disk /var/lib is full".into())),
        Script::Fail(|| StoreError::Corrupt { table: "flows", column: "seed", id: 7 }),
        Script::Fail(|| StoreError::Driver("no such table: flows".into())),
    ] {
        let Played { start, update, verify, refresh, try_refresh, logout, validate, me } = stage.play(fault).await;
        for answer in [start, update, verify, refresh, try_refresh, logout, validate, me] {
            assert_eq!((answer.status.as_u16(), answer.body.as_str()), (500, body));
        }
    }
}
