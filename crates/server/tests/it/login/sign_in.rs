//! Signing in through the development inbox, and what the token says.

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};
use testkit::server::{Request, Server};

use super::journey::{
    KEYS, START, VERIFY, Verdict, code_to, flow_of, messages, other_than, start, start_request, verify,
};
use crate::support::BINARY;

/// Verifies `token` as an app would, against the published keys.
async fn verified(server: &Server, token: &str) -> Value {
    let answer = server.client().get(KEYS).await;
    assert_eq!(answer.status, 200);
    let keys: JwkSet = serde_json::from_slice(&answer.body).unwrap();
    let header = decode_header(token).unwrap();
    assert_eq!(header.alg, Algorithm::ES256);
    assert_eq!(header.typ.as_deref(), Some("JWT"));
    let key = keys.find(&header.kid.unwrap()).expect("the key is published");
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&["api"]);
    validation.set_issuer(&[server.origin()]);
    validation.set_required_spec_claims(&["iss", "sub", "aud", "exp", "nbf"]);
    validation.validate_nbf = true;
    decode(token, &DecodingKey::from_jwk(key).unwrap(), &validation).expect("the token verifies").claims
}

/// A whole sign-in; the token.
async fn sign_in(server: &Server, email: &str) -> String {
    let mut client = server.client();
    let flow = start(&mut client, email).await;
    let code = code_to(&mut client, email).await;
    let Verdict::Token(token) = verify(&mut client, &flow, &code).await else { panic!("the code is right") };
    for secret in [&flow, &code, &token] {
        server.is_secret(secret);
    }
    token
}

#[tokio::test]
async fn a_newcomer_reads_a_code_and_holds_a_token_that_verifies() {
    let server = Server::dev(BINARY, &[]).await;
    let claims = verified(&server, &sign_in(&server, "Ada@Example.com").await).await;
    let names: Vec<_> = claims.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = ["iss", "sub", "aud", "iat", "nbf", "exp", "jti", "auth_time", "amr", "email", "email_verified"];
    expected.sort_unstable();
    assert_eq!(names, expected);
    assert_eq!(claims["aud"], json!(["api"]));
    assert_eq!(claims["amr"], json!(["otp"]));
    assert_eq!(claims["email"], "ada@example.com");
    assert_eq!(claims["email_verified"], true);
    let issued_at = claims["iat"].as_i64().unwrap();
    assert_eq!(claims["nbf"], issued_at);
    assert_eq!(claims["auth_time"], issued_at);
    assert_eq!(claims["exp"], issued_at + 24 * 3600);
    for id in ["sub", "jti"] {
        let id = claims[id].as_str().unwrap();
        assert!(id.len() == 36 && id.split('-').count() == 5, "{id}");
    }

    // The same person again is the same subject, in another session.
    let again = verified(&server, &sign_in(&server, " ada@EXAMPLE.com ").await).await;
    assert_eq!(again["sub"], claims["sub"]);
    assert_ne!(again["jti"], claims["jti"]);
    let other = verified(&server, &sign_in(&server, "bob@example.com").await).await;
    assert_ne!(other["sub"], claims["sub"]);
    server.stop().await;
}

#[tokio::test]
async fn the_keys_hold_nothing_private_and_stay_over_a_restart() {
    let mut server = Server::dev(BINARY, &[]).await;
    let token = sign_in(&server, "ada@example.com").await;
    let before = server.client().get(KEYS).await;
    assert_eq!(before.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(before.header("cache-control"), Some("public, max-age=300"));
    for key in before.json()["keys"].as_array().unwrap() {
        let mut names: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    }
    server.kill().await;
    server.start().await;
    assert_eq!(server.client().get(KEYS).await.body, before.body);
    verified(&server, &token).await;
    server.stop().await;
}

#[tokio::test]
async fn a_request_may_spell_names_either_way_and_hold_what_nobody_knows() {
    let server = Server::dev(BINARY, &[]).await;
    let mut client = server.client();
    let body = json!({ "email": "ada@example.com", "instance": { "name": [1, 2] }, "locale": null });
    let flow = flow_of(&client.post(START, body.to_string()).await);
    let code = code_to(&mut client, "ada@example.com").await;
    let body =
        json!({ "authFlowToken": flow.to_uppercase(), "code": format!(" {} {} ", &code[..3], &code[3..]), "x": 1 });
    let answer = client.post(VERIFY, body.to_string()).await;
    assert!(matches!(Verdict::of(&answer), Verdict::Token(_)));
    let answer = answer.json();
    let names: Vec<_> = answer.as_object().unwrap().keys().collect();
    assert_eq!(names, ["auth_flow_token", "success"]);
    assert_eq!(answer["auth_flow_token"], flow);
    server.stop().await;
}

#[tokio::test]
async fn an_answer_has_the_documented_bytes_and_headers() {
    let server = Server::dev(BINARY, &[]).await;
    let mut client = server.client();
    let answer = client.send(&start_request("ada@example.com")).await;
    let flow = flow_of(&answer);
    assert_eq!(answer.text(), format!(r#"{{"auth_flow_token":"{flow}","email_code":{{}}}}"#));
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    assert_eq!(answer.header("grpc-status"), Some("0"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("x-request-id").map(str::len), Some(16));
    assert_eq!(answer.header("set-cookie"), None);
    let wrong = client.send(&super::journey::verify_request(&flow, "000000x")).await;
    assert_eq!(wrong.text(), format!(r#"{{"auth_flow_token":"{flow}","failure":{{"reason":"INVALID_CODE"}}}}"#));
    assert_eq!(wrong.header("grpc-status"), Some("0"));
    server.stop().await;
}

#[tokio::test]
async fn a_browser_may_ask_from_any_page() {
    let server = Server::dev(BINARY, &[]).await;
    let preflight = Request::new("OPTIONS", START)
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type");
    let answer = server.client().send(&preflight).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert!(answer.header("access-control-allow-methods").unwrap().contains("POST"));
    assert!(answer.header("access-control-allow-headers").unwrap().contains("content-type"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    server.stop().await;
}

#[tokio::test]
async fn the_inbox_shows_every_message_newest_first_and_can_be_emptied() {
    let server = Server::dev(BINARY, &[]).await;
    let mut client = server.client();
    assert_eq!(client.get("/dev/messages").await.json(), json!([]));
    // Limits on sending are lifted: twelve to one address at once.
    for _ in 0..12 {
        start(&mut client, "ada@example.com").await;
    }
    start(&mut client, "bob+tag@example.com").await;
    let all = client.get("/dev/messages").await.json();
    assert_eq!(all.as_array().unwrap().len(), 13);
    assert_eq!(all[0]["to"], "bob+tag@example.com");
    let times: Vec<_> = all.as_array().unwrap().iter().map(|message| message["created_at"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
    assert!(times[0].len() == 24 && times[0].ends_with('Z'), "{times:?}");

    assert_eq!(messages(&mut client, "ada@example.com").await.len(), 12);
    assert_eq!(messages(&mut client, "ADA@example.com").await.len(), 12);
    assert_eq!(messages(&mut client, "nobody@example.com").await.len(), 0);
    assert_eq!(messages(&mut client, "no address").await.len(), 0);
    let message = &messages(&mut client, "bob+tag@example.com").await[0];
    let mut names: Vec<_> = message.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["channel", "code", "created_at", "html", "id", "link", "subject", "text", "to"]);
    assert_eq!(message["channel"], "email");
    assert_eq!(message["link"], Value::Null);
    let code = message["code"].as_str().unwrap();
    assert!(code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()), "{code}");
    for part in ["text", "html"] {
        assert!(message[part].as_str().unwrap().contains(code), "{part}");
    }
    // A mail list shows subjects to whoever looks over a shoulder.
    assert!(!message["subject"].as_str().unwrap().contains(code));

    assert_eq!(client.send(&Request::new("DELETE", "/dev/messages")).await.status, 204);
    assert_eq!(client.get("/dev/messages").await.json(), json!([]));
    let flow = start(&mut client, "ada@example.com").await;
    assert_eq!(client.get("/dev/messages").await.json().as_array().unwrap().len(), 1);
    // Emptying is a view's affair: the flows go on.
    let code = code_to(&mut client, "ada@example.com").await;
    assert!(matches!(verify(&mut client, &flow, &code).await, Verdict::Token(_)));
    server.stop().await;
}

#[tokio::test]
async fn a_code_asked_for_before_a_restart_passes_after_it() {
    let mut server = Server::dev(BINARY, &[]).await;
    let flow = start(&mut server.client(), "ada@example.com").await;
    let code = code_to(&mut server.client(), "ada@example.com").await;
    assert_eq!(verify(&mut server.client(), &flow, &other_than(&code)).await, Verdict::Invalid);

    server.terminate();
    assert_eq!(server.ended().await, Some(0));
    server.start().await;
    assert_eq!(code_to(&mut server.client(), "ada@example.com").await, code);
    // The guess before the restart counts: four more, and the flow would be over.
    for _ in 0..3 {
        assert_eq!(verify(&mut server.client(), &flow, &other_than(&code)).await, Verdict::Invalid);
    }
    assert!(matches!(verify(&mut server.client(), &flow, &code).await, Verdict::Token(_)));
    server.stop().await;
}

#[tokio::test]
async fn st_06_a_code_that_passed_passes_never_again() {
    let mut server = Server::dev(BINARY, &[]).await;
    let mut client = server.client();
    let flow = start(&mut client, "ada@example.com").await;
    let code = code_to(&mut client, "ada@example.com").await;
    assert!(matches!(verify(&mut client, &flow, &code).await, Verdict::Token(_)));
    for _ in 0..3 {
        assert_eq!(verify(&mut client, &flow, &code).await, Verdict::Invalid);
    }
    // Nor does it in another flow of the same person, nor after a restart.
    let other = start(&mut client, "ada@example.com").await;
    assert_eq!(verify(&mut client, &other, &code).await, Verdict::Invalid);
    server.kill().await;
    server.start().await;
    assert_eq!(verify(&mut server.client(), &flow, &code).await, Verdict::Invalid);
    assert_eq!(server.metrics().await.sum("countersign_verifications_total", &[r#"outcome="replayed""#]), 1);
    server.stop().await;
}

#[tokio::test]
async fn st_28_a_code_passes_in_its_own_flow_only() {
    let server = Server::dev(BINARY, &[]).await;
    let mut client = server.client();
    let ada = start(&mut client, "ada@example.com").await;
    let bob = start(&mut client, "bob@example.com").await;
    let adas = code_to(&mut client, "ada@example.com").await;
    let bobs = code_to(&mut client, "bob@example.com").await;
    if adas != bobs {
        assert_eq!(verify(&mut client, &ada, &bobs).await, Verdict::Invalid);
        assert_eq!(verify(&mut client, &bob, &adas).await, Verdict::Invalid);
    }
    let Verdict::Token(token) = verify(&mut client, &bob, &bobs).await else { panic!("his own code is right") };
    assert_eq!(verified(&server, &token).await["email"], "bob@example.com");
    server.stop().await;
}

#[tokio::test]
async fn st_30_every_single_condition_that_fails_refuses() {
    let server = Server::dev(BINARY, &[]).await;
    let mut client = server.client();
    let flow = start(&mut client, "ada@example.com").await;
    let code = code_to(&mut client, "ada@example.com").await;
    let unknown = "00000000-0000-4000-8000-000000000000";
    let wrong = other_than(&code);
    let longer = format!("{code}0");
    for (flow, code) in
        [(unknown, code.as_str()), (unknown, &wrong), (&flow, &wrong), (&flow, &code[..5]), (&flow, &longer)]
    {
        assert_eq!(verify(&mut client, flow, code).await, Verdict::Invalid, "{flow} {code}");
    }
    // Three misses were counted, what was said to an unknown flow costs this one nothing, and full-width digits are the same
    // digits to whoever types them.
    let wide: String = code.chars().map(|digit| char::from_u32(u32::from(digit) + 0xfee0).unwrap()).collect();
    assert!(matches!(verify(&mut client, &flow, &wide).await, Verdict::Token(_)));
    server.stop().await;
}
