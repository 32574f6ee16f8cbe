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

use crate::config::{LogFormat, TracesConfig};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, fmt, layer::SubscriberExt, util::SubscriberInitExt,
};

/// What is logged where `RUST_LOG` says nothing.
const LEVELS: &str = "info,sqlx=warn,tower_sessions=warn,leptos=warn,async_nats=warn";
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

/// Sends the log to standard error.
pub fn start_log(format: LogFormat) {
    install(vec![log(format)]);
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
    install(vec![log(format), Box::new(layer::traced(sampler, spans))]);
    Some(traces)
}

fn log(format: LogFormat) -> Boxed {
    let levels = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LEVELS));
    match format {
        LogFormat::Pretty => fmt::layer()
            .with_target(false)
            .with_writer(std::io::stderr)
            .with_filter(levels)
            .boxed(),
        LogFormat::Json => fmt::layer()
            .json()
            .with_current_span(false)
            .with_writer(std::io::stderr)
            .with_filter(levels)
            .boxed(),
    }
}

fn install(layers: Vec<Boxed>) {
    // A second start in one process (tests) keeps the first.
    let _ = tracing_subscriber::registry().with(layers).try_init();
}

/// Collects the figures that `/metrics` shows. Errors: somebody collects them already.
pub fn start_figures() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .install_recorder()
}
