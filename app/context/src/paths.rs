//! Encodes and decodes paths of this site in queries and headers. Anything but a page of this site is rejected,
//! so that no redirect leaves the site.

use http::{
    HeaderMap, HeaderName,
    header::{HOST, REFERER},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The first segments of the paths of pages.
pub const PAGES: [&str; 17] = [
    "",
    "account",
    "checkout",
    "events",
    "forgot",
    "help",
    "order",
    "orders",
    "reset",
    "sell",
    "selling",
    "signin",
    "signup",
    "tickets",
    "ui",
    "verify",
    "waiting-list",
];

/// Whether this can be the path of a page, rather than of a file, the REST API or a server function.
pub fn is_page(path: &str) -> bool {
    let mut parts = path.split('/').skip(1);
    let first = parts.next().unwrap_or_default();
    PAGES.contains(&first) && path.starts_with('/') && !path.contains("//") && !path.contains('.')
}

/// The parameter of a form's URL that names its page, for browsers that send no `Referer`.
const FROM: &str = "from=";
const SHOWN_TO: &str = "to=";

/// The URL to which a form on `page` is sent: `path` with a query. `shown_to` identifies the signed-in user.
pub(crate) fn form_url(path: &str, page: &str, shown_to: Option<&str>) -> String {
    let page = percent_encode(page);
    let shown_to = shown_to.map(|user| format!("&{SHOWN_TO}{}", percent_encode(user)));
    format!("{path}?{FROM}{page}{}", shown_to.unwrap_or_default())
}

/// The page that the query of a form's URL names.
pub fn page_from_query(query: &str) -> Option<String> {
    local_path(&query_value(query, FROM)?)
}

/// The user that the query of a form's URL names.
pub(crate) fn shown_to_from_query(query: &str) -> Option<String> {
    query_value(query, SHOWN_TO)
}

fn query_value(query: &str, name: &str) -> Option<String> {
    let mut parts = query.split('&');
    percent_decode(parts.find_map(|part| part.strip_prefix(name))?)
}

/// `path` with the parameter `next`, the page that follows it; without it if `next` is empty.
pub fn with_next(path: &str, next: &str) -> String {
    if next.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?next={}", percent_encode(next))
    }
}

/// The ASCII characters that are percent-encoded in a query: all except letters, digits, `/`, `-`, `_`
/// and `.`.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.');

/// Encodes text as a part of a query.
pub fn percent_encode(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string()
}

/// Reverses [`percent_encode`]. Returns `None` for malformed input.
fn percent_decode(encoded: &str) -> Option<String> {
    let codes = encoded.split('%').skip(1);
    let is_complete = |code: &str| {
        let digits = code.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let text = percent_decode_str(encoded).decode_utf8().ok()?;
    codes.clone().all(is_complete).then(|| text.into_owned())
}

/// Path and query of the page in `Referer`, if it is a page of this site.
pub fn referring_page(headers: &HeaderMap, public_url: &str) -> Option<String> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let uri: http::Uri = text(REFERER)?.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?.as_str());
    // The host may be reached by another name, such as localhost for 127.0.0.1.
    let is_own = format!("{scheme}://{authority}") == public_url || text(HOST) == Some(authority);
    let is_page = is_own && is_page(uri.path());
    is_page.then(|| local_path(uri.path_and_query()?.as_str()))?
}

/// Returns `path` if browsers can only interpret it as a path of this site.
pub fn local_path(path: &str) -> Option<String> {
    let mut bytes = path.bytes();
    let local = bytes.next() == Some(b'/')
        && !matches!(bytes.next(), Some(b'/' | b'\\'))
        && path.bytes().all(|byte| byte.is_ascii_graphic());
    local.then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_pages_of_this_site_are_gone_back_to() {
        let own = "https://tickets.example";
        let came_from = |referer: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REFERER, HeaderValue::from_str(referer).unwrap());
            headers.insert(HOST, HeaderValue::from_static("127.0.0.1:3000"));
            referring_page(&headers, own)
        };
        for (referer, page) in [
            ("https://tickets.example/", "/"),
            ("https://tickets.example/?q=a", "/?q=a"),
            ("http://127.0.0.1:3000/sell?event=1", "/sell?event=1"),
            ("https://tickets.example/events/1/edit", "/events/1/edit"),
        ] {
            assert_eq!(came_from(referer).as_deref(), Some(page));
        }
        for elsewhere in [
            "https://evil.example/",
            "https://evil.example/sell",
            "http://tickets.example/sell",
            "https://tickets.example.evil.example/sell",
            "https://tickets.example@evil.example/sell",
            "https://tickets.example:444/sell",
            "https://tickets.example//evil.example/sell",
            "https://tickets.example/fn/accounts/sign_out",
            "https://tickets.example/api/events",
            "https://tickets.example/pkg/stagedoor.js",
            "https://tickets.example/stripe-double/bank/1",
            "https://tickets.example/orders/1/tickets.pdf",
            "https://tickets.example/healthz",
            "/sell",
            "nonsense",
        ] {
            assert_eq!(came_from(elsewhere), None, "{elsewhere}");
        }
        assert_eq!(referring_page(&HeaderMap::new(), own), None);
    }

    #[test]
    fn a_forms_url_names_its_page_and_user() {
        let query = |page: &str| form_url("", page, Some("7&8"))[1..].to_owned();
        for page in [
            "/",
            "/signin?next=/checkout%3Fchoice%3Da",
            "/sell?event=1&step=2",
        ] {
            assert_eq!(page_from_query(&query(page)).as_deref(), Some(page));
            assert_eq!(shown_to_from_query(&query(page)).as_deref(), Some("7&8"));
        }
        for other in ["//evil.example", "https://evil.example/", "/a\u{e9}", ""] {
            assert_eq!(page_from_query(&query(other)), None, "{other}");
        }
        for broken in ["", "from", "from=/%4", "from=/%zz", "from=%ff", "page=/"] {
            assert_eq!(page_from_query(broken), None, "{broken}");
        }
    }

    #[test]
    fn only_paths_of_this_site_are_followed() {
        assert_eq!(
            local_path("/orders/1?a=b").as_deref(),
            Some("/orders/1?a=b")
        );
        for elsewhere in [
            "",
            "orders",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\nb",
        ] {
            assert_eq!(local_path(elsewhere), None, "{elsewhere:?}");
        }
    }
}
