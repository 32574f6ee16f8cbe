//! The id of a request: taken over from a trusted proxy's `X-Request-Id`, otherwise made here, and
//! sent back in the same header.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id that a trusted proxy has given the request, or a new one.
pub(super) fn take_over_or_make(headers: &HeaderMap, is_from_trusted_proxy: bool) -> String {
    given_id(headers)
        .filter(|_| is_from_trusted_proxy)
        .unwrap_or_else(|| Uuid::now_v7().to_string())
}

/// The id in the request's header, if it can be logged safely.
fn given_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    ((8..=64).contains(&id.len()) && id.bytes().all(is_plain)).then(|| id.to_owned())
}

/// Sets the id in the response's header.
pub(super) fn set(headers: &mut HeaderMap, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::headers, *};

    #[test]
    fn a_request_id_is_taken_over_only_if_it_can_be_logged() {
        let taken = headers(&[("x-request-id", "trace-0123456789")]);
        assert_eq!(given_id(&taken).as_deref(), Some("trace-0123456789"));
        for bad in [
            "short",
            "has space in it",
            "quote\"quote\"",
            &"x".repeat(65),
        ] {
            assert_eq!(given_id(&headers(&[("x-request-id", bad)])), None, "{bad}");
        }
    }
}
