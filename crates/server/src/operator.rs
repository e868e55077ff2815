//! The operator's pages: is it alive, is it ready, what does it count. On a listener of their own, never on the public one.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use engine::Engine;
use http::{StatusCode, header};
use metrics_exporter_prometheus::PrometheusHandle;

#[derive(Clone)]
struct Shared {
    engine: Arc<Engine>,
    prometheus: PrometheusHandle,
}

/// `/livez`, `/readyz` and `/metrics`.
pub(crate) fn router(engine: Arc<Engine>, prometheus: PrometheusHandle) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(measured))
        .with_state(Shared { engine, prometheus })
}

/// 200 while a write would go through, 503 otherwise.
async fn ready(State(shared): State<Shared>) -> Response {
    match shared.engine.ready().await {
        Ok(()) => "ready\n".into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response(),
    }
}

/// The Prometheus text format, with the outbox looked at now.
async fn measured(State(shared): State<Shared>) -> Response {
    if let Ok(depth) = shared.engine.outbox_depth().await {
        let age = depth.oldest.map(|oldest| shared.engine.now().since(oldest).as_secs_f64()).unwrap_or_default();
        #[expect(clippy::cast_precision_loss, reason = "a gauge; there are never 2^53 messages")]
        metrics::gauge!("countersign_outbox_depth").set(depth.owed as f64);
        metrics::gauge!("countersign_outbox_age_seconds").set(age);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], shared.prometheus.render()).into_response()
}
