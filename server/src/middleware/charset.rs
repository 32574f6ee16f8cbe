//! Adds the charset to the content type of text. All text of the shop is UTF-8.

use axum::http::{HeaderMap, HeaderValue, header};

/// Adds the charset to the response's content type, if it is a text type without one.
pub(super) fn add(headers: &mut HeaderMap) {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    if let Some(kind) = kind.and_then(with_charset) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
}

/// The content type with a charset, if it is a text type without one. An event stream is UTF-8 by
/// definition.
fn with_charset(kind: &str) -> Option<HeaderValue> {
    let plain = kind.trim().to_ascii_lowercase();
    let is_text = plain.starts_with("text/") || plain.ends_with("+xml") || plain.ends_with("/xml");
    let is_bare = is_text && !plain.contains(';') && plain != "text/event-stream";
    is_bare
        .then(|| HeaderValue::from_str(&format!("{plain}; charset=utf-8")).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_types_get_a_charset() {
        for (kind, with) in [
            ("text/css", "text/css; charset=utf-8"),
            ("image/svg+xml", "image/svg+xml; charset=utf-8"),
            ("application/xml", "application/xml; charset=utf-8"),
        ] {
            assert_eq!(with_charset(kind).unwrap(), with);
        }
        for kind in [
            "text/html; charset=utf-8",
            "text/event-stream",
            "application/json",
            "application/wasm",
            "image/jpeg",
            "",
        ] {
            assert_eq!(with_charset(kind), None, "{kind}");
        }
    }
}
