//! Deletes what the browser has stored of the pages once the session has ended, so that the next user
//! of the browser cannot see it.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");
/// Without cookies: the response sets one that reports what was done, and the device cookie remains.
const CLEARED: &str = "\"cache\", \"storage\"";

pub(super) fn set(headers: &mut HeaderMap) {
    headers.insert(CLEAR_SITE_DATA, HeaderValue::from_static(CLEARED));
}
