//! Which tokens are good for something, and what is said of those that are not.

use std::sync::Arc;

use engine::{Algorithm, IdentityId, SessionId, Sessions};
use http::Method;
use serde_json::{Value, json};
use testkit::world::{World, unlimited};
use tokio::task::JoinSet;

use crate::support::{
    ADA, Answer, BOB, EMAIL, EVE, ME, Mounted, ORIGIN, PROJECT, RESEND, VERIFY, mount, request, with_headers,
};

/// Every method with its verb.
const METHODS: [(Method, &str); 5] =
    [(Method::GET, ME), (Method::GET, EMAIL), (Method::PUT, EMAIL), (Method::POST, RESEND), (Method::POST, VERIFY)];

impl Mounted {
    /// Asks every method with the headers given, and gives the one answer they have.
    async fn ask_all(&self, headers: &[(&str, &str)]) -> Answer {
        let mut answers = Vec::new();
        for (method, path) in METHODS {
            answers.push(self.ask(with_headers(method, path, headers, "")).await);
        }
        let first = answers.remove(0);
        for answer in answers {
            assert_eq!(answer, first);
        }
        first
    }

    /// The same with a token.
    async fn refused_all(&self, token: &str) {
        let authorization = format!("Bearer {token}");
        let answer = self.ask_all(&[("authorization", authorization.as_str())]).await;
        let answer = answer.refused(401, 16, "AUTH-7fs1e");
        assert_eq!(
            answer.body,
            concat!(
                r#"{"code":16,"message":"Errors.Token.Invalid (AUTH-7fs1e)","details":[{"#,
                r#""@type":"type.googleapis.com/zitadel.v1.ErrorDetail","id":"AUTH-7fs1e","message":"Errors.Token.Invalid"}]}"#,
            )
        );
        let challenge = format!(
            r#"Bearer realm="{ORIGIN}", error="invalid_token", error_description="Errors.Token.Invalid (AUTH-7fs1e)""#
        );
        assert_eq!(answer.header("www-authenticate"), challenge);
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_told() {
    let mounted = Mounted::new().await;
    let challenge = format!("Bearer realm=\"{ORIGIN}\"");
    for headers in [&[][..], &[("authorization", "")], &[("authorization", "  ")]] {
        let answer = mounted.ask_all(headers).await;
        assert_eq!(answer.body, r#"{"code":16,"message":"auth header missing"}"#);
        assert_eq!((answer.status.as_u16(), answer.header("www-authenticate")), (401, challenge.as_str()));
    }
    let ada = mounted.signed_in(ADA).await;
    let twice = format!("Bearer {}", ada.token);
    for headers in [
        &[("authorization", "Bearer ")][..],
        &[("authorization", "Bearer")],
        &[("authorization", "Basic dTpw")],
        &[("authorization", ada.token.as_str())],
        &[("authorization", twice.as_str()), ("authorization", twice.as_str())],
    ] {
        let answer = mounted.ask_all(headers).await.refused(401, 16, "AUTH-toLo1");
        assert_eq!(answer.json()["message"], "invalid auth header (AUTH-toLo1)");
        assert_eq!(answer.header("www-authenticate"), challenge);
    }
}

#[tokio::test]
async fn the_scheme_may_be_written_in_any_case() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let authorization = format!("{scheme} {}", ada.token);
        let headers = [("authorization", authorization.as_str())];
        mounted.ask(with_headers(Method::GET, EMAIL, &headers, "")).await.ok();
    }
}

#[tokio::test]
async fn a_token_that_nobody_signed_or_that_was_altered_or_is_over_is_worth_nothing() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    let altered = format!("{}AAAA", &ada.token[..ada.token.len() - 4]);
    for token in ["nonsense", "a.b.c", altered.as_str()] {
        mounted.refused_all(token).await;
    }
    mounted.world.clock.advance(testkit::world::LIFE);
    mounted.refused_all(&ada.token).await;
    mounted.email(&mounted.renewed(&ada)).await.ok();
}

#[tokio::test]
async fn a_token_of_another_kind_issuer_or_audience_is_worth_nothing() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    let good = serde_json::to_value(mounted.claims(ada.session, ada.identity)).unwrap();
    mounted.email(&mounted.sign(&good)).await.ok();
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    // An ID token has no `typ`, and the client for its audience.
    let mut id_token = with("aud", json!("app"));
    id_token.as_object_mut().unwrap().remove("typ");
    for claims in [
        id_token,
        with("typ", json!("JWT")),
        with("iss", json!("https://elsewhere.example.com")),
        with("iss", json!(format!("{ORIGIN}/"))),
        with("aud", json!(["app"])),
        with("aud", json!([])),
        with("sid", json!("1")),
        with("sid", json!(ada.session.get())),
        with("sub", json!("1")),
        with("exp", json!(0)),
    ] {
        mounted.refused_all(&mounted.sign(&claims)).await;
    }
    mounted.engine().prepare_keys(mounted.world.project(), Algorithm::Es256).await.unwrap();
    mounted.refused_all(&mounted.engine().sign(&mounted.context(), Algorithm::Es256, &good).unwrap()).await;
}

#[tokio::test]
async fn st_28_a_token_names_a_session_of_its_own_user() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    let bob = mounted.signed_in(BOB).await;
    for (session, identity) in [
        (ada.session, bob.identity),
        (bob.session, ada.identity),
        (SessionId::new(7), ada.identity),
        (ada.session, IdentityId::new(7)),
    ] {
        mounted.refused_all(&mounted.sign(&mounted.claims(session, identity))).await;
    }
}

#[tokio::test]
async fn st_55_a_session_of_another_surface_is_worth_nothing_here() {
    let mounted = Mounted::new().await;
    for dialect in ["zitadel", "login", "descope"] {
        let user = mounted.signed_in_at(dialect, &format!("{dialect}@example.com")).await;
        mounted.refused_all(&user.token).await;
    }
}

#[tokio::test]
async fn an_ended_session_takes_its_tokens_with_it() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    mounted.set(&ada.token, BOB).await.ok();
    let code = mounted.code(BOB).await;
    mounted.engine().end_sessions(&mounted.context(), ada.session, Sessions::This).await.unwrap();
    mounted.refused_all(&ada.token).await;
    mounted.verify(&ada.token, &code).await.refused(401, 16, "AUTH-7fs1e");
    // What was pending is hers still, at her next session.
    mounted.pass(5);
    let again = mounted.signed_in(ADA).await;
    mounted.verify(&again.token, &code).await.ok();
}

#[tokio::test]
async fn a_token_for_something_else_does_not_do() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    for (scope, is_good) in [
        ("openid", true),
        ("email openid", true),
        ("urn:zitadel:iam:org:project:id:zitadel:aud", true),
        ("email profile offline_access", false),
        ("openid2", false),
        ("", false),
    ] {
        let mut claims = mounted.claims(ada.session, ada.identity);
        scope.clone_into(&mut claims.scope);
        assert_eq!(mounted.email(&mounted.sign(&claims)).await.status == 200, is_good, "{scope}");
    }
}

#[tokio::test]
async fn the_scope_of_the_api_is_asked_for_where_the_configuration_says_so() {
    let mounted = Mounted::with(unlimited(), "require_api_audience = true").await;
    let ada = mounted.signed_in(ADA).await;
    mounted.refused_all(&ada.token).await;
    for (scope, is_good) in [
        ("openid urn:zitadel:iam:org:project:id:zitadel:aud", true),
        ("openid urn:zitadel:iam:org:project:id:zitadel:aud email", true),
        ("openid urn:zitadel:iam:org:project:id:other:aud", false),
        ("openid xurn:zitadel:iam:org:project:id:zitadel:aud", false),
        ("", false),
    ] {
        let mut claims = mounted.claims(ada.session, ada.identity);
        scope.clone_into(&mut claims.scope);
        assert_eq!(mounted.email(&mounted.sign(&claims)).await.status == 200, is_good, "{scope}");
    }
}

#[tokio::test]
async fn an_organisation_is_the_project() {
    let mounted = Mounted::new().await;
    let ada = mounted.signed_in(ADA).await;
    let authorization = format!("Bearer {}", ada.token);
    let headers = |id| [("authorization", authorization.as_str()), ("x-zitadel-orgid", id)];
    for id in [PROJECT, ""] {
        mounted.ask(with_headers(Method::GET, EMAIL, &headers(id), "")).await.ok();
    }
    for id in ["1", "p1", "P1 P1"] {
        let answer = mounted.ask_all(&headers(id)).await.refused(403, 7, "AUTH-Bs7Ds");
        assert_eq!(answer.json()["message"], "Organisation doesn't exist (AUTH-Bs7Ds)");
    }
    // Who asks is judged first.
    let unknown = [("authorization", "Bearer x"), ("x-zitadel-orgid", "1")];
    mounted.ask_all(&unknown).await.refused(401, 16, "AUTH-7fs1e");
}

#[tokio::test]
async fn any_page_may_ask_with_a_token_unless_the_configuration_names_those_that_may() {
    let mounted = Mounted::new().await;
    let app = "https://app.example.com";
    let ada = mounted.signed_in(ADA).await;
    let authorization = format!("Bearer {}", ada.token);
    let from = |origin| [("authorization", authorization.as_str()), ("origin", origin)];
    let answer = mounted.ask(with_headers(Method::GET, EMAIL, &from(app), "")).await.ok();
    assert_eq!(answer.header("access-control-allow-origin"), app);
    assert_eq!(answer.header("access-control-allow-credentials"), "");
    assert!(answer.header("access-control-expose-headers").contains("Retry-After"));

    let mounted = Mounted::with(unlimited(), &format!("allowed_origins = [\"{app}\"]")).await;
    let ada = mounted.signed_in(EVE).await;
    let authorization = format!("Bearer {}", ada.token);
    let from = |origin| [("authorization", authorization.as_str()), ("origin", origin)];
    for origin in [app, ORIGIN] {
        let answer = mounted.ask(with_headers(Method::GET, EMAIL, &from(origin), "")).await.ok();
        assert_eq!(answer.header("access-control-allow-origin"), origin);
    }
    for origin in ["https://evil.example.com", "https://app.example.com.evil.com", "http://app.example.com", "null"] {
        let answer = mounted.ask_all(&from(origin)).await.refused(403, 7, "AUTH-DZG21");
        assert_eq!(answer.json()["message"], "Errors.OriginNotAllowed (AUTH-DZG21)");
        assert_eq!(answer.header("access-control-allow-origin"), "");
    }
    mounted.email(&ada.token).await.ok();
}

#[tokio::test]
async fn an_origin_is_a_scheme_a_host_and_perhaps_a_port() {
    let mounted = Mounted::new().await;
    for good in ["[]", r#"["https://a.example.com", "http://localhost:5173"]"#] {
        mount(mounted.engine(), &format!("allowed_origins = {good}")).unwrap();
    }
    for bad in
        [r#"["https://a.example.com/"]"#, r#"["a.example.com"]"#, r#"["*"]"#, r#"["https://A.example.com"]"#, r#"[""]"#]
    {
        let error = mount(mounted.engine(), &format!("allowed_origins = {bad}")).unwrap_err();
        assert!(error.to_string().starts_with("dialects.zitadel.allowed_origins: "), "{error}");
    }
    mount(mounted.engine(), "allowed_origin = []").unwrap_err();
}

#[tokio::test]
async fn who_comes_before_the_key_waits_for_it() {
    let mounted = Arc::new(Mounted::without_keys(World::new().await, ""));
    let mut asking = JoinSet::new();
    asking.spawn({
        let mounted = Arc::clone(&mounted);
        async move { mounted.ask(request(Method::GET, EMAIL, "a.b.c", "")).await }
    });
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(asking.try_join_next().is_none());
    crate::support::prepare_key(&mounted.world).await;
    asking.join_next().await.unwrap().unwrap().refused(401, 16, "AUTH-7fs1e");
}

#[tokio::test]
async fn a_key_that_does_not_come_is_our_fault() {
    let mounted = Mounted::without_keys(World::new().await, "");
    tokio::time::pause();
    let answer = mounted.ask(request(Method::GET, EMAIL, "a.b.c", "")).await;
    assert_eq!(answer.body, r#"{"code":13,"message":"An internal error occurred"}"#);
    assert_eq!(answer.status, 500);
}
