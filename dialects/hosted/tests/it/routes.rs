//! Every route there is: named by the router, by the README and by this table, and asked.

use std::collections::BTreeSet;

use axum::body::Body;
use http::Method;

use crate::support::{Mounted, request};

const ROUTES: [(&str, &[&str]); 5] = [
    ("/sign-in", &["GET", "POST"]),
    ("/sign-in/code", &["GET", "POST"]),
    ("/sign-in/code/resend", &["POST"]),
    ("/sign-in/link", &["GET"]),
    ("/sign-out", &["GET", "POST"]),
];

/// The words between `before` and `after`, everywhere in `text`.
fn between<'a>(text: &'a str, before: &'a str, after: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).filter_map(move |rest| rest.split(after).next())
}

#[test]
fn the_table_is_what_the_router_and_the_readme_list() {
    let all =
        |(path, methods): &(&str, &[&str])| methods.iter().map(|method| format!("{method} {path}")).collect::<Vec<_>>();
    let tested: BTreeSet<_> = ROUTES.iter().flat_map(all).collect();
    let routed: BTreeSet<_> = between(include_str!("../../src/lib.rs"), ".route(\"", "))\n")
        .flat_map(|route| {
            let (path, handlers) = route.split_once("\", ").unwrap();
            let methods = ["get(", "post("].into_iter().filter(|method| handlers.contains(method));
            methods.map(|method| format!("{} {path}", method.trim_end_matches('(').to_uppercase())).collect::<Vec<_>>()
        })
        .collect();
    let told: BTreeSet<_> = between(include_str!("../../README.md"), "\n| `", "`").map(str::to_owned).collect();
    assert_eq!(routed, tested);
    assert_eq!(told, tested);
}

#[tokio::test]
async fn a_verb_that_a_path_does_not_have_and_a_path_that_there_is_not_get_a_page() {
    let mounted = Mounted::new().await;
    let mut visitor = mounted.visitor();
    for (path, methods) in ROUTES {
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let answer = visitor.ask(request(method.clone(), path, &[], Body::empty())).await;
            assert_eq!(answer.status == 405, !methods.contains(&method.as_str()), "{method} {path}");
            assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
            assert_eq!(answer.header("access-control-allow-origin"), "");
        }
    }
    for path in ["/sign-in/", "/sign-in/x", "/sign-out/x"] {
        visitor.get(path).await.assert_page(404, "There is nothing here");
    }
}
