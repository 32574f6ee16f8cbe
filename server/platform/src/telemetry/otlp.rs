//! Encodes spans as OTLP in JSON, in which ids are hexadecimal, 64-bit numbers are strings and kinds are
//! numbers.
//! <https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>

use super::{context::Context, spans::WRITE};
use serde_json::{Value, json};

const SERVER: u8 = 2;
const CLIENT: u8 = 3;
const INTERNAL: u8 = 1;
const FAILED: u8 = 2;

pub(super) struct FinishedSpan {
    pub name: &'static str,
    pub context: Context,
    pub parent: Option<u64>,
    /// Nanoseconds since 1970.
    pub began: i128,
    pub ended: i128,
    pub fields: Vec<(&'static str, Value)>,
    pub error: Option<String>,
}

/// Counts spans by result: `sent` or `lost`.
pub(super) fn count(result: &'static str, spans: usize) {
    let spans = u64::try_from(spans).unwrap_or(u64::MAX);
    metrics::counter!("stagedoor_spans_total", "result" => result).increment(spans);
}

/// The resource in every message: the attributes of this process.
pub(super) fn resource(attributes: &[(String, String)]) -> Value {
    let attributes: Vec<Value> = attributes
        .iter()
        .map(|(key, value)| attribute(key, &value.as_str().into()))
        .collect();
    json!({"attributes": attributes})
}

/// The message with `spans`.
pub(super) fn message(resource: &Value, spans: &[FinishedSpan]) -> Value {
    let spans: Vec<Value> = spans.iter().map(span).collect();
    let scope = json!({"name": "stagedoor", "version": env!("CARGO_PKG_VERSION")});
    json!({"resourceSpans": [{
        "resource": resource,
        "scopeSpans": [{"scope": scope, "spans": spans}],
    }]})
}

fn span(span: &FinishedSpan) -> Value {
    let mut attributes: Vec<Value> = span
        .fields
        .iter()
        .map(|(field, value)| attribute(key(field), value))
        .collect();
    let (title, kind) = title(span);
    if span.name == "stripe" {
        attributes.push(attribute("peer.service", &"stripe".into()));
    }
    let mut encoded = json!({
        "traceId": format!("{:032x}", span.context.trace),
        "spanId": format!("{:016x}", span.context.span),
        "flags": 1,
        "name": title,
        "kind": kind,
        "startTimeUnixNano": span.began.to_string(),
        "endTimeUnixNano": span.ended.to_string(),
        "attributes": attributes,
    });
    if let Some(parent) = span.parent {
        encoded["parentSpanId"] = format!("{parent:016x}").into();
    }
    if let Some(error) = &span.error {
        encoded["status"] = json!({"code": FAILED, "message": error});
    }
    encoded
}

/// The name of a span, which contains no ids or personal data, and its kind.
fn title(span: &FinishedSpan) -> (String, u8) {
    let field = |name: &str| {
        let found = span.fields.iter().find(|(field, _)| *field == name);
        found
            .and_then(|(_, value)| value.as_str())
            .unwrap_or_default()
    };
    match span.name {
        "request" => (format!("{} {}", field("method"), field("route")), SERVER),
        "stripe" => (format!("stripe {}", field("call")), CLIENT),
        WRITE => (format!("write {}", field("work")), CLIENT),
        "round" => (format!("round {}", field("of")), INTERNAL),
        name => (name.to_owned(), INTERNAL),
    }
}

/// A field's name in OpenTelemetry's semantic conventions, if there is one.
fn key(field: &str) -> &str {
    match field {
        "id" => "stagedoor.request_id",
        "method" => "http.request.method",
        "route" => "http.route",
        "status" => "http.response.status_code",
        "engine" => "db.system.name",
        "work" => "code.function.name",
        "payment" => "stagedoor.payment",
        "order" => "stagedoor.order",
        "event" => "stagedoor.webhook",
        "mail" => "stagedoor.mail",
        other => other,
    }
}

fn attribute(key: &str, value: &Value) -> Value {
    let value = match value {
        Value::Bool(value) => json!({"boolValue": value}),
        Value::Number(value) => json!({"intValue": value.to_string()}),
        Value::String(value) => json!({"stringValue": value}),
        other => json!({"stringValue": other.to_string()}),
    };
    json!({"key": key, "value": value})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_encoded_as_otlp() {
        let finished = FinishedSpan {
            name: "request",
            context: Context {
                trace: 0xabc,
                span: 0xdef,
                sampled: true,
            },
            parent: Some(1),
            began: 1_700_000_000_000_000_001,
            ended: 1_700_000_000_000_000_002,
            fields: vec![
                ("method", "GET".into()),
                ("route", "/events/{id}".into()),
                ("status", 503.into()),
            ],
            error: Some("503".to_owned()),
        };
        let resource = resource(&[("service.name".to_owned(), "stagedoor".to_owned())]);
        let message = message(&resource, &[finished]);
        let whole = &message["resourceSpans"][0];
        assert_eq!(
            whole["resource"]["attributes"][0],
            json!({"key": "service.name", "value": {"stringValue": "stagedoor"}})
        );
        assert_eq!(
            whole["scopeSpans"][0]["spans"][0],
            json!({
                "traceId": "00000000000000000000000000000abc",
                "spanId": "0000000000000def",
                "parentSpanId": "0000000000000001",
                "flags": 1,
                "name": "GET /events/{id}",
                "kind": 2,
                "startTimeUnixNano": "1700000000000000001",
                "endTimeUnixNano": "1700000000000000002",
                "attributes": [
                    {"key": "http.request.method", "value": {"stringValue": "GET"}},
                    {"key": "http.route", "value": {"stringValue": "/events/{id}"}},
                    {"key": "http.response.status_code", "value": {"intValue": "503"}},
                ],
                "status": {"code": 2, "message": "503"},
            })
        );
    }
}
