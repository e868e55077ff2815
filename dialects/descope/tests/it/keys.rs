//! The keys, and what verifies against them.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};
use testkit::world::World;
use tokio::task::JoinSet;

use crate::support::{ADA, Mounted, PROJECT, get, with_headers};

#[tokio::test]
async fn a_stock_library_verifies_both_tokens_against_the_published_keys() {
    let mounted = Mounted::new().await;
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    mounted.world.clock.set(engine::Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap()));
    let signed_in = mounted.signed_in(ADA).await;
    let answer = mounted.ask(get(&format!("/v2/keys/{PROJECT}"), PROJECT)).await.ok();
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
    let set: JwkSet = serde_json::from_str(&answer.body).unwrap();
    let mut validation = Validation::new(jsonwebtoken::Algorithm::RS256);
    validation.set_issuer(&[PROJECT]);
    for (token, name) in [(signed_in.session_jwt(), "DS"), (signed_in.refresh_jwt(), "DSR")] {
        let header = jsonwebtoken::decode_header(&token).unwrap();
        let key = DecodingKey::from_jwk(set.find(&header.kid.unwrap()).unwrap()).unwrap();
        let claims = jsonwebtoken::decode::<Value>(&token, &key, &validation).unwrap().claims;
        assert_eq!(claims["drn"], name);
    }
}

#[tokio::test]
async fn every_key_is_one_that_every_sdk_takes() {
    let mounted = Mounted::new().await;
    let keys = mounted.ask(with_headers(http::Method::GET, &format!("/v2/keys/{PROJECT}"), &[], "")).await.ok().json();
    let [key] = keys["keys"].as_array().unwrap().as_slice() else { panic!("not one key") };
    let names: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["alg", "e", "kid", "kty", "n", "use"]);
    assert_eq!((&key["alg"], &key["kty"], &key["use"]), (&json!("RS256"), &json!("RSA"), &json!("sig")));
    assert_eq!(key["e"], "AQAB", "which .NET reads as plain base64");
    assert_eq!(key["n"].as_str().unwrap().len(), 342, "2,048 bits");

    let legacy = mounted.ask(get(&format!("/v1/keys/{PROJECT}"), PROJECT)).await.ok();
    assert_eq!(legacy.json(), keys["keys"]);
    assert_eq!(legacy.header("cache-control"), "public, max-age=300");
}

#[tokio::test]
async fn an_unknown_project_has_no_keys() {
    let mounted = Mounted::new().await;
    for path in ["/v2/keys/P0", "/v1/keys/P0", "/v2/keys/%20", "/v2/keys/%ff", "/v1/keys/%ff"] {
        mounted.ask(get(path, PROJECT)).await.refused(404, "E011008");
    }
}

#[tokio::test]
async fn who_needs_a_key_waits_for_it_before_a_code_is_spent() {
    let mounted = Arc::new(Mounted::without_keys(World::new().await, ""));
    mounted.start("signup-in", ADA).await.ok();
    let code = mounted.code(ADA).await;
    let mut waiting = JoinSet::new();
    waiting.spawn({
        let mounted = Arc::clone(&mounted);
        async move { mounted.verify(ADA, &code).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(waiting.try_join_next().is_none());
    mounted.engine().prepare_keys(mounted.world.project(), engine::Algorithm::Rs256).await.unwrap();
    waiting.join_next().await.unwrap().unwrap().ok();
}

#[tokio::test]
async fn a_key_that_does_not_come_is_our_fault_and_spends_nothing() {
    let mounted = Mounted::without_keys(World::new().await, "");
    mounted.start("signup-in", ADA).await.ok();
    let code = mounted.code(ADA).await;
    mounted.world.calls.take_calls();
    tokio::time::pause();
    mounted.verify(ADA, &code).await.refused(500, "E000500");
    mounted.refresh("a.b.c").await.refused(500, "E000500");
    mounted.post_as("a.b.c", "/v1/auth/try-refresh", "").await.refused(500, "E000500");
    mounted.ask(get(&format!("/v2/keys/{PROJECT}"), PROJECT)).await.refused(500, "E000500");
    assert!(mounted.world.calls.take_calls().is_empty());
    tokio::time::resume();
    mounted.engine().prepare_keys(mounted.world.project(), engine::Algorithm::Rs256).await.unwrap();
    mounted.verify(ADA, &code).await.ok();
}
