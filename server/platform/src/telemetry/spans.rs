//! All spans, one function each, so that their names and fields are in one place.
//!
//! Spans that give log lines their context have level error and are always enabled. Spans that only
//! measure durations have level debug and are enabled only if traces are collected.

use super::Context;
use http::{HeaderMap, HeaderName};
use model::ids::{MailId, OrderId, PaymentId};
use tracing::{Span, debug_span, error_span, field::Empty};

/// The target of all spans.
pub(super) const TARGET: &str = "stagedoor::spans";
/// Routes that monitoring requests every few seconds; not traced.
pub(super) const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
/// The name of transactions' spans. One without a parent is routine, such as the renewal of a lease.
pub(super) const WRITE: &str = "write";
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A request being answered. Continues the trace in the header `traceparent`, if there is one.
pub fn request(id: &str, method: &str, route: &str, headers: &HeaderMap) -> Span {
    let named = headers.get(TRACEPARENT).and_then(|from| from.to_str().ok());
    let traceparent = named.filter(|from| Context::parse(from).is_some());
    error_span!(target: TARGET, "request", id, method, route, traceparent, status = Empty, error = Empty)
}

/// Records the status of a response for the trace.
pub fn answered(span: &Span, status: u16) {
    span.record("status", status);
    if status >= 500 {
        span.record("error", status);
    }
}

/// The calls to Stripe that are due for a payment.
pub fn payment(id: PaymentId) -> Span {
    error_span!(target: TARGET, "payment", payment = %id)
}

/// The processing of a webhook.
pub fn webhook(event: &str) -> Span {
    error_span!(target: TARGET, "webhook", event)
}

/// The expiry job of an order.
pub fn expiry(order: OrderId) -> Span {
    error_span!(target: TARGET, "expiry", order = %order)
}

/// An attempt to send a mail.
pub fn mail(id: MailId) -> Span {
    error_span!(target: TARGET, "mail", mail = id.to_string())
}

/// A run of a periodic task.
pub fn round(of: &'static str) -> Span {
    debug_span!(target: TARGET, "round", of)
}

/// A writing transaction; `work` is the type name of its closure.
pub(crate) fn write(engine: &'static str, work: &'static str) -> Span {
    debug_span!(target: TARGET, WRITE, engine, work = plain(work), error = Empty)
}

/// A call to Stripe; `request` is the type name of the request.
pub fn stripe(request: &'static str) -> Span {
    debug_span!(target: TARGET, "stripe", call = last(request), error = Empty)
}

/// Marks the current span as failed.
pub fn failed(error: &dyn std::error::Error) {
    Span::current().record("error", error.to_string());
}

/// `stagedoor_shop::a::b::{{closure}}::{{closure}}` is `a::b`.
fn plain(work: &'static str) -> &'static str {
    let end = work.find("::{{closure}}").unwrap_or(work.len());
    let work = &work[..end];
    work.split_once("::").map_or(work, |(_, path)| path)
}

fn last(path: &'static str) -> &'static str {
    path.rsplit("::").next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_names_are_shortened() {
        let closure =
            "stagedoor_shop::orders::service::OrdersService::expire::{{closure}}::{{closure}}";
        assert_eq!(plain(closure), "orders::service::OrdersService::expire");
        assert_eq!(last("stripe_core::refund::CreateRefund"), "CreateRefund");
    }
}
