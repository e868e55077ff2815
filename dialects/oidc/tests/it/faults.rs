//! What happens where the engine refuses or fails, and outside of the handlers.

use std::sync::Arc;
use std::time::Duration;

use engine::{Algorithm, Deaf, Engine, MasterKey, Parts, Project, ProjectId, Projects, Refusal, Store, StoreError};
use testkit::env::SeededEntropy;
use testkit::scripted::{Script, Scripted, names_every_refusal};
use testkit::world::{MASTER_KEY, World, unlimited};
use web::{Failure, Surface};

use crate::support::{Answer, BROWSER, CLIENTS, Mounted, SCOPE, VERIFIER, ask, cookie, mount, request};

/// The surface on a store that does as it is told, and tokens of the same surface on one that works.
struct Stage {
    mounted: Mounted,
    store: Arc<Scripted>,
    surface: Surface,
    tokens: Answer,
    back: String,
}

impl Stage {
    async fn new() -> Self {
        let mounted = Mounted::new().await;
        let tokens = mounted.tokens(SCOPE).await;
        let ada = mounted.person("ada@example.com").await;
        let back = mounted.signed_in(&mounted.authorize(&[]).await, ada).await;
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
        engine.prepare_keys(mounted.world.project(), Algorithm::Rs256).await.unwrap();
        let surface = mount(&engine, CLIENTS, false).unwrap();
        Self { mounted, store, surface, tokens, back }
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let body = web::hand_over::with_query("", form).trim_start_matches('?').to_owned();
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        ask(&self.surface, request(http::Method::POST, path, &headers, body)).await
    }

    /// What is answered to a code, a refresh token, an access token, a revocation, a sign-out and a sign-in while the store follows
    /// `script`.
    async fn play(&self, script: Script) -> [Answer; 6] {
        self.store.follow(script);
        let code = "A".repeat(43);
        let (access, refresh) = (self.tokens.text("access_token"), self.tokens.text("refresh_token"));
        let bearer = format!("Bearer {access}");
        let get =
            |path: &str, headers: &[(&str, &str)]| ask(&self.surface, request(http::Method::GET, path, headers, ""));
        [
            self.post(
                "/oauth/v2/token",
                &[
                    ("grant_type", "authorization_code"),
                    ("client_id", "app"),
                    ("redirect_uri", "https://app.example/cb"),
                    ("code_verifier", VERIFIER),
                    ("code", &code),
                ],
            )
            .await,
            self.post(
                "/oauth/v2/token",
                &[("grant_type", "refresh_token"), ("client_id", "app"), ("refresh_token", &refresh)],
            )
            .await,
            get("/oidc/v1/userinfo", &[("authorization", &bearer)]).await,
            self.post("/oauth/v2/revoke", &[("client_id", "app"), ("token", &refresh)]).await,
            get(&format!("/oidc/v1/end_session?id_token_hint={}", self.tokens.text("id_token")), &[]).await,
            get(&self.back, &[("cookie", &cookie(BROWSER))]).await,
        ]
    }
}

/// Each refusal, and whether an operation of this surface can come to it.
const REFUSALS: [(Refusal, bool); 17] = [
    (Refusal::FlowNotFound, false),
    (Refusal::FlowExpired, false),
    (Refusal::FlowPassed, false),
    (Refusal::CodeMismatch { left: 3 }, false),
    (Refusal::CodeExpired, false),
    (Refusal::AttemptsExhausted, false),
    (Refusal::AddressMalformed, false),
    (Refusal::AddressTaken, false),
    (Refusal::IdentityChanged, false),
    (Refusal::TooSoon { retry_after: Duration::from_secs(1) }, false),
    (Refusal::IdentityNotFound, true),
    (Refusal::IdentityInactive, true),
    (Refusal::SessionEnded, true),
    (Refusal::TokenInvalid, true),
    (Refusal::TokenReused, true),
    (Refusal::TicketInvalid, true),
    (Refusal::TicketReused, true),
];

#[tokio::test]
async fn every_refusal_has_one_answer() {
    let stage = Stage::new().await;
    assert!(names_every_refusal(REFUSALS.map(|(refusal, _)| refusal)));
    for (refusal, is_ours) in REFUSALS {
        let [code, refresh, bearer, revoked, signed_out, signed_in] = stage.play(Script::Refuse(refusal)).await;
        let expected = if is_ours { (400, "invalid_grant".to_owned()) } else { (500, "server_error".to_owned()) };
        assert_eq!(code.error(), expected, "{refusal:?}");
        assert_eq!(refresh.error(), expected, "{refusal:?}");
        assert_eq!(bearer.error(), (401, "invalid_token".to_owned()));
        assert_eq!((revoked.status.as_u16(), revoked.body.as_str()), (200, ""));
        assert_eq!(signed_out.target(), "https://id.example.com/sign-out");
        if matches!(refusal, Refusal::IdentityNotFound | Refusal::IdentityInactive) {
            assert_eq!(signed_in.parameter("error"), "access_denied");
        } else {
            signed_in.assert_page(400, "go back to the application");
        }
    }
}

#[tokio::test]
async fn st_50_a_fault_is_told_in_no_words_of_ours() {
    let stage = Stage::new().await;
    for (fault, status, error) in [
        (Script::Fail(|| StoreError::Unavailable("disk /var/lib is full".into())), 503, "temporarily_unavailable"),
        (Script::Fail(|| StoreError::Corrupt { table: "tickets", column: "sealed", id: 7 }), 500, "server_error"),
        (Script::Fail(|| StoreError::Driver("no such table: tickets".into())), 500, "server_error"),
    ] {
        let [code, refresh, bearer, revoked, signed_out, signed_in] = stage.play(fault).await;
        for answer in [code, refresh, bearer, revoked] {
            assert_eq!(answer.error(), (status, error.to_owned()));
            assert_eq!(answer.header("retry-after"), if status == 503 { "2" } else { "" });
            assert!(!answer.body.contains("disk") && !answer.body.contains("tickets"), "{answer}");
        }
        signed_out.assert_page(status, "it is not your fault");
        assert_eq!(signed_out.header("retry-after"), if status == 503 { "2" } else { "" });
        assert_eq!(signed_in.target(), "https://app.example/cb");
        assert_eq!(signed_in.parameter("error"), error);
        assert_eq!(signed_in.parameter("state"), "a&b=c d");
    }
    drop(stage.mounted);
}

#[tokio::test]
async fn a_key_that_never_comes_is_our_fault_and_spends_no_code() {
    let world = World::new().await;
    let surface = mount(&world.engine, CLIENTS, false).unwrap();
    // Not before the world is up: time that stands still leaps over every wait, also that for a database to answer.
    tokio::time::pause();
    let answer = ask(&surface, request(http::Method::GET, "/oauth/v2/keys", &[], "")).await;
    assert_eq!(answer.error(), (500, "server_error".to_owned()));
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let body = "client_id=app&grant_type=authorization_code&code=x";
    world.calls.take_calls();
    let answer = ask(&surface, request(http::Method::POST, "/oauth/v2/token", &headers, body)).await;
    assert_eq!(answer.error(), (500, "server_error".to_owned()));
    assert!(world.calls.take_calls().is_empty());
}

#[tokio::test]
async fn what_happens_outside_of_the_handlers_is_told_in_the_surfaces_shape() {
    let mounted = Mounted::new().await;
    for failure in Failure::ALL {
        let expected = match failure {
            Failure::NotFound => (404, "not_found"),
            Failure::WrongVerb => (405, "invalid_request"),
            Failure::Panicked => (500, "server_error"),
            Failure::TimedOut => (408, "invalid_request"),
            Failure::BodyTooLarge => (413, "invalid_request"),
            Failure::Unavailable => (503, "temporarily_unavailable"),
        };
        let (status, error) = Answer::of((mounted.surface.failure)(failure)).await.error();
        assert_eq!((status, error.as_str()), expected);
    }
}
