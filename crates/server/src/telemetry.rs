//! What is told to the operator: log lines and metrics.
//!
//! The engine and the store emit events; names and labels of metrics live in one match here. Labels are closed sets. No code, token
//! or whole address is ever told.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use engine::{Event, Observer};
use metrics::{counter, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::sync::Notify;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::app::{AnswerObserver, Answered};
use crate::config::LogSettings;

/// What the targets of our crates begin with: their lines are told from the configured level on. Others are capped at info: at debug
/// and below they would tell what they send.
const OURS: &str = "countersign";

/// Begins to log to standard error. A second call changes nothing.
pub(crate) fn log(settings: LogSettings) {
    let others = settings.level.min(Level::INFO);
    let filter = Targets::new().with_default(others).with_target(OURS, settings.level);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let registry = tracing_subscriber::registry().with(filter);
    // Only a second subscriber is refused, and the first one stays.
    let _ = if settings.is_json {
        registry.with(lines.json()).try_init()
    } else {
        registry.with(lines.with_target(false)).try_init()
    };
}

/// Bounds of the histograms of seconds: from a tenth of a millisecond to ten seconds.
const SECONDS: [f64; 12] = [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0, 10.0];
/// Bounds of the histogram of group sizes.
const GROUPS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Begins to count, for the whole process.
///
/// # Errors
/// A sentence, where something in the process counts already.
pub(crate) fn count() -> Result<PrometheusHandle, String> {
    let builder = PrometheusBuilder::new()
        .set_buckets(&SECONDS)
        .and_then(|builder| {
            builder.set_buckets_for_metric(Matcher::Full("countersign_commit_batch_size".to_owned()), &GROUPS)
        })
        .map_err(|error| error.to_string())?;
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|error| error.to_string())?;
    Ok(handle)
}

/// Counts events, and wakes the courier when a message is owed.
pub(crate) struct Telemetry {
    wake: Arc<Notify>,
    backend: &'static str,
}

impl Telemetry {
    /// For a node on a database called `backend`.
    pub(crate) fn new(wake: Arc<Notify>, backend: &'static str) -> Self {
        Self { wake, backend }
    }
}

impl Observer for Telemetry {
    fn observe(&self, event: &Event) {
        match event {
            Event::Challenged { dialect, channel, purpose, outcome } => {
                let labels = [
                    ("dialect", *dialect),
                    ("channel", channel.name()),
                    ("purpose", purpose.name()),
                    ("outcome", outcome.name()),
                ];
                counter!("countersign_challenges_total", &labels).increment(1);
            }
            Event::Verified { dialect, outcome } => {
                let labels = [("dialect", *dialect), ("outcome", outcome.name())];
                counter!("countersign_verifications_total", &labels).increment(1);
            }
            Event::Missed { dialect, form } => {
                counter!("countersign_wrong_guesses_total", "dialect" => *dialect, "form" => form.name()).increment(1);
            }
            Event::BreakerOpened { project } => {
                tracing::warn!(%project, "too many wrong codes in this project: strangers are sent long codes until there are fewer");
                counter!("countersign_breakers_opened_total").increment(1);
            }
            Event::CapReached { project } => {
                tracing::warn!(%project, "so many messages were sent to strangers in this project that more have to wait");
                counter!("countersign_send_caps_reached_total").increment(1);
            }
            Event::MessageOwed => self.wake.notify_one(),
            Event::Delivered { outcome } => {
                counter!("countersign_deliveries_total", "outcome" => *outcome).increment(1);
            }
            Event::Stored { operation, took } => {
                histogram!("countersign_store_seconds", "op" => *operation, "backend" => self.backend).record(*took);
            }
            Event::ClocksCompared { ahead_ms } => {
                #[expect(clippy::cast_precision_loss, reason = "a gauge; clocks never differ by 2^53 milliseconds")]
                gauge!("countersign_clock_ahead_seconds").set(*ahead_ms as f64 / 1000.0);
            }
            Event::Committed { operations } => {
                #[expect(clippy::cast_precision_loss, reason = "a group has at most 256 operations")]
                histogram!("countersign_commit_batch_size").record(*operations as f64);
            }
        }
    }
}

impl AnswerObserver for Telemetry {
    fn answered(&self, answered: &Answered<'_>) {
        let labels = [
            ("dialect", answered.dialect.to_owned()),
            ("route", answered.route.to_owned()),
            ("status", answered.status.to_string()),
        ];
        histogram!("countersign_http_seconds", &labels).record(answered.took);
    }
}
