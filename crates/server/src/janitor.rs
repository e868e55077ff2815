//! Sweeps what is over, in small bites, and keeps the metrics' memory small.

use std::sync::Arc;
use std::time::Duration;

use engine::Engine;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::{MissedTickBehavior, interval};

/// How often it looks.
const EVERY: Duration = Duration::from_secs(15);

/// Bites a round: 500 rows of each kind each, so that a day of sign-ins is gone within a day.
const BITES: u32 = 40;

/// Sweeps until it is dropped.
pub(crate) async fn run(engine: Arc<Engine>, prometheus: PrometheusHandle) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        prometheus.run_upkeep();
        for _ in 0..BITES {
            match engine.sweep().await {
                Ok(swept) if swept.total() == 0 => break,
                Ok(swept) => tracing::debug!(rows = swept.total(), "swept what was over"),
                Err(engine::Error::Failed(fault)) => {
                    tracing::warn!(fault = fault.report(), "sweeping failed and will be tried again");
                    break;
                }
                Err(engine::Error::Refused { .. }) => break,
            }
            // Others go first.
            tokio::task::yield_now().await;
        }
    }
}
