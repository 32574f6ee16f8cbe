//! The spans that there are: what a line of the log, or a part of a trace, belongs to. One function
//! each, so that their names and fields stand in one place.
//!
//! Those that name what the log is about are always there. Those that only tell how long something
//! took are there while somebody collects traces, and cost nothing else.

use super::Context;
use http::{HeaderMap, HeaderName};
use model::ids::{MailId, OrderId, PaymentId};
use tracing::{Span, debug_span, error_span, field::Empty};

/// The target of all of them.
pub(super) const TARGET: &str = "stagedoor::spans";
/// Asked every few seconds by machines: not what traces are for.
pub(super) const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
/// A transaction that belongs to nothing renews a lease, or the like.
pub(super) const WRITE: &str = "write";
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A request being answered. It continues the trace that its sender names, if one is named.
pub fn request(id: &str, method: &str, route: &str, headers: &HeaderMap) -> Span {
    let named = headers.get(TRACEPARENT).and_then(|from| from.to_str().ok());
    let traceparent = named.filter(|from| Context::read(from).is_some());
    error_span!(target: TARGET, "request", id, method, route, traceparent, status = Empty, error = Empty)
}

/// How a request was answered: for its trace, since the log has a line of its own.
pub fn answered(span: &Span, status: u16) {
    span.record("status", status);
    if status >= 500 {
        span.record("error", status);
    }
}

/// The calls that are due for a payment.
pub fn payment(id: PaymentId) -> Span {
    error_span!(target: TARGET, "payment", payment = %id)
}

/// What a webhook sets off.
pub fn webhook(event: &str) -> Span {
    error_span!(target: TARGET, "webhook", event)
}

/// The job that an order's hold has ended.
pub fn expiry(order: OrderId) -> Span {
    error_span!(target: TARGET, "expiry", order = %order)
}

/// A try to send a mail.
pub fn mail(id: MailId) -> Span {
    error_span!(target: TARGET, "mail", mail = id.to_string())
}

/// What comes round by itself.
pub fn round(of: &'static str) -> Span {
    debug_span!(target: TARGET, "round", of)
}

/// A writing transaction; `work` is whose.
pub(crate) fn write(engine: &'static str, work: &'static str) -> Span {
    debug_span!(target: TARGET, WRITE, engine, work = plain(work), error = Empty)
}

/// A call to Stripe; `request` is the type of it.
pub fn stripe(request: &'static str) -> Span {
    debug_span!(target: TARGET, "stripe", call = last(request), error = Empty)
}

/// Marks the present span's doing as failed, with why.
pub fn failed(why: &dyn std::error::Error) {
    Span::current().record("error", why.to_string());
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
    fn what_is_done_is_named_shortly() {
        let closure =
            "stagedoor_shop::orders::service::OrdersService::expire::{{closure}}::{{closure}}";
        assert_eq!(plain(closure), "orders::service::OrdersService::expire");
        assert_eq!(last("stripe_core::refund::CreateRefund"), "CreateRefund");
    }
}
