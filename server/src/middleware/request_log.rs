//! The log line and the metrics of each response, and the names of routes and methods in them. The
//! spans of requests are in `telemetry/spans.rs`.

use axum::{
    extract::{MatchedPath, Request},
    http::{Method, StatusCode, Uri},
};
use leptos::server_fn;
use std::time::Duration;

/// The pattern of the route that handles this request, with placeholders in place of ids, so that
/// metrics have few labels. It is `other` for files and for addresses that do not exist.
pub(super) fn route(request: &Request) -> String {
    match request.extensions().get::<MatchedPath>() {
        // All server functions share one pattern. Those that exist are named by their paths.
        Some(_) if is_server_function(request) => request.uri().path().to_owned(),
        Some(matched) => matched.as_str().to_owned(),
        None => "other".to_owned(),
    }
}

fn is_server_function(request: &Request) -> bool {
    let (path, method) = (request.uri().path(), request.method().clone());
    path.starts_with("/fn/") && server_fn::axum::get_server_fn_service(path, method).is_some()
}

/// The name of a standard method, or `_OTHER`.
pub(super) fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "_OTHER",
    }
}

/// Counts a response and logs it.
pub(super) fn record(
    method: &Method,
    uri: &Uri,
    route: String,
    status: StatusCode,
    took: Duration,
) {
    let class = match status.as_u16() {
        500.. => "5xx",
        400.. => "4xx",
        300.. => "3xx",
        _ => "2xx",
    };
    metrics::counter!("stagedoor_http_requests_total",
        "method" => method_name(method), "route" => route.clone(), "status" => class)
    .increment(1);
    metrics::histogram!("stagedoor_http_seconds", "route" => route).record(took.as_secs_f64());
    let (path, status, millis) = (uri.path(), status.as_u16(), took.as_secs_f64() * 1000.0);
    if status >= 500 {
        tracing::error!(path, status, millis, "answered");
    } else {
        tracing::debug!(path, status, millis, "answered");
    }
}
