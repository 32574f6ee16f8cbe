//! Paths of this site, as they go into queries and headers and come back out of them. What is no page of
//! this site is followed nowhere.

use http::{
    HeaderMap, HeaderName,
    header::{HOST, REFERER},
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// How the paths of pages begin.
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

/// Whether this can be the path of a page. All other paths are files, the REST API and server functions.
pub fn is_page(path: &str) -> bool {
    let mut parts = path.split('/').skip(1);
    let first = parts.next().unwrap_or_default();
    PAGES.contains(&first) && path.starts_with('/') && !path.contains("//") && !path.contains('.')
}

/// What a form's address has in its query: the page that it is on, for browsers that do not say which
/// (no `Referer`).
const FROM: &str = "from=";
const SHOWN_TO: &str = "to=";

/// The address of a form on `page` that is sent to `path`. `shown_to` names the user whom the form is shown
/// to, if there is one.
pub(crate) fn from_page(path: &str, page: &str, shown_to: Option<&str>) -> String {
    let page = percent_encode(page);
    let shown_to = shown_to.map(|user| format!("&{SHOWN_TO}{}", percent_encode(user)));
    format!("{path}?{FROM}{page}{}", shown_to.unwrap_or_default())
}

/// The page that the query of a form's address names.
pub fn page_in(query: &str) -> Option<String> {
    local_path(&value_in(query, FROM)?)
}

/// The user that the query of a form's address names.
pub(crate) fn shown_to_in(query: &str) -> Option<String> {
    value_in(query, SHOWN_TO)
}

fn value_in(query: &str, name: &str) -> Option<String> {
    let mut parts = query.split('&');
    percent_decode(parts.find_map(|part| part.strip_prefix(name))?)
}

/// `path`, from where one goes on at `next`, if that is anywhere.
pub fn on_the_way(path: &str, next: &str) -> String {
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

/// Text as part of a query.
pub fn percent_encode(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string()
}

/// The text that [`percent_encode`] has made this of. None: it was made by something else.
fn percent_decode(encoded: &str) -> Option<String> {
    let codes = encoded.split('%').skip(1);
    let whole = |code: &str| {
        let digits = code.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let text = percent_decode_str(encoded).decode_utf8().ok()?;
    codes.clone().all(whole).then(|| text.into_owned())
}

/// Path and query of the page of this site that these headers say their request came from: no other
/// site's, and nothing of this one that is no page.
pub fn own_page(headers: &HeaderMap, public_url: &str) -> Option<String> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let uri: http::Uri = text(REFERER)?.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?.as_str());
    // Reached by another of its own names: localhost for 127.0.0.1, for one.
    let is_own = format!("{scheme}://{authority}") == public_url || text(HOST) == Some(authority);
    let is_page = is_own && is_page(uri.path());
    is_page.then(|| local_path(uri.path_and_query()?.as_str()))?
}

/// `path`, if a browser would take it as a path of this site and nothing else.
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
            own_page(&headers, own)
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
        assert_eq!(own_page(&HeaderMap::new(), own), None);
    }

    #[test]
    fn a_forms_address_names_its_page() {
        let query = |page: &str| from_page("", page, Some("7&8"))[1..].to_owned();
        for page in [
            "/",
            "/signin?next=/checkout%3Fchoice%3Da",
            "/sell?event=1&step=2",
        ] {
            assert_eq!(page_in(&query(page)).as_deref(), Some(page));
            assert_eq!(shown_to_in(&query(page)).as_deref(), Some("7&8"));
        }
        for other in ["//evil.example", "https://evil.example/", "/a\u{e9}", ""] {
            assert_eq!(page_in(&query(other)), None, "{other}");
        }
        for broken in ["", "from", "from=/%4", "from=/%zz", "from=%ff", "page=/"] {
            assert_eq!(page_in(broken), None, "{broken}");
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
