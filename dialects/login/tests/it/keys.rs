//! `GET /.well-known/jwks.json`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use testkit::world::World;

use crate::support::{Mounted, bare};

const PATH: &str = "/.well-known/jwks.json";

/// The whole answer around `body` of `length` bytes.
fn published(length: usize, body: &str) -> String {
    format!(
        "200\naccess-control-allow-origin: *\n\
         access-control-expose-headers: grpc-status,grpc-message,grpc-status-details-bin,retry-after\n\
         cache-control: public, max-age=300\ncontent-length: {length}\n\
         content-type: application/json; charset=utf-8\n\n{body}"
    )
}

#[tokio::test]
async fn the_keys_are_published_with_all_that_a_verifier_wants_to_know() {
    let mounted = Mounted::new().await;
    let answer = mounted.ask(bare(Method::GET, PATH)).await;
    let keys: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let member = |name: &str| keys["keys"][0][name].as_str().unwrap().to_owned();
    let (x, y, kid) = (member("x"), member("y"), member("kid"));
    for coordinate in [&x, &y, &kid] {
        assert_eq!(URL_SAFE_NO_PAD.decode(coordinate).unwrap().len(), 32);
    }
    let body = format!(
        r#"{{"keys":[{{"kty":"EC","crv":"P-256","x":"{x}","y":"{y}","kid":"{kid}","alg":"ES256","use":"sig"}}]}}"#
    );
    assert_eq!(answer.to_string(), published(body.len(), &body));
    assert!(mounted.world.calls.take_calls().is_empty(), "keys are in memory");
}

#[tokio::test]
async fn head_tells_what_get_would_and_leaves_out_the_keys() {
    let mounted = Mounted::new().await;
    let length = mounted.ask(bare(Method::GET, PATH)).await.body.len();
    assert_eq!(mounted.ask(bare(Method::HEAD, PATH)).await.to_string(), published(length, ""));
}

#[tokio::test]
async fn the_keys_survive_a_restart() {
    let mounted = Mounted::new().await;
    let before = mounted.ask(bare(Method::GET, PATH)).await.body;
    let mut world = mounted.world;
    world.reopen().await;
    world.engine.prepare_keys(world.project(), engine::Algorithm::Es256).await.unwrap();
    assert_eq!(Mounted::without_keys(world, "").ask(bare(Method::GET, PATH)).await.body, before);
}

#[tokio::test]
async fn a_project_without_keys_publishes_none() {
    let mounted = Mounted::without_keys(World::new().await, "");
    let answer = mounted.ask(bare(Method::GET, PATH)).await;
    assert_eq!(answer.to_string(), published(11, r#"{"keys":[]}"#));
}
