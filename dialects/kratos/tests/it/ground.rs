//! What is the same everywhere: paths, verbs, headers, health, schemas, stored errors, and where the surface is mounted.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use http::Method;
use serde_json::json;
use web::{App, ConfigError, Dialect as _, Failure, RequestOrigin, Surface};

use crate::support::{Answer, CSRF_COOKIE, Mounted, ask};

const PRIVATE: &str = "private, no-cache, no-store, must-revalidate";

async fn request(router: Router, method: Method, path: &str) -> Answer {
    ask(router, Request::builder().method(method).uri(path).body(Body::empty()).unwrap()).await
}

async fn public(mounted: &Mounted, method: Method, path: &str) -> Answer {
    request(mounted.router(), method, path).await
}

async fn operator(mounted: &Mounted, method: Method, path: &str) -> Answer {
    let administration = mounted.surface().administration.as_ref().unwrap();
    request(administration.router.clone(), method, path).await
}

fn sets_csrf_cookie(answer: &Answer) -> bool {
    answer.cookies().iter().any(|(name, _)| name == CSRF_COOKIE)
}

#[tokio::test]
async fn an_unknown_path_is_told_in_text_and_gives_a_browser_its_cookie() {
    let mounted = Mounted::new().await;
    for path in ["/self-service/verification/nothing", "/", "/self-service/verification/api/"] {
        let answer = public(&mounted, Method::GET, path).await.is(404);
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!((answer.header("cache-control"), answer.header("vary")), (PRIVATE, "Cookie"), "{path}");
        assert!(sets_csrf_cookie(&answer), "{path}");
    }
    let cookie = public(&mounted, Method::GET, "/").await.header("set-cookie").to_owned();
    assert!(cookie.ends_with("; Path=/; Max-Age=31536000; HttpOnly; Secure; SameSite=Lax"), "{cookie}");
    let form = public(&mounted, Method::POST, "/self-service/nothing").await;
    assert_eq!(form.error(), (403, "security_csrf_violation".to_owned(), String::new()));
    assert!(sets_csrf_cookie(&form));
}

#[tokio::test]
async fn a_wrong_verb_is_told_which_there_are() {
    let mounted = Mounted::new().await;
    let cases = [
        (Method::PUT, "/self-service/verification", "GET, HEAD, POST"),
        (Method::OPTIONS, "/self-service/verification", "GET, HEAD, POST"),
        (Method::POST, "/self-service/verification/api", "GET, HEAD"),
        (Method::POST, "/health/alive", "GET, HEAD"),
        (Method::DELETE, "/schemas", "GET, HEAD"),
        (Method::OPTIONS, "/self-service/errors", "GET, HEAD"),
    ];
    for (method, path, verbs) in cases {
        let answer = public(&mounted, method, path).await.is(405);
        assert_eq!(answer.header("allow"), verbs, "{path}");
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    }
    for path in ["/self-service/verification/flows", "/self-service/verification/browser", "/self-service/errors"] {
        let answer = public(&mounted, Method::DELETE, path).await;
        assert_eq!(answer.error().1, "security_csrf_violation", "{path}");
        assert_eq!((answer.header("ory-error-id"), answer.header("allow")), ("security_csrf_violation", ""));
    }
}

#[tokio::test]
async fn health_is_told_on_both_listeners_and_the_version_to_operators_alone() {
    let mounted = Mounted::new().await;
    for path in ["/health/alive", "/health/ready"] {
        for answer in [
            public(&mounted, Method::GET, path).await,
            operator(&mounted, Method::GET, path).await,
            operator(&mounted, Method::GET, &format!("/admin{path}")).await,
        ] {
            assert_eq!((answer.status, answer.json()), (200, json!({"status": "ok"})), "{path}");
            assert_eq!((answer.header("vary"), answer.header("set-cookie")), ("", ""));
        }
    }
    assert!(operator(&mounted, Method::GET, "/version").await.is(200).json()["version"].is_string());
    let unknown = public(&mounted, Method::GET, "/version").await.is(404);
    assert_eq!((unknown.header("vary"), unknown.header("set-cookie")), ("", ""));
    mounted.world.stop().await;
    let answer = public(&mounted, Method::GET, "/health/ready").await.is(503);
    assert!(answer.json()["errors"]["database"].is_string());
    assert_eq!(public(&mounted, Method::GET, "/health/alive").await.status, 200);
}

#[tokio::test]
async fn schemas_are_given_out_as_they_were_written() {
    let mounted = Mounted::new().await;
    let all = public(&mounted, Method::GET, "/schemas").await.is(200);
    assert_eq!(all.json()[0]["id"], "default");
    assert_eq!(all.header("x-total-count"), "1");
    assert!(all.header("link").ends_with("; rel=\"first\""));
    for path in ["/schemas/default", "/schemas/ZGVmYXVsdA"] {
        let one = public(&mounted, Method::GET, path).await.is(200);
        assert_eq!(one.json(), all.json()[0]["schema"], "{path}");
    }
    assert_eq!(public(&mounted, Method::GET, "/schemas/nothing").await.error().0, 404);
}

#[tokio::test]
async fn what_the_other_listener_has_is_over_there() {
    let mounted = Mounted::new().await;
    let there = public(&mounted, Method::GET, "/admin/identities?page_size=1").await.is(307);
    assert_eq!(there.location(), "http://admin.test/admin/identities?page_size=1");
    assert_eq!((there.header("content-type"), there.header("set-cookie")), ("text/html; charset=utf-8", ""));
    let posted = public(&mounted, Method::POST, "/admin/identities").await.is(307);
    assert_eq!(posted.header("content-type"), "");
    for path in ["/schemas", "/sessions/whoami", "/self-service/verification/api?return_to=/x"] {
        let there = operator(&mounted, Method::GET, path).await.is(307);
        assert_eq!(there.location(), format!("https://accounts.test{path}"));
        assert_eq!(there.header("vary"), "");
    }
    let nowhere = Mounted::with(&[("  admin: {base_url: \"http://admin.test/\"}\n", "")]).await;
    assert_eq!(public(&nowhere, Method::GET, "/admin/identities").await.status, 404);
}

#[tokio::test]
async fn an_error_is_kept_for_the_page_that_shows_it() {
    let mounted = Mounted::new().await;
    let browser = mounted.browser();
    let sent = browser.post_form("/self-service/verification", "method=code").await.is(303);
    assert!(sent.location().starts_with("https://ui.test/error?id="), "{sent}");
    assert_eq!(sent.header("content-type"), "", "no page behind a form");
    let id = sent.leads_to();
    let shown = browser.get(&format!("/self-service/errors?id={id}")).await.is(200);
    assert_eq!(shown.header("content-type"), "application/json; charset=utf-8");
    assert_eq!((&shown.json()["id"], &shown.json()["error"]["code"]), (&json!(id), &json!(400)));
    let alias = browser.get(&format!("/self-service/errors?error={id}")).await.is(200);
    assert_eq!(alias.json(), shown.json());
    mounted.world.clock.advance(std::time::Duration::from_mins(61));
    assert_eq!(browser.get(&format!("/self-service/errors?id={id}")).await.error().0, 404);
}

#[tokio::test]
async fn the_sample_of_an_error_is_one_and_nothing_else_is_found() {
    let mounted = Mounted::new().await;
    let sample = mounted.script().get("/self-service/errors?id=stub:500").await.is(200);
    assert_eq!(sample.json()["error"]["code"], 500);
    for query in ["", "?id=", "?id=nonsense", "?id=6d1f0c4e-8a5d-4b6e-9f0a-2b1c3d4e5f60"] {
        let answer = mounted.script().get(&format!("/self-service/errors{query}")).await;
        assert_eq!(answer.error(), (404, String::new(), String::new()), "{query}");
        assert!(answer.headers.contains_key("ory-error-id") && answer.header("ory-error-id").is_empty());
    }
}

#[tokio::test]
async fn a_flow_is_no_error_and_an_error_is_no_flow() {
    let mounted = Mounted::new().await;
    let flow = mounted.native().get("/self-service/verification/api").await.id();
    assert_eq!(mounted.native().get(&format!("/self-service/errors?id={flow}")).await.status, 404);
    let error = mounted.browser().post_form("/self-service/verification", "method=code").await.leads_to();
    assert_eq!(mounted.native().get(&format!("/self-service/verification/flows?id={error}")).await.status, 404);
}

#[tokio::test]
async fn a_public_url_with_a_path_is_served_with_it_and_without() {
    let changes = [("https://accounts.test/\"", "https://accounts.test/auth\"")];
    let mounted = Mounted::with(&changes).await;
    let prefixes = &mounted.surface().prefixes;
    assert!(
        ["/auth/self-service", "/self-service"].iter().all(|it| prefixes.iter().any(|prefix| prefix == it)),
        "{prefixes:?}"
    );
    assert_eq!(mounted.surface().shared, ["/auth"]);
    for path in ["/auth/self-service/verification/api", "/self-service/verification/api"] {
        let flow = mounted.native().get(path).await.is(200).json();
        let action = flow["ui"]["action"].as_str().unwrap();
        assert!(action.starts_with("https://accounts.test/auth/self-service/verification?flow="), "{action}");
        assert_eq!(flow["request_url"], format!("https://accounts.test{path}"));
    }
    let cookie = public(&mounted, Method::GET, "/auth/nothing").await.is(404);
    assert_eq!(cookie.cookies()[0].0, "csrf_token_977cf96c7e54bfc996ca3d13ea3e8ade538d618dcd5d31bb0b1562e92f3402fa");
    assert_eq!(public(&mounted, Method::GET, "/auth/health/alive").await.is(200).header("vary"), "");
}

#[tokio::test]
async fn pages_of_other_origins_may_ask_where_the_operator_says_so() {
    let cors = "base_url: \"https://accounts.test/\", cors: {enabled: true, allowed_origins: [https://app.test]}";
    let mounted = Mounted::with(&[("base_url: \"https://accounts.test/\"", cors)]).await;
    let script = mounted.script();
    let ask = async |method, origin| {
        let headers = [("origin", origin), ("access-control-request-method", "GET")];
        script.ask(script.request(method, "/self-service/verification/browser", &headers, Body::empty())).await
    };
    let allowed = ask(Method::GET, "https://app.test").await.is(200);
    assert_eq!(allowed.header("access-control-allow-origin"), "https://app.test");
    assert_eq!(allowed.headers.get_all("vary").iter().collect::<Vec<_>>(), ["Origin", "Cookie"]);
    let other = ask(Method::GET, "https://evil.test").await.is(200);
    assert_eq!(other.header("access-control-allow-origin"), "");
    let first = ask(Method::OPTIONS, "https://app.test").await.is(204);
    assert_eq!(first.header("access-control-allow-credentials"), "true");
    assert!(first.body.is_empty() && first.header("set-cookie").is_empty());
    assert_eq!(Mounted::new().await.script().get("/health/alive").await.header("vary"), "");
}

#[tokio::test]
async fn st_13_only_the_url_of_the_request_follows_its_host() {
    let mounted = Mounted::new().await;
    let mut request = Request::get("/self-service/verification/browser").body(Body::empty()).unwrap();
    let headers = request.headers_mut();
    for (name, value) in [("host", "evil.test"), ("x-forwarded-host", "evil.test"), ("forwarded", "host=evil.test")] {
        headers.insert(name, value.parse().unwrap());
    }
    headers.insert("accept", "application/json".parse().unwrap());
    let (uri, headers) = (request.uri().clone(), request.headers().clone());
    let origin = web::client::request_origin(web::Peer::Local, &uri, &headers, &web::TrustedProxies::none(), false);
    request.extensions_mut().insert::<RequestOrigin>(origin.unwrap());
    let answer = ask(mounted.router(), request).await.is(200);
    let mut flow = answer.json();
    assert_eq!(flow["request_url"], "http://evil.test/self-service/verification/browser");
    flow["request_url"] = json!(null);
    assert!(!flow.to_string().contains("evil.test"), "{flow}");
    assert!(!answer.header("set-cookie").contains("evil.test"));
}

#[tokio::test]
async fn every_failure_has_the_surfaces_shape() {
    let mounted = Mounted::new().await;
    for failure in Failure::ALL {
        let said = mounted.surface().failure;
        let answer = request(Router::new().fallback(move || async move { said(failure) }), Method::GET, "/").await;
        assert_eq!((answer.header("cache-control"), answer.header("vary")), (PRIVATE, "Cookie"), "{failure:?}");
        let (status, type_of) = match failure {
            Failure::NotFound => (404, "text/plain; charset=utf-8"),
            Failure::WrongVerb => (405, "text/plain; charset=utf-8"),
            Failure::Panicked => (500, "application/json"),
            Failure::TimedOut => (408, "application/json"),
            Failure::BodyTooLarge => (413, "application/json"),
            Failure::Unavailable => (503, "application/json"),
        };
        assert_eq!((answer.status, answer.header("content-type")), (status, type_of), "{failure:?}");
    }
}

fn mount(mounted: &Mounted, development: bool, section: &str) -> Result<Surface, ConfigError> {
    let app = App {
        engine: Arc::clone(mounted.engine()),
        project: Arc::clone(mounted.engine().projects().default_project()),
        origin: "http://127.0.0.1:8080".to_owned(),
        development,
    };
    countersign_kratos::Kratos.mount(app, section.parse().unwrap())
}

#[tokio::test]
async fn in_production_nothing_is_there_that_nobody_asked_for() {
    let mounted = Mounted::new().await;
    let surface = mount(&mounted, false, "").unwrap();
    assert_eq!(surface.prefixes, Vec::<String>::new());
    assert!(surface.administration.is_none());
}

#[tokio::test]
async fn in_development_everything_is_there_without_a_file() {
    let mounted = Mounted::new().await;
    let surface = mount(&mounted, true, "").unwrap();
    let begun = request(surface.router.clone(), Method::GET, "/self-service/verification/browser").await.is(303);
    assert!(begun.location().starts_with("http://127.0.0.1:4455/verification?flow="), "{begun}");
    assert!(!begun.header("set-cookie").contains("Secure"), "{begun}");
    assert!(surface.administration.is_some());
}

#[tokio::test]
async fn a_configuration_that_cannot_be_is_refused_when_the_server_starts() {
    let mounted = Mounted::new().await;
    let refusal = |section: &str| mount(&mounted, false, section).unwrap_err().to_string();
    assert!(refusal("telepathy = true").starts_with("dialects.kratos: unknown field `telepathy`"));
    assert!(
        refusal("config = \"/nowhere/kratos.yml\"")
            .starts_with("dialects.kratos.config: cannot read /nowhere/kratos.yml")
    );
}
