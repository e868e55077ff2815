//! Errors that no flow can show to a browser: kept for a while, and fetched by the page that shows them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use engine::{Handle, NewFlow, Purpose, Timestamp};
use http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;
use web::respond;

use crate::error::Status;
use crate::request::Asked;
use crate::{Shared, csrf, redirect};

/// How long an error can be fetched.
const LIFE: Duration = Duration::from_hours(1);

/// What front-end developers ask for to see how an error looks.
const SAMPLE: &str = "stub:500";

pub(crate) fn routes(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    Router::new().route("/self-service/errors", csrf::protected(shared, get(fetch)))
}

fn handle(shared: &Shared, id: Uuid) -> Handle {
    Handle::new(crate::NAME, &shared.project.id, "error", id.as_bytes())
}

/// Keeps `status` and sends the browser to the page that shows it.
pub(crate) async fn hand_off(shared: &Shared, asked: &Asked, status: Status) -> Response {
    let id = shared.engine.random_uuid();
    let new = NewFlow {
        handle: handle(shared, id),
        purpose: Purpose::VerifyAddress,
        device: None,
        attributes: None,
        memo: Some(status.error().to_string()),
        flow_life: LIFE,
    };
    match shared.engine.open_flow(&shared.context(&asked.client), new).await {
        Ok(_) => asked.redirect(&redirect::with_parameter(&shared.config.error_ui_url, "id", &id.to_string())),
        Err(error) => Status::of(error).into_response(),
    }
}

/// `GET /self-service/errors?id=`: JSON for everybody.
async fn fetch(State(shared): State<Arc<Shared>>, asked: Asked) -> Response {
    let id = asked.query.get("id").or_else(|| asked.query.get("error")).unwrap_or_default();
    if id == SAMPLE {
        let sample = Status::sample().error();
        return found(shared.engine.random_uuid(), &sample, shared.engine.now());
    }
    let Ok(id) = id.parse::<Uuid>() else { return Status::no_such_thing().into_response() };
    match shared.engine.flow(handle(&shared, id)).await {
        Ok(flow) if shared.engine.now() < flow.expires_at => {
            let error = flow.memo.and_then(|memo| serde_json::from_str(&memo).ok()).unwrap_or(Value::Null);
            found(id, &error, flow.issued_at)
        }
        Ok(_) => Status::no_such_thing().into_response(),
        Err(error) => Status::of(error).into_response(),
    }
}

fn found(id: Uuid, error: &Value, at: Timestamp) -> Response {
    let at = at.rfc3339();
    respond::json(StatusCode::OK, &json!({"id": id, "error": error, "created_at": at, "updated_at": at}))
}
