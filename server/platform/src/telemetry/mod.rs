//! Starts the log, the metrics and the traces of a process.
//!
//! The spans in [`spans`] give log lines their context (the request, the payment, the mail). If traces
//! are collected, they consist of the same spans.

mod context;
mod export;
mod layer;
mod otlp;
pub mod spans;

pub use context::{Context, Sampler, SamplerError};
pub use export::Traces;

use crate::trust::Trust;
use clap::ValueEnum;
use http::{HeaderName, HeaderValue, Uri};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::time::Duration;
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, fmt, layer::SubscriberExt, registry::LookupSpan, util::SubscriberInitExt,
};

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// For machines: one object a line.
    Json,
}

/// The settings of traces.
#[derive(Debug, Clone)]
pub struct TracesConfig {
    /// The collector's endpoint for traces.
    pub url: Uri,
    /// Headers of requests to the collector. The values are marked as sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The authorities accepted for the collector's certificate.
    pub trust: Trust,
    pub sampler: Sampler,
    /// OpenTelemetry's resource attributes of this process.
    pub resource: Vec<(String, String)>,
}

/// The log levels if `RUST_LOG` is not set. The Stripe client logs two warnings for each declined card,
/// which is no problem; `payments` logs the results of calls.
pub const DEFAULT_LEVELS: &str =
    "info,sqlx=warn,tower_sessions=warn,leptos=warn,async_nats=warn,stripe::hyper=error";
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// How often recorded histogram values are aggregated, so that they use no memory if `/metrics` is not
/// read.
const UPKEEP_PERIOD: Duration = Duration::from_secs(5);

/// Sends the log to standard error. A second call in one process, as in tests, does nothing.
pub fn start_log(format: LogFormat) {
    let log = tracing_subscriber::registry().with(levels());
    let _ = log.with(lines(format)).try_init();
}

/// Sends the log to standard error and, if configured, traces to their collector. `role` is the role of
/// this process. Call [`Traces::finish`] on the result before the process ends.
pub fn start(format: LogFormat, traces: Option<TracesConfig>, role: &str) -> Option<Traces> {
    let Some(config) = traces else {
        start_log(format);
        return None;
    };
    let sampler = config.sampler;
    let (traces, spans) = Traces::start(config, role);
    let log = lines(format).with_filter(levels());
    let both = tracing_subscriber::registry().with(log);
    let _ = both.with(layer::layer(sampler, spans)).try_init();
    Some(traces)
}

/// Errors: why `levels` is not a valid value of `RUST_LOG`.
pub fn check_levels(levels: &str) -> Result<(), String> {
    EnvFilter::try_new(levels)
        .map(drop)
        .map_err(|error| error.to_string())
}

fn levels() -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_LEVELS))
}

fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let lines = fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Pretty => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().with_current_span(false).boxed(),
    }
}

/// Installs the recorder of the metrics that `/metrics` shows. Errors: a recorder is already installed.
pub fn start_metrics() -> Result<PrometheusHandle, BuildError> {
    let metrics = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .install_recorder()?;
    let upkeep = metrics.clone();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(UPKEEP_PERIOD);
        loop {
            tick.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(metrics)
}
