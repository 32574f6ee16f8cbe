//! From spans as `tracing` has them to spans of a trace: which trace each belongs to, when it began
//! and ended, and what was said of it. One that is not recorded costs two random numbers.

use super::{
    context::{Context, Sampler},
    export::Told,
    otlp::{self, Recorded},
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

/// The layer that sends `spans` what has ended.
pub(super) fn traced<S>(sampler: Sampler, spans: mpsc::Sender<Told>) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    // Asked anew each time: whoever asks whether something would be logged and then logs nothing, as
    // sqlx does, leaves the answer behind, and the next span that nobody is asked about gets that
    // (github.com/tokio-rs/tracing/pull/3572).
    let wanted = dynamic_filter_fn(|what, _| is_wanted(what));
    let wanted = wanted.with_max_level_hint(LevelFilter::DEBUG);
    Traced { sampler, spans }.with_filter(wanted)
}

/// Our spans; and our errors, which tell that a span has failed.
fn is_wanted(what: &Metadata<'_>) -> bool {
    if what.is_span() {
        what.target() == TARGET
    } else {
        *what.level() == Level::ERROR && what.target().starts_with("stagedoor")
    }
}

struct Traced {
    sampler: Sampler,
    spans: mpsc::Sender<Told>,
}

/// A span that has not ended.
struct Open {
    context: Context,
    parent: Option<u64>,
    began: i128,
    left: Option<i128>,
    said: Said,
}

/// What is said of a span, or by an event.
#[derive(Default)]
struct Said {
    fields: Vec<(&'static str, Value)>,
    error: Option<String>,
    from: Option<Context>,
}

impl Said {
    fn note(&mut self, field: &Field, value: Value) {
        match (field.name(), &value) {
            ("error", Value::String(why)) => self.error = Some(why.clone()),
            ("error", value) => self.error = Some(value.to_string()),
            ("traceparent", Value::String(from)) => self.from = Context::read(from),
            (name, _) => self.fields.push((name, value)),
        }
    }

    /// Whether a trace that begins with this tells of nothing but that time goes by.
    fn is_idle(&self, name: &str) -> bool {
        let probes = |(field, value): &(&str, Value)| {
            *field == "route" && value.as_str().is_some_and(|route| PROBES.contains(&route))
        };
        name == WRITE || self.fields.iter().any(probes)
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.note(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.note(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.note(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.note(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.note(field, format!("{value:?}").into());
    }
}

/// What an error event says.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl<S> Layer<S> for Traced
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, seen: layer::Context<'_, S>) {
        let Some(span) = seen.span(id) else { return };
        let mut said = Said::default();
        attributes.record(&mut said);
        let above = span.parent().and_then(|parent| {
            let kept = parent.extensions();
            kept.get::<Open>().map(|open| open.context)
        });
        let from = above.or(said.from);
        let trace = from.map_or_else(random_trace, |from| from.trace);
        let sampled = match above {
            Some(above) => above.sampled,
            None => {
                !said.is_idle(span.name())
                    && self.sampler.takes(trace, from.map(|from| from.sampled))
            }
        };
        let context = Context {
            trace,
            span: random_span(),
            sampled,
        };
        span.extensions_mut().insert(Open {
            context,
            parent: from.map(|from| from.span),
            began: now(),
            left: None,
            said,
        });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, seen: layer::Context<'_, S>) {
        if let Some(span) = seen.span(id)
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            values.record(&mut open.said);
        }
    }

    fn on_event(&self, event: &Event<'_>, seen: layer::Context<'_, S>) {
        if let Some(span) = seen.event_span(event)
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            let mut message = Message::default();
            event.record(&mut message);
            open.said.error = Some(message.0);
        }
    }

    /// A request's span is kept by what it has set off: its own end is when it was last worked on.
    fn on_exit(&self, id: &Id, seen: layer::Context<'_, S>) {
        if let Some(span) = seen.span(id)
            && let Some(open) = span.extensions_mut().get_mut::<Open>()
        {
            open.left = Some(now());
        }
    }

    fn on_close(&self, id: Id, seen: layer::Context<'_, S>) {
        let Some(span) = seen.span(&id) else { return };
        let Some(open) = span.extensions_mut().remove::<Open>() else {
            return;
        };
        if !open.context.sampled {
            return;
        }
        let recorded = Recorded {
            name: span.name(),
            context: open.context,
            parent: open.parent,
            began: open.began,
            ended: open.left.unwrap_or_else(now),
            fields: open.said.fields,
            error: open.said.error,
        };
        if self
            .spans
            .try_send(Told::Ended(Box::new(recorded)))
            .is_err()
        {
            otlp::count("lost", 1);
        }
    }
}

/// Traces tell of the machine's time, whatever the shop counts by.
fn now() -> i128 {
    i128::from(SystemClock.now().micros()) * 1_000
}

fn random_trace() -> u128 {
    rand::random::<u128>().max(1)
}

fn random_span() -> u64 {
    rand::random::<u64>().max(1)
}
