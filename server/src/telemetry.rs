//! The log and the figures: where they go, once, at the start.

use crate::config::LogFormat;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// What is logged where `RUST_LOG` says nothing.
const LEVELS: &str = "info,sqlx=warn,tower_sessions=warn,leptos=warn,async_nats=warn";
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// Sends the log to standard error.
pub fn start_log(format: LogFormat) {
    let levels = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LEVELS));
    let log = tracing_subscriber::registry().with(levels);
    // A second start in one process (tests) keeps the first.
    let _ = match format {
        LogFormat::Pretty => log
            .with(fmt::layer().with_target(false).with_writer(std::io::stderr))
            .try_init(),
        LogFormat::Json => log
            .with(fmt::layer().json().with_writer(std::io::stderr))
            .try_init(),
    };
}

/// Collects the figures that `/metrics` shows. Errors: somebody collects them already.
pub fn start_figures() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .install_recorder()
}
