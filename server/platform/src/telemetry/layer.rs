//! The `tracing` layer that turns spans into spans of traces, with their context, times, fields and
//! errors, and queues ended ones for export. A span that is not sampled costs two random numbers.

use super::{
    context::{Context, Sampler},
    export::ExportMessage,
    otlp::{self, FinishedSpan},
    spans::{PROBES, TARGET, WRITE},
};
use crate::clock::{Clock, SystemClock};
use serde_json::Value;
use std::fmt::Debug;
use tokio::sync::mpsc;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, dynamic_filter_fn},
    layer,
    registry::LookupSpan,
};

/// The layer that sends ended spans to `spans`.
pub(super) fn layer<S>(
    sampler: Sampler,
    spans: mpsc::Sender<ExportMessage>,
) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    // A dynamic filter is evaluated for every span. With a static one, code that checks whether a level
    // is enabled and then logs nothing, as sqlx does, leaves a result behind that is wrongly applied to
    // the next span (github.com/tokio-rs/tracing/pull/3572).
    let filter = dynamic_filter_fn(|metadata, _| is_traced(metadata));
    let filter = filter.with_max_level_hint(LevelFilter::DEBUG);
    TraceLayer { sampler, spans }.with_filter(filter)
}

/// Accepts Stagedoor's spans, and its error events, which mark a span as failed.
fn is_traced(metadata: &Metadata<'_>) -> bool {
    if metadata.is_span() {
        metadata.target() == TARGET
    } else {
        *metadata.level() == Level::ERROR && metadata.target().starts_with("stagedoor")
    }
}

struct TraceLayer {
    sampler: Sampler,
    spans: mpsc::Sender<ExportMessage>,
}

/// A span that has not ended.
struct OpenSpan {
    context: Context,
    parent: Option<u64>,
    began: i128,
    /// When it was last exited.
    exited: Option<i128>,
    values: SpanValues,
}

/// The recorded fields of a span.
#[derive(Default)]
struct SpanValues {
    fields: Vec<(&'static str, Value)>,
    error: Option<String>,
    /// The parent that the request's header names.
    remote_parent: Option<Context>,
}

impl SpanValues {
    fn insert(&mut self, field: &Field, value: Value) {
        match (field.name(), &value) {
            ("error", Value::String(error)) => self.error = Some(error.clone()),
            ("error", value) => self.error = Some(value.to_string()),
            ("traceparent", Value::String(from)) => self.remote_parent = Context::parse(from),
            (name, _) => self.fields.push((name, value)),
        }
    }

    /// Whether a trace with this root is not worth recording: a health check, or a write by a background
    /// loop.
    fn is_routine(&self, name: &str) -> bool {
        let is_probe = |(field, value): &(&str, Value)| {
            *field == "route" && value.as_str().is_some_and(|route| PROBES.contains(&route))
        };
        name == WRITE || self.fields.iter().any(is_probe)
    }
}

impl Visit for SpanValues {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.insert(field, format!("{value:?}").into());
    }
}

/// The message of an event.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl<S> Layer<S> for TraceLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, registry: layer::Context<'_, S>) {
        let Some(span) = registry.span(id) else {
            return;
        };
        let mut values = SpanValues::default();
        attributes.record(&mut values);
        let local_parent = span.parent().and_then(|parent| {
            let extensions = parent.extensions();
            extensions.get::<OpenSpan>().map(|open| open.context)
        });
        let parent = local_parent.or(values.remote_parent);
        let trace = parent.map_or_else(random_trace, |parent| parent.trace);
        let sampled = match local_parent {
            Some(parent) => parent.sampled,
            None => {
                !values.is_routine(span.name())
                    && self
                        .sampler
                        .samples(trace, parent.map(|parent| parent.sampled))
            }
        };
        let context = Context {
            trace,
            span: random_span(),
            sampled,
        };
        span.extensions_mut().insert(OpenSpan {
            context,
            parent: parent.map(|parent| parent.span),
            began: now(),
            exited: None,
            values,
        });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, registry: layer::Context<'_, S>) {
        if let Some(span) = registry.span(id)
            && let Some(open) = span.extensions_mut().get_mut::<OpenSpan>()
        {
            values.record(&mut open.values);
        }
    }

    fn on_event(&self, event: &Event<'_>, registry: layer::Context<'_, S>) {
        if let Some(span) = registry.event_span(event)
            && let Some(open) = span.extensions_mut().get_mut::<OpenSpan>()
        {
            let mut message = Message::default();
            event.record(&mut message);
            open.values.error = Some(message.0);
        }
    }

    /// A span stays open while its children are, so its end is when it was last exited.
    fn on_exit(&self, id: &Id, registry: layer::Context<'_, S>) {
        if let Some(span) = registry.span(id)
            && let Some(open) = span.extensions_mut().get_mut::<OpenSpan>()
        {
            open.exited = Some(now());
        }
    }

    fn on_close(&self, id: Id, registry: layer::Context<'_, S>) {
        let Some(span) = registry.span(&id) else {
            return;
        };
        let Some(open) = span.extensions_mut().remove::<OpenSpan>() else {
            return;
        };
        if !open.context.sampled {
            return;
        }
        let finished = FinishedSpan {
            name: span.name(),
            context: open.context,
            parent: open.parent,
            began: open.began,
            ended: open.exited.unwrap_or_else(now),
            fields: open.values.fields,
            error: open.values.error,
        };
        if self
            .spans
            .try_send(ExportMessage::Ended(Box::new(finished)))
            .is_err()
        {
            otlp::count("lost", 1);
        }
    }
}

/// Nanoseconds since 1970, by the system's clock even if the shop uses another one.
fn now() -> i128 {
    i128::from(SystemClock.now().micros()) * 1_000
}

fn random_trace() -> u128 {
    rand::random::<u128>().max(1)
}

fn random_span() -> u64 {
    rand::random::<u64>().max(1)
}
