//! Every route there is: named by the router, by the README and by this table, and asked in both shapes.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};
use testkit::world::unlimited;
use web::Failure;

use crate::support::{ADA, Answer, Kind, Mounted, ORIGIN, Shape, mount, with_headers};

/// A route, and what `allow` says of its path.
const ROUTES: [(Method, &str, &str); 18] = [
    (Method::POST, "/auth/signin", "POST"),
    (Method::POST, "/auth/signup", "POST"),
    (Method::POST, "/auth/prepare-verification", "POST"),
    (Method::POST, "/auth/attempt-verification", "POST"),
    (Method::GET, "/auth/identifier-availability", "GET,HEAD,POST"),
    (Method::POST, "/auth/identifier-availability", "GET,HEAD,POST"),
    (Method::POST, "/auth/identify", "POST"),
    (Method::GET, "/session", "GET,HEAD"),
    (Method::GET, "/session/token", "GET,HEAD"),
    (Method::POST, "/session/switch-sign-in", "POST"),
    (Method::POST, "/session/sign-out", "POST"),
    (Method::GET, "/me", "GET,HEAD"),
    (Method::GET, "/me/organization-memberships", "GET,HEAD"),
    (Method::GET, "/me/workspace-memberships", "GET,HEAD"),
    (Method::GET, "/deployment", "GET,HEAD"),
    (Method::GET, "/.well-known/jwks.json", "GET,HEAD"),
    (Method::GET, "/.well-known/jwk", "GET,HEAD"),
    (Method::GET, "/.well-known/meta", "GET,HEAD"),
];

/// The words between `before` and `after`, everywhere in `text`.
fn between<'a>(text: &'a str, before: &'a str, after: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).filter_map(move |rest| rest.split(after).next())
}

#[test]
fn the_table_is_what_the_router_and_the_readme_list() {
    let tested: BTreeSet<_> = ROUTES.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    let mut routed = BTreeSet::new();
    for route in between(include_str!("../../src/lib.rs"), ".route(\"", ")\n") {
        let (path, handlers) = route.split_once("\", ").unwrap();
        for handler in handlers.split(").") {
            routed.insert(format!("{} {path}", handler.split('(').next().unwrap().to_uppercase()));
        }
    }
    let told: BTreeSet<_> = between(include_str!("../../README.md"), "\n| `", "`")
        .filter(|cell| cell.contains(" /"))
        .map(str::to_owned)
        .collect();
    assert_eq!(routed, tested);
    assert_eq!(told, tested);
}

#[tokio::test]
async fn every_route_is_served_in_both_shapes() {
    for shape in Shape::ALL {
        for (method, path, _) in ROUTES {
            let mounted = Mounted::new().await;
            mounted.has_account(ADA).await;
            let browser = mounted.browser_that_speaks(shape);
            let answer = match path {
                "/auth/signin" => browser.open(Kind::SignIn, ADA).await,
                "/auth/signup" => browser.open(Kind::SignUp, "new@example.com").await,
                "/auth/prepare-verification" => {
                    let attempt = browser.open(Kind::SignIn, ADA).await.attempt(Kind::SignIn);
                    browser.prepare(&attempt).await
                }
                "/auth/attempt-verification" => browser.signs(Kind::SignIn, ADA).await,
                "/auth/identifier-availability" if method == Method::GET => {
                    browser.get(&format!("{path}?type=email&identifier={ADA}")).await
                }
                "/auth/identifier-availability" => browser.post(path, &[("email", ADA)]).await,
                "/session/switch-sign-in" => {
                    let id = browser.signs(Kind::SignIn, ADA).await.session()["active_signin_id"].clone();
                    match shape {
                        Shape::Documented => browser.post(path, &[("signin_id", id.as_str().unwrap())]).await,
                        Shape::Kit => browser.post(&format!("{path}?sign_in_id={}", id.as_str().unwrap()), &[]).await,
                    }
                }
                _ => {
                    browser.signs(Kind::SignIn, ADA).await;
                    match method {
                        Method::POST => browser.post(path, &[]).await,
                        _ => browser.get(path).await,
                    }
                }
            };
            assert_eq!(answer.status, 200, "{method} {path} {answer}");
            if path != "/.well-known/jwks.json" {
                answer.ok();
            }
        }
    }
}

#[tokio::test]
async fn an_empty_post_without_a_content_type_is_an_empty_object() {
    let mounted = Mounted::new().await;
    mounted.has_account(ADA).await;
    let browser = mounted.browser();
    let id = browser.signs(Kind::SignIn, ADA).await.session()["active_signin_id"].as_str().unwrap().to_owned();
    let bare = |path: String| with_headers(Method::POST, &path, &[], "");
    browser.ask(bare(format!("/session/switch-sign-in?sign_in_id={id}"))).await.ok();
    let attempt = browser.open(Kind::SignIn, "somebody@example.com").await.attempt(Kind::SignIn);
    let query = format!("attempt_identifier={}&identifier_type=signin&strategy=email_otp", attempt.id);
    browser.ask(bare(format!("/auth/prepare-verification?{query}"))).await.ok();
    assert_eq!(browser.ask(bare("/session/sign-out".to_owned())).await.ok().active(), None);
}

fn plain(status: u16, message: &str) -> Value {
    json!({"status": status, "message": message, "data": null, "session": null, "errors": []})
}

#[tokio::test]
async fn a_verb_that_a_path_does_not_have_is_refused_and_told_which_it_has() {
    let mounted = Mounted::new().await;
    for (_, path, allow) in ROUTES {
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            if allow.split(',').any(|own| own == method.as_str()) {
                continue;
            }
            let answer = mounted.ask(with_headers(method.clone(), path, &[], "")).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), allow, "{method} {path}");
            assert_eq!(answer.json(), plain(405, "This resource does not have this method"));
            assert_eq!(answer.token(), None);
        }
    }
}

#[tokio::test]
async fn what_is_not_served_says_so() {
    let mounted = Mounted::new().await;
    for path in [
        "/auth",
        "/auth/",
        "/auth/signin/",
        "/auth/forgot-password",
        "/session/x",
        "/me/passkeys",
        "/deployment/invitation",
    ] {
        for method in [Method::GET, Method::POST] {
            let answer = mounted.ask(with_headers(method, path, &[], "")).await;
            assert_eq!(answer.status, 404, "{path}");
            assert_eq!(answer.json(), plain(404, "This resource does not exist"));
        }
    }
}

#[tokio::test]
async fn every_failure_has_the_shape_of_the_surface() {
    let mounted = Mounted::new().await;
    for failure in Failure::ALL {
        let answer = Answer::of((mounted.surface().failure)(failure)).await;
        let expected = match failure {
            Failure::NotFound => 404,
            Failure::WrongVerb => 405,
            Failure::Panicked => 500,
            Failure::Unavailable => 503,
            Failure::TimedOut => 408,
            Failure::BodyTooLarge => 413,
        };
        assert_eq!(answer.status, expected);
        assert_eq!(answer.json()["status"], expected);
        assert!(!answer.json()["message"].as_str().unwrap().is_empty());
        assert_eq!(answer.header("retry-after"), if expected == 503 { "2" } else { "" });
    }
}

#[tokio::test]
async fn the_surface_owns_its_paths() {
    let mounted = Mounted::new().await;
    let prefixes = &mounted.surface().prefixes;
    for (_, path, _) in ROUTES {
        assert!(prefixes.iter().any(|own| path == own || path.starts_with(&format!("{own}/"))), "{path}");
    }
    assert_eq!(prefixes.len(), 7);
}

#[tokio::test]
async fn a_configuration_that_cannot_be_served_is_refused() {
    let mounted = Mounted::with(unlimited(), "").await;
    for (section, problem) in [
        ("mode = \"development\"", "dialects.wacht: unknown variant `development`"),
        ("token_life_seconds = 9", "dialects.wacht.token_life_seconds: must be from 10 to 3600"),
        ("token_life_seconds = 3601", "dialects.wacht.token_life_seconds: must be from 10 to 3600"),
        ("pages = [\"app.example.com\"]", "dialects.wacht.pages: must be origins"),
        ("pages = [\"*\"]", "dialects.wacht.pages: must be origins"),
        ("page = 1", "dialects.wacht: unknown field `page`"),
    ] {
        let error = mount(&mounted.world.engine, section).unwrap_err().to_string();
        assert!(error.starts_with(problem), "{error}");
    }
}

#[tokio::test]
async fn the_mode_is_productions_unless_it_is_development() {
    for (development, section, mode, key) in [
        (true, "", "staging", "pk_test_"),
        (false, "", "production", "pk_live_"),
        (true, "mode = \"production\"", "production", "pk_live_"),
        (false, "mode = \"staging\"", "staging", "pk_test_"),
    ] {
        let mounted = Mounted::with(unlimited(), "").await;
        let engine = &mounted.world.engine;
        let project = std::sync::Arc::clone(engine.projects().default_project());
        let app = web::App { engine: std::sync::Arc::clone(engine), project, origin: ORIGIN.to_owned(), development };
        let surface = web::Dialect::mount(&countersign_wacht::Wacht, app, section.parse().unwrap()).unwrap();
        let answer = crate::support::ask(&surface.router, with_headers(Method::GET, "/deployment", &[], "")).await.ok();
        assert_eq!(answer.json()["data"]["mode"], mode);
        assert!(answer.json()["data"]["publishable_key"].as_str().unwrap().starts_with(key));
        assert_eq!(answer.header("set-cookie").is_empty(), mode == "staging");
        assert_eq!(answer.header("x-development-session").is_empty(), mode == "production");
    }
}
