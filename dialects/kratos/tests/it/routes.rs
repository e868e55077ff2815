//! Every route there is: named by the routers, by the README and by this table, and asked.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::extract::Request;
use http::Method;

use crate::support::{Mounted, ask};

/// A public path, and what `allow` says of it.
const PUBLIC: [(&str, &str); 23] = [
    ("/health/alive", "GET, HEAD"),
    ("/health/ready", "GET, HEAD"),
    ("/schemas", "GET, HEAD"),
    ("/schemas/{id}", "GET, HEAD"),
    ("/self-service/errors", "GET, HEAD"),
    ("/self-service/login", "POST"),
    ("/self-service/login/api", "GET, HEAD"),
    ("/self-service/login/browser", "GET, HEAD"),
    ("/self-service/login/flows", "GET, HEAD"),
    ("/self-service/logout", "GET, HEAD"),
    ("/self-service/logout/api", "DELETE"),
    ("/self-service/logout/browser", "GET, HEAD"),
    ("/self-service/registration", "POST"),
    ("/self-service/registration/api", "GET, HEAD"),
    ("/self-service/registration/browser", "GET, HEAD"),
    ("/self-service/registration/flows", "GET, HEAD"),
    ("/self-service/verification", "GET, HEAD, POST"),
    ("/self-service/verification/api", "GET, HEAD"),
    ("/self-service/verification/browser", "GET, HEAD"),
    ("/self-service/verification/flows", "GET, HEAD"),
    ("/sessions", "DELETE, GET, HEAD"),
    ("/sessions/whoami", "GET, HEAD"),
    ("/sessions/{id}", "DELETE"),
];

/// The same for operators.
const OPERATORS: [(&str, &str); 3] = [
    ("/identities", "GET, HEAD, POST"),
    ("/identities/{id}", "DELETE, GET, HEAD, PATCH, PUT"),
    ("/version", "GET, HEAD"),
];

/// The files that name routes.
const SOURCES: [&str; 8] = [
    include_str!("../../src/admin.rs"),
    include_str!("../../src/error_page.rs"),
    include_str!("../../src/login.rs"),
    include_str!("../../src/logout.rs"),
    include_str!("../../src/meta.rs"),
    include_str!("../../src/registration.rs"),
    include_str!("../../src/session.rs"),
    include_str!("../../src/verification.rs"),
];

/// The words between `before` and `after`, everywhere in `text`.
fn between<'a>(text: &'a str, before: &'a str, after: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).filter_map(move |rest| rest.split(after).next())
}

#[test]
fn the_table_is_what_the_routers_and_the_readme_list() {
    let table = || PUBLIC.iter().chain(&OPERATORS);
    let routed: BTreeSet<_> = SOURCES.iter().flat_map(|source| between(source, ".route(\"", "\"")).collect();
    assert_eq!(routed, table().map(|(path, _)| *path).collect());
    let told: BTreeSet<_> = between(include_str!("../../README.md"), "\n| `", "`")
        .filter(|cell| cell.contains(" /"))
        .map(str::to_owned)
        .collect();
    let expected = table().map(|(path, verbs)| format!("{} {path}", verbs.replace(", HEAD", "")));
    assert_eq!(told, expected.collect());
}

#[tokio::test]
async fn every_path_lists_its_verbs_and_has_no_other() {
    let mounted = Mounted::new().await;
    let operators = &mounted.surface().administration.as_ref().unwrap().router;
    let public = PUBLIC.iter().map(|(path, verbs)| (mounted.router(), (*path).to_owned(), *verbs));
    let twice = OPERATORS.iter().flat_map(|(path, verbs)| {
        [(*path).to_owned(), format!("/admin{path}")].map(|path| (operators.clone(), path, *verbs))
    });
    for (router, path, verbs) in public.chain(twice) {
        let path = path.replace("{id}", "6d1f0c4e-8a5d-4b6e-9f0a-2b1c3d4e5f60");
        let asked = async |method: &Method| {
            let request = Request::builder().method(method).uri(&path).header("accept", "application/json");
            ask(router.clone(), request.body(Body::empty()).unwrap()).await
        };
        let wrong = asked(&Method::OPTIONS).await.is(405);
        assert_eq!(
            (wrong.header("allow"), wrong.header("content-type")),
            (verbs, "text/plain; charset=utf-8"),
            "{path}"
        );
        for verb in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let answer = asked(&verb).await;
            let is_listed = verbs.split(", ").any(|listed| listed == verb.as_str());
            let is_refused = answer.status == 405 || answer.header("ory-error-id") == "security_csrf_violation";
            assert_ne!(is_listed, is_refused, "{verb} {path}: {answer}");
            assert!(!answer.header("content-type").starts_with("text/plain") || !is_listed, "{verb} {path}: {answer}");
        }
    }
}
