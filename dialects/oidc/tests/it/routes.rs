//! Every route there is: named by the router, by the README and by this table, and asked; and what clients find out by themselves.

use std::collections::BTreeSet;

use axum::body::Body;
use http::Method;
use serde_json::{Value, json};

use crate::support::{Mounted, ORIGIN, request};

const ROUTES: [(&str, &[&str]); 9] = [
    ("/.well-known/openid-configuration", &["GET"]),
    ("/.well-known/oauth-authorization-server", &["GET"]),
    ("/oauth/v2/keys", &["GET"]),
    ("/oauth/v2/token", &["POST"]),
    ("/oauth/v2/revoke", &["POST"]),
    ("/oidc/v1/userinfo", &["GET", "POST"]),
    ("/oauth/v2/authorize", &["GET", "POST"]),
    ("/oauth/v2/authorize/callback", &["GET"]),
    ("/oidc/v1/end_session", &["GET", "POST"]),
];

/// Where scripts of other origins may ask.
const FOR_SCRIPTS: usize = 6;

/// The words between `before` and `after`, everywhere in `text`.
fn between<'a>(text: &'a str, before: &'a str, after: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).filter_map(move |rest| rest.split(after).next())
}

#[test]
fn the_table_is_what_the_router_and_the_readme_list() {
    let tested: BTreeSet<_> = ROUTES.iter().map(|(path, _)| (*path).to_owned()).collect();
    let routed: BTreeSet<_> = between(include_str!("../../src/lib.rs"), ".route(\"", "\"").map(str::to_owned).collect();
    let told: BTreeSet<_> = between(include_str!("../../README.md"), "\n| `", "`")
        .filter_map(|cell| cell.split_once(" /"))
        .map(|(_, path)| format!("/{path}"))
        .collect();
    assert_eq!(routed, tested);
    assert_eq!(told, tested);
}

#[tokio::test]
async fn a_verb_that_a_path_does_not_have_is_refused() {
    let mounted = Mounted::new().await;
    for (path, methods) in ROUTES {
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let answer = mounted.ask(request(method.clone(), path, &[], Body::empty())).await;
            if methods.contains(&method.as_str()) {
                assert!(![404, 405].contains(&answer.status.as_u16()), "{method} {path}: {answer}");
            } else {
                assert_eq!(answer.error(), (405, "invalid_request".to_owned()), "{method} {path}");
                assert!(answer.header("allow").starts_with(methods[0]));
            }
        }
    }
}

#[tokio::test]
async fn an_unknown_path_is_refused() {
    let mounted = Mounted::new().await;
    for path in
        ["/oauth/v2", "/oauth/v2/token/", "/oauth/v2/introspect", "/oidc/v1/x", "/.well-known/openid-configuration/x"]
    {
        assert_eq!(mounted.get(path, &[]).await.error(), (404, "not_found".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn scripts_of_other_origins_may_ask_where_no_cookie_counts_and_nowhere_else() {
    let mounted = Mounted::new().await;
    for (index, (path, methods)) in ROUTES.into_iter().enumerate() {
        let headers = [
            ("origin", "https://spa.example"),
            ("access-control-request-method", methods[0]),
            ("access-control-request-headers", "authorization, content-type"),
        ];
        let preflight = mounted.ask(request(Method::OPTIONS, path, &headers, Body::empty())).await;
        let allowed =
            (preflight.header("access-control-allow-origin"), preflight.header("access-control-allow-headers"));
        if index < FOR_SCRIPTS {
            assert_eq!(allowed, ("*", "content-type,authorization,accept"), "{path}");
        } else {
            assert_eq!(allowed, ("", ""), "{path}");
        }
        assert_eq!(preflight.header("access-control-allow-credentials"), "");
    }
}

#[tokio::test]
async fn the_metadata_is_true() {
    let mounted = Mounted::new().await;
    let answer = mounted.get("/.well-known/openid-configuration", &[]).await;
    assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    assert_eq!(mounted.get("/.well-known/oauth-authorization-server", &[]).await, answer);
    let metadata = answer.json();
    assert_eq!(metadata["issuer"], ORIGIN);
    for (name, path) in [
        ("authorization_endpoint", "/oauth/v2/authorize"),
        ("token_endpoint", "/oauth/v2/token"),
        ("userinfo_endpoint", "/oidc/v1/userinfo"),
        ("revocation_endpoint", "/oauth/v2/revoke"),
        ("end_session_endpoint", "/oidc/v1/end_session"),
        ("jwks_uri", "/oauth/v2/keys"),
    ] {
        assert_eq!(metadata[name], format!("{ORIGIN}{path}"));
    }
    for (name, value) in [
        ("response_types_supported", json!(["code"])),
        ("response_modes_supported", json!(["query"])),
        ("grant_types_supported", json!(["authorization_code", "refresh_token"])),
        ("subject_types_supported", json!(["public"])),
        ("id_token_signing_alg_values_supported", json!(["RS256"])),
        ("code_challenge_methods_supported", json!(["S256"])),
        ("scopes_supported", json!(["openid", "profile", "email", "offline_access"])),
        ("authorization_response_iss_parameter_supported", json!(true)),
        ("request_parameter_supported", json!(false)),
        ("request_uri_parameter_supported", json!(false)),
    ] {
        assert_eq!(metadata[name], value, "{name}");
    }
}

#[tokio::test]
async fn the_keys_are_published_without_their_private_halves() {
    let mounted = Mounted::new().await;
    let answer = mounted.get("/oauth/v2/keys", &[]).await;
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let Value::Array(keys) = &answer.json()["keys"] else { panic!("{answer}") };
    assert_eq!(keys.len(), 1);
    let names: Vec<_> = keys[0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["alg", "e", "kid", "kty", "n", "use"]);
}
