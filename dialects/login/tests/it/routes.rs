//! Every route there is: named by the router, by the README and by this table, and asked.

use std::collections::BTreeSet;

use http::Method;

use crate::support::{EMAIL, Mounted, NOBODYS_TOKEN, bare, error, post, whole};

/// A route, and what `allow` says of its path.
struct Route {
    method: Method,
    path: &'static str,
    allow: &'static str,
}

const ROUTES: [Route; 3] = [
    Route { method: Method::POST, path: "/v1/login", allow: "POST" },
    Route { method: Method::POST, path: "/v1/login/email-code", allow: "POST" },
    Route { method: Method::GET, path: "/.well-known/jwks.json", allow: "GET,HEAD" },
];

/// The words between `before` and `after`, everywhere in `text`.
fn between<'a>(text: &'a str, before: &'a str, after: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).filter_map(move |rest| rest.split(after).next())
}

#[test]
fn the_table_is_what_the_router_and_the_readme_list() {
    let tested: BTreeSet<_> = ROUTES.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    let routed: BTreeSet<_> = between(include_str!("../../src/lib.rs"), ".route(\"", "))")
        .map(|route| {
            let (path, handler) = route.split_once("\", ").unwrap();
            format!("{} {path}", handler.split('(').next().unwrap().to_uppercase())
        })
        .collect();
    let told: BTreeSet<_> = between(include_str!("../../README.md"), "\n| `", "`")
        .filter(|cell| cell.contains(" /"))
        .map(str::to_owned)
        .collect();
    assert_eq!(routed, tested);
    assert_eq!(told, tested);
}

#[tokio::test]
async fn every_route_is_served() {
    let mounted = Mounted::new().await;
    for route in ROUTES {
        let request = match (&route.method, route.path) {
            (&Method::POST, "/v1/login") => post(route.path, &format!(r#"{{"email":"{EMAIL}"}}"#)),
            (&Method::POST, "/v1/login/email-code") => {
                post(route.path, &format!(r#"{{"auth_flow_token":"{NOBODYS_TOKEN}","code":"1"}}"#))
            }
            (&Method::GET, "/.well-known/jwks.json") => bare(Method::GET, route.path),
            _ => panic!("no request for {} {}", route.method, route.path),
        };
        assert_eq!(mounted.ask(request).await.status, 200, "{} {}", route.method, route.path);
    }
}

#[tokio::test]
async fn a_verb_that_a_path_does_not_have_is_refused_and_told_which_it_has() {
    let mounted = Mounted::new().await;
    let body = error(12, "UNIMPLEMENTED", "the path does not have this verb");
    for route in ROUTES {
        for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE, Method::POST, Method::TRACE] {
            if method == route.method {
                continue;
            }
            let allow = format!("allow: {}\n", route.allow);
            let expected = whole(405, 12, "", &body).replacen("cache-control", &format!("{allow}cache-control"), 1);
            assert_eq!(
                mounted.ask(bare(method.clone(), route.path)).await.to_string(),
                expected,
                "{method} {}",
                route.path
            );
        }
    }
}

#[tokio::test]
async fn an_unknown_path_is_refused_whatever_the_verb_and_the_body() {
    let mounted = Mounted::new().await;
    let body = error(5, "NOT_FOUND", "no such path");
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/login/",
        "/v1//login",
        "/V1/login",
        "/v1/login/email-code/",
        "/v1/login/email_code",
        "/v1/login%2Femail-code",
        "/v1/logins",
        "/v1/instances",
        "/.well-known/jwks",
        "/v1/../v1/login",
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            assert_eq!(
                mounted.ask(bare(method.clone(), path)).await.to_string(),
                whole(404, 5, "", &body),
                "{method} {path}"
            );
        }
    }
    assert_eq!(mounted.post("/v1/login/x", r#"{"email":"a@example.com"}"#).await.to_string(), whole(404, 5, "", &body));
    assert!(mounted.world.calls.take_calls().is_empty());
}
