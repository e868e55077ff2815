//! Whether the server is alive, what version it is, and which identity schemas it knows.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::LINK;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::json;
use web::respond;

use crate::Shared;
use crate::error::Status;
use crate::routes::only;
use crate::schema::Schema;

/// The verbs of all that is read.
const READ: &str = "GET, HEAD";

const TOTAL: HeaderName = HeaderName::from_static("x-total-count");

/// The health of the server, on both listeners.
pub(crate) fn health() -> Router<Arc<Shared>> {
    Router::new().route("/health/alive", only(READ, get(alive))).route("/health/ready", only(READ, get(ready)))
}

/// The version, for operators.
pub(crate) fn version() -> Router<Arc<Shared>> {
    Router::new().route("/version", only(READ, get(tell_version)))
}

/// The schemas, for everybody.
pub(crate) fn schemas() -> Router<Arc<Shared>> {
    Router::new().route("/schemas", only(READ, get(list_schemas))).route("/schemas/{id}", only(READ, get(one_schema)))
}

async fn alive() -> Response {
    respond::json(StatusCode::OK, &json!({"status": "ok"}))
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    match shared.engine.ready().await {
        Ok(()) => alive().await,
        Err(_) => respond::json(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({"errors": {"database": "The database does not answer"}}),
        ),
    }
}

async fn tell_version() -> Response {
    respond::json(StatusCode::OK, &json!({"version": concat!("countersign-", env!("CARGO_PKG_VERSION"))}))
}

/// All of them on one page: they are few, and stand in a file.
async fn list_schemas(State(shared): State<Arc<Shared>>) -> Response {
    let entries: Vec<_> = shared.config.schemas.iter().map(entry).collect();
    let mut response = respond::bytes(StatusCode::OK, respond::JSON, format!("[{}]", entries.join(",")));
    let count = entries.len();
    let first =
        format!("</schemas?page=0&page_size={count}&page_token=eyJvZmZzZXQiOiIwIn0&per_page={count}>; rel=\"first\"");
    if let Ok(link) = HeaderValue::try_from(first) {
        response.headers_mut().insert(LINK, link);
    }
    response.headers_mut().insert(TOTAL, HeaderValue::from(count));
    response
}

/// The schema's own text stands in the answer: it is JSON, and its keys keep their order.
fn entry(schema: &Schema) -> String {
    format!("{{\"id\":{},\"schema\":{}}}", json!(schema.id), schema.text)
}

/// By its name, or by its name in base64 as URLs to schemas have it.
async fn one_schema(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    let decoded = URL_SAFE_NO_PAD.decode(&id).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let schema = shared.config.schema(&id).or_else(|| shared.config.schema(decoded.as_deref()?));
    match schema {
        Some(schema) => respond::bytes(StatusCode::OK, respond::JSON, schema.text.to_string()),
        None => Status::not_found("There is no identity schema of this name").into_response(),
    }
}
