//! Every route there is: named by the router, by the README and by this table, and asked.

use std::collections::BTreeSet;

use http::Method;
use serde_json::json;
use web::Failure;

use crate::support::{ADA, Answer, BOB, Mounted, PROJECT, get, mount, post, with_headers};

/// A route, and what `allow` says of its path.
const ROUTES: [(Method, &str, &str); 14] = [
    (Method::POST, "/v1/auth/otp/signin/email", "POST"),
    (Method::POST, "/v1/auth/otp/signup/email", "POST"),
    (Method::POST, "/v1/auth/otp/signup-in/email", "POST"),
    (Method::POST, "/v1/auth/otp/update/email", "POST"),
    (Method::POST, "/v1/auth/otp/verify/email", "POST"),
    (Method::POST, "/v1/auth/refresh", "POST"),
    (Method::POST, "/v1/auth/try-refresh", "POST"),
    (Method::POST, "/v1/auth/validate", "POST"),
    (Method::POST, "/v1/auth/logout", "POST"),
    (Method::POST, "/v1/auth/logoutall", "POST"),
    (Method::GET, "/v1/auth/me", "GET,HEAD"),
    (Method::GET, "/v2/keys/{project}", "GET,HEAD"),
    (Method::GET, "/v1/keys/{project}", "GET,HEAD"),
    (Method::GET, "/v1/mgmt/license", "GET,HEAD"),
];

/// The words between `before` and `after`, everywhere in `text`.
fn between<'a>(text: &'a str, before: &'a str, after: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).filter_map(move |rest| rest.split(after).next())
}

#[test]
fn the_table_is_what_the_router_and_the_readme_list() {
    let tested: BTreeSet<_> = ROUTES.iter().map(|(method, path, _)| format!("{method} {path}")).collect();
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
    for (method, path, _) in ROUTES {
        let mounted = Mounted::new().await;
        let signed_in = mounted.signed_in(ADA).await;
        let body = match path.rsplit_once('/').unwrap() {
            ("/v1/auth/otp/update", _) => json!({"loginId": ADA, "email": BOB}),
            ("/v1/auth/otp/verify", _) => {
                mounted.start("signin", ADA).await.ok();
                json!({"loginId": ADA, "code": mounted.code(ADA).await})
            }
            _ => json!({"loginId": ADA}),
        };
        let token = if path.ends_with("validate") { signed_in.session_jwt() } else { signed_in.refresh_jwt() };
        let (path, bearer) = (path.replace("{project}", PROJECT), format!("{PROJECT}:{token}"));
        let request =
            if method == Method::POST { post(&path, &bearer, &body.to_string()) } else { get(&path, &bearer) };
        mounted.ask(request).await.ok();
    }
}

/// The body of the error that `message` tells.
fn malformed(message: &str) -> String {
    format!(
        r#"{{"errorCode":"E011001","errorDescription":"Request is malformed","errorMessage":"{message}","message":"{message}"}}"#
    )
}

#[tokio::test]
async fn a_verb_that_a_path_does_not_have_is_refused_and_told_which_it_has() {
    let mounted = Mounted::new().await;
    for (own, path, allow) in ROUTES {
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            if method == own {
                continue;
            }
            let path = path.replace("{project}", PROJECT);
            let answer = mounted.ask(with_headers(method.clone(), &path, &[], "")).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), allow, "{method} {path}");
            assert_eq!(answer.body, malformed("This path does not have this verb"));
        }
    }
}

#[tokio::test]
async fn what_is_not_served_says_so() {
    let mounted = Mounted::new().await;
    for path in [
        "/v1/auth",
        "/v1/auth/",
        "/v1/auth/otp/signin/sms",
        "/v1/auth/otp/verify/email/",
        "/v1/auth/magiclink/signin/email",
        "/v1/auth/password/signin",
        "/v1/auth/me/history",
        "/v1/auth//refresh",
        "/v2/keys",
        "/v2/keys/",
        "/v2/keys/P1/x",
        "/v1/mgmt/user",
    ] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let answer = mounted.ask(with_headers(method.clone(), path, &[], "")).await;
            assert_eq!(answer.status, 404, "{method} {path}");
            assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
            assert_eq!(answer.body, malformed("This path is not served"));
        }
    }
    assert!(mounted.world.calls.take_calls().is_empty());
}

#[tokio::test]
async fn what_happens_outside_of_the_handlers_is_told_in_the_surfaces_shape() {
    let mounted = Mounted::new().await;
    for failure in Failure::ALL {
        let internal = r#"{"errorCode":"E000500","errorDescription":"Internal error","errorMessage":"Something went wrong","message":"Something went wrong"}"#;
        let unavailable = r#"{"errorCode":"E000503","errorDescription":"Temporarily unavailable","errorMessage":"Try again in a moment","message":"Try again in a moment"}"#;
        let (status, body) = match failure {
            Failure::NotFound => (404, malformed("This path is not served")),
            Failure::WrongVerb => (405, malformed("This path does not have this verb")),
            Failure::TimedOut => (408, malformed("The request did not arrive in time")),
            Failure::BodyTooLarge => (413, malformed("the body is longer than 65536 bytes")),
            Failure::Panicked => (500, internal.to_owned()),
            Failure::Unavailable => (503, unavailable.to_owned()),
        };
        let answer = Answer::of((mounted.surface().failure)(failure)).await;
        assert_eq!((answer.status.as_u16(), &answer.body), (status, &body), "{failure:?}");
        assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
    }
}

#[tokio::test]
async fn a_page_of_any_origin_may_call_with_credentials_and_the_key_routes_are_none_of_it() {
    let mounted = Mounted::new().await;
    let origin = ("origin", "https://app.example.com");
    let preflight = [
        origin,
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,content-type,x-descope-sdk-name,x-descope-refresh-cookie-name",
        ),
    ];
    for (method, path, _) in ROUTES {
        let path = path.replace("{project}", PROJECT);
        let is_auth = path.starts_with("/v1/auth/");
        let allowed = if is_auth { "https://app.example.com" } else { "" };
        let answer = mounted.ask(with_headers(Method::OPTIONS, &path, &preflight, "")).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), allowed, "{path}");
        if is_auth {
            assert_eq!(answer.header("access-control-allow-credentials"), "true");
            assert_eq!(answer.header("access-control-allow-methods"), "GET,POST,PATCH,PUT,DELETE");
            assert_eq!(
                answer.header("access-control-allow-headers"),
                "authorization,content-type,x-descope-sdk-name,x-descope-refresh-cookie-name"
            );
        }
        let answer = mounted.ask(with_headers(method, &path, &[origin], "")).await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed, "{path}");
        assert!(answer.header("vary").contains("origin"), "{path}");
        if is_auth {
            assert_eq!(answer.header("access-control-expose-headers"), "retry-after");
        }
    }
    let unknown = with_headers(Method::POST, "/v1/auth/password/signin", &[origin], "");
    assert_eq!(mounted.ask(unknown).await.header("access-control-allow-origin"), "https://app.example.com");
}

#[tokio::test]
async fn the_surface_says_what_it_is_and_what_of_its_section_it_does_not_know() {
    let mounted = Mounted::new().await;
    assert_eq!(mounted.surface().name, "descope");
    assert_eq!(mounted.surface().prefixes, ["/v1/auth", "/v1/keys", "/v2/keys", "/v1/mgmt"]);
    assert!(mounted.surface().administration.is_none());
    for (section, problem) in
        [("refresh_rotation = \"yes\"", "expected a boolean"), ("rotation = true", "unknown field `rotation`")]
    {
        let error = mount(mounted.engine(), section).unwrap_err().to_string();
        assert!(error.starts_with("dialects.descope: ") && error.contains(problem), "{error}");
    }
}
