//! The headers of every response that restrict what a browser does with it. The policy in
//! `Content-Security-Policy` is in `csp.rs`.

use super::{
    MiddlewareState,
    csp::{self, CspNonce},
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

/// The browser's features that pages may use: payments by Stripe's scripts only.
const PERMISSIONS: &str =
    "camera=(), microphone=(), geolocation=(), payment=(self \"https://js.stripe.com\")";

/// Sets the headers, except those that the route has set itself.
pub(super) fn set(headers: &mut HeaderMap, state: &MiddlewareState, nonce: &CspNonce, uri: &Uri) {
    let policy = csp::policy(uri.path(), nonce, state);
    set_if_missing(headers, header::CONTENT_SECURITY_POLICY, &policy);
    set_if_missing(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set_if_missing(headers, header::X_FRAME_OPTIONS, "DENY");
    set_if_missing(headers, header::REFERRER_POLICY, "same-origin");
    let opener_policy = HeaderName::from_static("cross-origin-opener-policy");
    set_if_missing(headers, opener_policy, "same-origin");
    // The route of pictures sets another value: other sites may show pictures of events.
    let resource_policy = HeaderName::from_static("cross-origin-resource-policy");
    set_if_missing(headers, resource_policy, "same-origin");
    let permissions_policy = HeaderName::from_static("permissions-policy");
    set_if_missing(headers, permissions_policy, PERMISSIONS);
    if let Some(value) = &state.transport_security {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, value.clone());
    }
    if is_html(headers) || uri.path().starts_with("/api/") || uri.path().starts_with("/fn/") {
        set_if_missing(headers, header::CACHE_CONTROL, "no-store");
    }
}

fn set_if_missing(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value)
        && !headers.contains_key(&name)
    {
        headers.insert(name, value);
    }
}

fn is_html(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("text/html"))
}
