//! Closes connections while the process is stopping.

use axum::http::{HeaderMap, HeaderValue, header};

/// Asks the client to close the connection after this response. Otherwise the client could be sending
/// another request on it when the server closes it.
pub(super) fn close_connection(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
}
