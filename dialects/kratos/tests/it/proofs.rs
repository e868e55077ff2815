//! Devices that an address knows: who presents a session of its owner, over or not, has a short code though strangers have spent theirs.

use std::time::Duration;

use engine::Handle;
use http::Method;
use serde_json::{Value, json};
use testkit::world::other_than;
use uuid::Uuid;

use crate::entering::submit;
use crate::support::{ADA, Answer, BOB, Mounted, NOBODY, Visitor};

const SESSION_COOKIE: &str = "ory_kratos_session";

/// Strangers guess as often as they may at codes that `email` is sent.
async fn spend(mounted: &Mounted, email: &str) {
    for _ in 0..5 {
        let (id, code) = mounted.login_sent(email).await;
        let wrong = mounted.native().log_in(&id, email, Some(&other_than(&code))).await.is(400);
        assert_eq!(wrong.messages(), [4_010_008]);
    }
}

/// Submits to a flow with `headers`.
async fn hand_in(visitor: &Visitor<'_>, kind: &str, id: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let headers = [headers, &[("content-type", "application/json")]].concat();
    visitor.ask(visitor.request(Method::POST, &submit(kind, id), &headers, body.to_string())).await
}

/// What asks for a code in a flow of `kind`.
fn question(kind: &str, email: &str) -> Value {
    match kind {
        "login" => json!({"method": "code", "identifier": email}),
        "registration" => json!({"method": "code", "traits": {"email": email}}),
        _ => json!({"method": "code", "email": email}),
    }
}

/// How long the code is that `email` is sent, or that nobody is, in a native client's flow of `kind`, asked for with `headers` once and
/// once more; and whether it passes with them.
async fn asked(mounted: &Mounted, kind: &str, email: &str, headers: &[(&str, &str)]) -> (u8, bool) {
    let native = mounted.native();
    let id = native.enter(kind).await;
    let mut body = question(kind, email);
    let length = async || {
        hand_in(&native, kind, &id, headers, &body).await;
        let key = id.parse::<Uuid>().unwrap();
        let handle = Handle::new("kratos", mounted.world.project(), kind, key.as_bytes());
        mounted.engine().flow(handle).await.unwrap().challenge.unwrap().format.length
    };
    let first = length().await;
    mounted.world.clock.advance(Duration::from_secs(3));
    assert_eq!(length().await, first);
    body["code"] = mounted.code(email).await.into();
    let brought = hand_in(&native, kind, &id, headers, &body).await;
    let is_passed = brought.status == 200 && (kind == "login" || brought.state() == "passed_challenge");
    (first, is_passed)
}

/// A session of each, and both are over.
async fn left(mounted: &Mounted, is_expired: bool) -> [String; 2] {
    let mut tokens = Vec::new();
    for email in [ADA, BOB] {
        mounted.person(email).await;
        let (_, token) = mounted.signed_in(email).await;
        if !is_expired {
            let native = mounted.native();
            let headers = [("content-type", "application/json")];
            let body = json!({"session_token": token}).to_string();
            native.ask(native.request(Method::DELETE, "/self-service/logout/api", &headers, body)).await.is(204);
        }
        tokens.push(token);
    }
    mounted.world.clock.advance(Duration::from_hours(24));
    for token in &tokens {
        mounted.native().whoami(&[("x-session-token", token)]).await.is(401);
    }
    tokens.try_into().unwrap()
}

#[tokio::test]
async fn st_08_a_session_that_is_over_still_shows_that_the_device_is_known_and_nobody_elses_does() {
    for is_expired in [false, true] {
        let mounted = Mounted::new().await;
        let [own, other] = left(&mounted, is_expired).await;
        spend(&mounted, ADA).await;
        let bearer = format!("bearer {own}");
        for kind in ["login", "verification", "registration"] {
            // Nobody signs up with what is somebody's, whatever he shows.
            let passes = kind != "registration";
            for headers in [("x-session-token", own.as_str()), ("authorization", &bearer)] {
                assert_eq!(asked(&mounted, kind, ADA, &[headers]).await, (6, passes), "{kind} {headers:?}");
            }
            let strangers =
                [("x-session-token", other.as_str()), ("x-session-token", "ory_st_1"), ("x-request-id", "1")];
            for headers in strangers {
                assert_eq!(asked(&mounted, kind, ADA, &[headers]).await, (12, passes), "{kind} {headers:?}");
            }
        }
    }
}

#[tokio::test]
async fn st_08_a_short_code_is_compared_for_the_device_that_is_known_alone() {
    let mounted = Mounted::new().await;
    let [own, other] = left(&mounted, false).await;
    spend(&mounted, ADA).await;
    let native = mounted.native();
    let id = native.enter("login").await;
    let mut body = question("login", ADA);
    hand_in(&native, "login", &id, &[("x-session-token", &own)], &body).await.is(400);
    body["code"] = mounted.code(ADA).await.into();
    for token in [other.as_str(), "ory_st_1"] {
        let wrong = hand_in(&native, "login", &id, &[("x-session-token", token)], &body).await.is(400);
        assert_eq!(wrong.messages(), [4_010_008]);
    }
    hand_in(&native, "login", &id, &[("x-session-token", &own)], &body).await.is(200);
}

#[tokio::test]
async fn st_08_a_browser_is_known_by_its_cookie_while_it_is_signed_in_and_when_it_was_signed_out_from_elsewhere() {
    let mounted = Mounted::new().await;
    mounted.person(ADA).await;
    let (_, elsewhere) = mounted.signed_in(ADA).await;
    let script = mounted.script();
    script.sign_in(&mounted, ADA).await;
    spend(&mounted, ADA).await;
    // Who is signed in shows once more who he is.
    let begin = "/self-service/login/browser?refresh=true";
    let flow = script.get(begin).await.is(200);
    let body = json!({"method": "code", "identifier": ADA, "csrf_token": flow.value_of("csrf_token")});
    script.hand_in("login", &flow.id(), &body).await.is(400);
    assert_eq!(mounted.code(ADA).await.len(), 6);

    let native = mounted.native();
    let ended = native.request(Method::DELETE, "/sessions", &[("x-session-token", &elsewhere)], "");
    native.ask(ended).await.is(200);
    script.whoami(&[]).await.is(401);
    let cookie = script.cookie(SESSION_COOKIE).unwrap();
    script.sign_in(&mounted, ADA).await;
    assert_eq!(mounted.code(ADA).await.len(), 6);
    assert_ne!(script.cookie(SESSION_COOKIE).unwrap(), cookie);
    // Another browser has nothing to show.
    mounted.script().sign_in(&mounted, ADA).await;
    assert_eq!(mounted.code(ADA).await.len(), 12);
}

#[tokio::test]
async fn st_34_who_shows_a_session_of_his_own_cannot_tell_whether_somebody_elses_address_is_known() {
    let mounted = Mounted::new().await;
    let [_, bob] = left(&mounted, false).await;
    // As long as the other, or the length of an answer would differ.
    mounted.person("amanda@example.org").await;
    let headers = [("x-session-token", bob.as_str())];
    for kind in ["login", "verification", "registration"] {
        let mut seen = Vec::new();
        for email in ["amanda@example.org", NOBODY] {
            let native = mounted.native();
            mounted.world.calls.take_calls();
            let mut answers = Vec::new();
            for _ in 0..2 {
                let id = native.enter(kind).await;
                let mut body = question(kind, email);
                let mut said = vec![hand_in(&native, kind, &id, &headers, &body).await];
                body["code"] = "00000x".into();
                for _ in 0..4 {
                    said.push(hand_in(&native, kind, &id, &headers, &body).await);
                }
                answers.extend(said.iter().map(|answer| answer.masked(&id, email)));
            }
            seen.push((answers, mounted.world.calls.take_calls()));
        }
        assert_eq!(seen[0], seen[1], "{kind}");
    }
}
