//! Sessions: by what they are shown, listed and ended.

use http::Method;
use serde_json::{Value, json};

use crate::support::{ADA, Answer, BOB, Mounted};

const COOKIE: &str = "ory_kratos_session";

/// 401 without an id.
#[track_caller]
fn is_nobody(answer: &Answer) {
    assert_eq!(answer.error(), (401, String::new(), String::new()), "{answer}");
}

#[tokio::test]
async fn a_session_is_shown_by_header_by_cookie_or_as_a_bearer_in_this_order() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    mounted.person(BOB).await;
    let (_, ada) = mounted.signed_in(ADA).await;
    let script = mounted.script();
    script.sign_in(&mounted, BOB).await;
    let native = mounted.native();
    let who = |answer: &Answer| answer.json()["identity"]["traits"]["email"].clone();
    let email = async |headers: &[(&str, &str)]| {
        let answer = native.whoami(headers).await.is(200);
        let identity = answer.json()["identity"]["id"].clone();
        assert_eq!(answer.header("x-kratos-authenticated-identity-id"), identity.as_str().unwrap());
        // A token's answer never takes the cookie of whoever sends it along.
        assert!(answer.cookies().is_empty(), "{answer}");
        answer.json()["identity"]["verifiable_addresses"][0]["value"].clone()
    };
    let bob = format!("{COOKIE}={}", script.cookie(COOKIE).unwrap());
    let bearer = format!("bEaReR {ada}");
    assert_eq!(email(&[("x-session-token", &ada), ("cookie", &bob)]).await, ADA);
    assert_eq!(email(&[("cookie", &bob), ("authorization", &bearer)]).await, BOB);
    assert_eq!(email(&[("cookie", "a=b; ory_kratos_session=x"), ("authorization", &bearer)]).await, ADA);
    assert_eq!(email(&[("x-session-token", ""), ("cookie", &bob)]).await, BOB);
    // Whoever shows a token means it.
    is_nobody(&native.whoami(&[("x-session-token", "ory_st_x"), ("cookie", &bob)]).await);
    is_nobody(&native.whoami(&[]).await);
    assert_eq!(who(&script.whoami(&[]).await), Value::Null, "an operator's identity without traits has none");
}

#[tokio::test]
async fn st_55_no_token_passes_for_another_and_none_is_forged() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let (_, token) = mounted.signed_in(ADA).await;
    let script = mounted.script();
    script.sign_in(&mounted, ADA).await;
    let cookie = script.cookie(COOKIE).unwrap();
    let logout = script.get("/self-service/logout/browser").await.is(200).json()["logout_token"].clone();
    let logout = logout.as_str().unwrap();
    assert_eq!((token.len(), logout.len(), cookie.len()), (7 + 32, 7 + 32, 32));
    let native = mounted.native();
    let digits = |token: &str| token.split_at(7).1.to_owned();
    let forged = format!("{}{}", &token[..38], if token.ends_with('0') { '1' } else { '0' });
    for wrong in
        [logout, &cookie, &format!("ory_st_{}", digits(logout)), &format!("ory_st_{cookie}"), &forged, &digits(&token)]
    {
        is_nobody(&native.whoami(&[("x-session-token", wrong)]).await);
    }
    for wrong in [&token, logout, &digits(&token), &cookie.to_lowercase()] {
        is_nobody(&native.whoami(&[("cookie", &format!("{COOKIE}={wrong}"))]).await);
    }
    for wrong in [token.as_str(), &format!("ory_lo_{}", digits(&token)), &cookie] {
        script.get(&format!("/self-service/logout?token={wrong}")).await.is(403);
    }
    script.whoami(&[]).await.is(200);
}

#[tokio::test]
async fn a_session_says_where_it_was_begun_and_for_how_long() {
    let mounted = Mounted::with(&[(
        "version: v26.2.0\n",
        "session: {lifespan: 2h, cookie: {name: my_session, persistent: false}}\n",
    )])
    .await;
    mounted.person(ADA).await;
    let (id, code) = mounted.login_sent(ADA).await;
    let body = json!({"method": "code", "identifier": ADA, "code": code}).to_string();
    let native = mounted.native();
    let mut request = native.request(
        Method::POST,
        &format!("/self-service/login?flow={id}"),
        &[("content-type", "application/json")],
        body,
    );
    let client = web::Client { address: Some("203.0.113.7".parse().unwrap()), user_agent: Some("an app".into()) };
    request.extensions_mut().insert(client);
    let session = crate::support::ask_as_is(mounted.router(), request).await.is(200).json()["session"].clone();
    let device = &session["devices"][0];
    let expected = json!({"id": device["id"], "ip_address": "203.0.113.7", "user_agent": "an app", "location": ""});
    assert_eq!(*device, expected);
    assert_eq!((&session["active"], &session["authenticator_assurance_level"]), (&json!(true), &json!("aal1")));
    let at = |name: &str| session[name].as_str().unwrap().to_owned();
    assert_eq!(at("authenticated_at"), at("issued_at"));
    let script = mounted.script();
    let done = script.sign_in(&mounted, ADA).await;
    let lines: Vec<_> = done.headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap()).collect();
    let line = lines.iter().find(|line| line.starts_with("my_session=")).unwrap();
    assert!(!line.contains("Max-Age") && !line.contains("Expires"), "{line}");
    mounted.world.clock.advance(std::time::Duration::from_hours(2));
    is_nobody(&script.whoami(&[]).await);
}

#[tokio::test]
async fn ones_other_sessions_are_listed_in_pages_and_ended() {
    let mounted = Mounted::new().await;
    mounted.added(json!({"email": ADA})).await;
    mounted.person(BOB).await;
    let (first, token) = mounted.signed_in(ADA).await;
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(mounted.signed_in(ADA).await.1);
    }
    let (foreign, bob) = mounted.signed_in(BOB).await;
    let native = mounted.native();
    let ask = async |method: Method, path: &str, token: &str| {
        native.ask(native.request(method, path, &[("x-session-token", token)], "")).await
    };
    let list = ask(Method::GET, "/sessions", &token).await.is(200);
    let listed = list.json();
    assert_eq!((list.header("x-total-count"), listed.as_array().unwrap().len()), ("3", 3));
    let identity = &listed[0]["identity"];
    assert_eq!((&identity["traits"]["email"], &identity["schema_url"]), (&json!(ADA), &json!("")));
    assert!(identity.get("verifiable_addresses").is_none());
    let page = ask(Method::GET, "/sessions?page_size=2", &token).await.is(200);
    assert_eq!(page.json(), json!([listed[0], listed[1]]));
    let next = page.header("link").split(['<', '>']).nth(1).unwrap().to_owned();
    assert_eq!(ask(Method::GET, &next, &token).await.is(200).json(), json!([listed[2]]));

    let end = async |id: &Value| ask(Method::DELETE, &format!("/sessions/{}", id.as_str().unwrap()), &token).await;
    end(&listed[0]["id"]).await.is(204);
    is_nobody(&native.whoami(&[("x-session-token", &others[2])]).await);
    // What is not his is not there for him.
    end(&foreign.json()["session"]["id"]).await.is(204);
    native.whoami(&[("x-session-token", &bob)]).await.is(200);
    end(&json!("6d1f0c4e-8a5d-4b6e-9f0a-2b1c3d4e5f60")).await.is(204);
    assert_eq!(end(&json!("x")).await.error().0, 400);
    assert_eq!(end(&first.json()["session"]["id"]).await.error().0, 400);
    native.whoami(&[("x-session-token", &token)]).await.is(200);

    assert_eq!(ask(Method::DELETE, "/sessions", &token).await.is(200).json(), json!({"count": 2}));
    is_nobody(&native.whoami(&[("x-session-token", &others[0])]).await);
    assert_eq!(ask(Method::GET, "/sessions", &token).await.is(200).json(), json!([]));
    for (method, path) in [(Method::GET, "/sessions"), (Method::DELETE, "/sessions"), (Method::DELETE, "/sessions/x")] {
        is_nobody(&ask(method, path, "").await);
    }
}

#[tokio::test]
async fn who_is_made_inactive_is_signed_out() {
    let mounted = Mounted::new().await;
    let id = mounted.added(json!({"email": ADA})).await;
    let (_, token) = mounted.signed_in(ADA).await;
    let body = json!({"schema_id": "default", "traits": {"email": ADA}, "state": "inactive"});
    mounted.operate(Method::PUT, &format!("/admin/identities/{id}"), body).await.is(200);
    is_nobody(&mounted.native().whoami(&[("x-session-token", &token)]).await);
}
