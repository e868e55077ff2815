//! Two surfaces on one server: what one hands out is worth nothing to the other.

use serde_json::{Value, json};
use testkit::server::{Answer, Client, Request, Server};

use super::journey::{Verdict, claims_of, code_to, messages, start, verify};
use crate::support::BINARY;

const PROJECT: &str = "P2countersigndev000000000000";
const ADA: &str = "ada@example.com";

/// Asks the Descope surface, with `token` behind the project if there is one.
async fn descope(client: &mut Client, path: &str, token: &str, body: &Value) -> Answer {
    let bearer = if token.is_empty() { format!("Bearer {PROJECT}") } else { format!("Bearer {PROJECT}:{token}") };
    let request = Request::post(path, body.to_string()).header("authorization", &bearer);
    client.send(&request).await
}

async fn descope_start(client: &mut Client, address: &str) {
    let started = descope(client, "/v1/auth/otp/signup-in/email", "", &json!({"loginId": address})).await;
    assert_eq!(started.status, 200, "{}", started.text());
}

async fn descope_verify(client: &mut Client, address: &str, code: &str) -> Answer {
    descope(client, "/v1/auth/otp/verify/email", "", &json!({"loginId": address, "code": code})).await
}

#[tokio::test]
async fn st_55_a_code_of_one_surface_never_passes_at_the_other() {
    let server = Server::dev(BINARY, &[]).await;
    let mut client = server.client();
    let flow = start(&mut client, ADA).await;
    let of_login = code_to(&mut client, ADA).await;
    descope_start(&mut client, ADA).await;
    let of_descope = code_to(&mut client, ADA).await;
    assert_ne!(of_login, of_descope, "one in a million: run it again");

    let crossed = descope_verify(&mut client, ADA, &of_login).await;
    assert_eq!((crossed.status, &crossed.json()["errorCode"]), (401, &json!("E061102")));
    assert_eq!(verify(&mut client, &flow, &of_descope).await, Verdict::Invalid);
    // Each is right where it belongs.
    assert!(matches!(verify(&mut client, &flow, &of_login).await, Verdict::Token(_)));
    assert_eq!(descope_verify(&mut client, ADA, &of_descope).await.status, 200);
    for code in [of_login, of_descope] {
        server.is_secret(&code);
    }
    server.stop().await;
}

#[tokio::test]
async fn st_55_a_token_of_one_surface_is_worth_nothing_at_the_other() {
    let server = Server::dev(BINARY, &[]).await;
    let mut client = server.client();
    let flow = start(&mut client, ADA).await;
    let code = code_to(&mut client, ADA).await;
    let Verdict::Token(token) = verify(&mut client, &flow, &code).await else { panic!("the code is right") };
    for path in ["/v1/auth/refresh", "/v1/auth/validate", "/v1/auth/logout", "/v1/auth/logoutall"] {
        let refused = descope(&mut client, path, &token, &json!({})).await;
        assert_eq!((refused.status, &refused.json()["errorCode"]), (401, &json!("E064001")), "{path}");
    }
    // Nor do the two share a key: what verifies a token of one verifies none of the other's.
    descope_start(&mut client, ADA).await;
    let code = code_to(&mut client, ADA).await;
    let session = descope_verify(&mut client, ADA, &code).await.json();
    let of_descope = session["sessionJwt"].as_str().unwrap();
    let (login_keys, descope_keys) =
        (client.get("/.well-known/jwks.json").await.text(), client.get(&format!("/v2/keys/{PROJECT}")).await.text());
    let kid = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    assert!(login_keys.contains(&kid(&token)) && !login_keys.contains(&kid(of_descope)));
    assert!(descope_keys.contains(&kid(of_descope)) && !descope_keys.contains(&kid(&token)));
    assert_ne!(claims_of(&token)["sub"], claims_of(of_descope)["sub"], "even the ids are other ones");
    server.stop().await;
}

#[tokio::test]
async fn st_29_a_code_for_a_pending_change_signs_in_at_neither_surface() {
    let server = Server::dev(BINARY, &[]).await;
    let mut client = server.client();
    descope_start(&mut client, ADA).await;
    let code = code_to(&mut client, ADA).await;
    let session = descope_verify(&mut client, ADA, &code).await.json();
    let new = "ada.new@example.com";
    let change = json!({"loginId": ADA, "email": new});
    let refresh = session["refreshJwt"].as_str().unwrap();
    let started = descope(&mut client, "/v1/auth/otp/update/email", refresh, &change).await;
    assert_eq!(started.status, 200, "{}", started.text());
    let of_change = code_to(&mut client, new).await;

    // Somebody who reads the new address's mail and tries to come in with it.
    let flow = start(&mut client, new).await;
    assert_eq!(verify(&mut client, &flow, &of_change).await, Verdict::Invalid);
    assert_eq!(descope_verify(&mut client, new, &of_change).await.status, 401);
    // It is good for what it was sent for, named by whom it was asked for.
    let changed = descope_verify(&mut client, ADA, &of_change).await;
    assert_eq!((changed.status, &changed.json()["user"]["email"]), (200, &json!(new)));
    assert_eq!(messages(&mut client, new).await.len(), 2);
    server.stop().await;
}
