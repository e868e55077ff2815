//! Which path is whose, what unknown paths and wrong verbs get, and the headers that every answer has.
//!
//! The routes are mounted as they are and, where the public URL has a path, below it as well: a proxy in front may strip it or not.

use std::sync::Arc;

use axum::Router;
use axum::extract::{OriginalUri, Request, State};
use axum::handler::Handler;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, any};
use http::header::{ALLOW, CACHE_CONTROL, VARY};
use http::{HeaderValue, Method, StatusCode, Uri};
use web::{Failure, respond};

use crate::config::BaseUrl;
use crate::cors::Cors;
use crate::error::Status;
use crate::{Shared, admin, csrf, error_page, login, logout, meta, redirect, registration, session, verification};

/// Nobody keeps a copy, said in every way that proxies know.
const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-cache, no-store, must-revalidate");

/// Answers on the public listener may depend on who asks.
const VARIES: HeaderValue = HeaderValue::from_static("Cookie");

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// A route with `verbs`, as the answer to any other lists them.
pub(crate) fn only(verbs: &'static str, route: MethodRouter<Arc<Shared>>) -> MethodRouter<Arc<Shared>> {
    otherwise(move || async move { wrong_verb(verbs) }).merge(route)
}

/// A route that gives verbs it does not have to `handler`, which names those that it has.
pub(crate) fn otherwise<H: Handler<T, Arc<Shared>>, T: 'static>(handler: H) -> MethodRouter<Arc<Shared>> {
    // Not `fallback`, behind which the router would put a list of its own.
    any(handler)
}

/// 405 on a path that has `verbs`.
pub(crate) fn wrong_verb(verbs: &'static str) -> Response {
    let mut response = failure(Failure::WrongVerb);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(verbs));
    response
}

/// What is ours on the public listener, besides the path of the public URL.
const PUBLIC: [&str; 6] = ["/self-service", "/sessions", "/schemas", "/health", "/version", "/admin"];

/// What is ours on the operator's listener, besides the path of its URL.
const ADMINISTRATION: [&str; 7] =
    ["/admin", "/identities", "/health", "/version", "/self-service", "/sessions", "/schemas"];

/// The public routes, and the prefixes they are found under.
pub(crate) fn public(shared: &Arc<Shared>) -> (Vec<String>, Router) {
    let moved = any(to_administration);
    let routes = Router::new()
        .merge(meta::health())
        .merge(meta::schemas())
        .merge(error_page::routes(shared))
        .merge(verification::routes(shared))
        .merge(login::routes(shared))
        .merge(registration::routes(shared))
        .merge(logout::routes(shared))
        .merge(session::routes())
        .route("/version", any(|| async { failure(Failure::NotFound) }))
        .route("/admin", moved.clone())
        .route("/admin/{*path}", moved)
        .fallback(unknown)
        .method_not_allowed_fallback(|| async { failure(Failure::WrongVerb) });
    let finish = Finish { varies: true, cors: shared.config.cors.clone() };
    mounted(routes, &PUBLIC, Some(&shared.config.public), shared, finish)
}

/// The operator's routes, and the prefixes they are found under.
pub(crate) fn administration(shared: &Arc<Shared>) -> (Vec<String>, Router) {
    let moved = any(to_public);
    let routes = Router::new()
        .merge(meta::health())
        .merge(meta::version())
        .merge(admin::routes())
        .nest("/admin", meta::health().merge(meta::version()).merge(admin::routes()))
        .route("/self-service/{*path}", moved.clone())
        .route("/sessions", moved.clone())
        .route("/sessions/{*path}", moved.clone())
        .route("/schemas", moved.clone())
        .route("/schemas/{*path}", moved)
        .fallback(|| async { failure(Failure::NotFound) })
        .method_not_allowed_fallback(|| async { failure(Failure::WrongVerb) });
    let finish = Finish { varies: false, cors: None };
    mounted(routes, &ADMINISTRATION, shared.config.admin.as_ref(), shared, finish)
}

fn mounted(
    routes: Router<Arc<Shared>>,
    prefixes: &[&str],
    base: Option<&BaseUrl>,
    shared: &Arc<Shared>,
    finish: Finish,
) -> (Vec<String>, Router) {
    let mut prefixes: Vec<_> = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
    let mut all = routes.clone();
    if let Some(path) = base.map(|base| base.path.as_str()).filter(|path| !path.is_empty()) {
        let below: Vec<_> = prefixes.iter().map(|prefix| format!("{path}{prefix}")).collect();
        prefixes.extend(below);
        all = all.nest(path, routes);
    }
    let finish = middleware::from_fn_with_state(Arc::new(finish), self::finish);
    (prefixes, all.layer(finish).with_state(Arc::clone(shared)))
}

/// Whether routes that begin with `path` would be mistaken for those that are mounted without one.
pub(crate) fn is_ours(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    PUBLIC.iter().chain(&ADMINISTRATION).any(|prefix| prefix.trim_start_matches('/') == first)
}

/// What an unknown path gets: nothing, and a cookie, as every page that a browser may open; or a refusal where it was sent a form.
async fn unknown(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let csrf = csrf::Csrf::sent_or_new(&shared, request.headers());
    let mut response = if request.method().is_safe() {
        failure(Failure::NotFound)
    } else {
        csrf::refusal(&shared.config, request.headers())
    };
    csrf.put(&shared.config, &mut response);
    response
}

/// What the operator's listener has and the public one has not is over there, if it is said where.
async fn to_administration(State(shared): State<Arc<Shared>>, method: Method, uri: Uri) -> Response {
    elsewhere(shared.config.admin.as_ref(), &method, &uri)
}

/// The other way round.
async fn to_public(State(shared): State<Arc<Shared>>, method: Method, uri: Uri) -> Response {
    elsewhere(Some(&shared.config.public), &method, &uri)
}

fn elsewhere(base: Option<&BaseUrl>, method: &Method, uri: &Uri) -> Response {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    match base {
        Some(base) => redirect::over_there(method.is_safe(), &format!("{}{target}", base.text)),
        None => failure(Failure::NotFound),
    }
}

/// What happens outside of the handlers, in the surface's shape: text where no route was found, else an error.
pub(crate) fn failure(failure: Failure) -> Response {
    match failure {
        Failure::NotFound => respond::bytes(StatusCode::NOT_FOUND, TEXT, "There is nothing at this path\n"),
        Failure::WrongVerb => {
            respond::bytes(StatusCode::METHOD_NOT_ALLOWED, TEXT, "This path does not have this verb\n")
        }
        Failure::Panicked | Failure::TimedOut | Failure::BodyTooLarge | Failure::Unavailable => {
            Status::of_failure(failure).into_response()
        }
    }
}

/// The same where the router's layers are not passed.
pub(crate) fn failure_of_the_frame(failure: Failure) -> Response {
    finished(self::failure(failure), true)
}

/// What is put onto every answer of a listener.
struct Finish {
    /// Whether answers depend on who asks.
    varies: bool,
    cors: Option<Cors>,
}

async fn finish(State(finish): State<Arc<Finish>>, request: Request, next: Next) -> Response {
    let asked = finish.cors.as_ref().map(|cors| (cors, request.headers().clone()));
    if let Some((cors, headers)) = &asked
        && let Some(answer) = cors.preflight(request.method(), headers)
    {
        return finished(answer, false);
    }
    let path = request.extensions().get::<OriginalUri>().map_or(request.uri(), |OriginalUri(uri)| uri).path();
    let is_same_for_all = path.contains("/health/") || path.ends_with("/version");
    let mut response = next.run(request).await;
    if let Some((cors, headers)) = &asked {
        cors.mark(headers, response.headers_mut());
    }
    finished(response, finish.varies && !is_same_for_all)
}

/// Puts the headers on that every answer has.
fn finished(mut response: Response, varies: bool) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, PRIVATE);
    if varies {
        headers.append(VARY, VARIES);
    }
    response
}
