//! The log, the figures and the traces: where they go, once, at the start.
//!
//! What a line of the log belongs to (the request, the payment, the mail) is said by the spans of
//! [`spans`]; if somebody collects traces, the same spans are what traces are made of.

mod context;
mod export;
mod layer;
mod otlp;
pub mod spans;

pub use context::{Context, NotASampler, Sampler};
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

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// For machines: one object a line.
    Json,
}

/// Where traces go, and which.
#[derive(Debug, Clone)]
pub struct TracesConfig {
    /// Where the collector takes them.
    pub url: Uri,
    /// What is sent along. The values are marked as sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Whom a collector by TLS must have its certificate from.
    pub trust: Trust,
    /// Which are recorded.
    pub sampler: Sampler,
    /// What is said of this process; what it is called, among it.
    pub resource: Vec<(String, String)>,
}

/// What is logged where `RUST_LOG` says nothing.
/// The Stripe client warns twice of each declined card; what comes of a call we log ourselves.
const LEVELS: &str =
    "info,sqlx=warn,tower_sessions=warn,leptos=warn,async_nats=warn,stripe::hyper=error";
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// How often what was measured since is added up, so that it takes no room where nobody asks for it.
const ADD_UP_EVERY: Duration = Duration::from_secs(5);

/// Sends the log to standard error. A second start in one process (tests) keeps the first.
pub fn start_log(format: LogFormat) {
    let log = tracing_subscriber::registry().with(levels());
    let _ = log.with(lines(format)).try_init();
}

/// Sends the log to standard error and, if somebody collects them, traces to their collector; `role`
/// is the part of the work that this process does. What it returns is to be finished at the end.
pub fn start(format: LogFormat, traces: Option<TracesConfig>, role: &str) -> Option<Traces> {
    let Some(config) = traces else {
        start_log(format);
        return None;
    };
    let sampler = config.sampler;
    let (traces, spans) = Traces::start(config, role);
    let log = lines(format).with_filter(levels());
    let both = tracing_subscriber::registry().with(log);
    let _ = both.with(layer::traced(sampler, spans)).try_init();
    Some(traces)
}

/// Errors: `RUST_LOG` cannot be set to `levels`, for this reason.
pub fn check_levels(levels: &str) -> Result<(), String> {
    EnvFilter::try_new(levels)
        .map(drop)
        .map_err(|error| error.to_string())
}

fn levels() -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LEVELS))
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

/// Collects the figures that `/metrics` shows, for as long as the process lives. Errors: somebody
/// collects them already.
pub fn start_figures() -> Result<PrometheusHandle, BuildError> {
    let figures = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .install_recorder()?;
    let added_up = figures.clone();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(ADD_UP_EVERY);
        loop {
            tick.tick().await;
            added_up.run_upkeep();
        }
    });
    Ok(figures)
}
