//! Refuses writes that another site has made a browser send.

use axum::http::{HeaderMap, HeaderName, Method, header};
use model::error::AppError;
use platform::security::{self, Event, Outcome};

/// Errors: `Forbidden`, if another site has sent this write.
pub(super) fn check(
    method: &Method,
    headers: &HeaderMap,
    public_url: &str,
) -> Result<(), AppError> {
    if !method.is_safe() && is_from_another_site(headers, public_url) {
        security::record(Event::OtherSite, Outcome::Refused, None, "");
        return Err(AppError::Forbidden);
    }
    Ok(())
}

/// Whether a browser has sent this from another site. A request with neither `Sec-Fetch-Site` nor
/// `Origin` does not come from a browser that sends them; for old browsers that do not, `SameSite=Lax`
/// keeps the session cookie out of the request.
fn is_from_another_site(headers: &HeaderMap, public_url: &str) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let site = headers
        .get("sec-fetch-site")
        .and_then(|value| value.to_str().ok());
    if site.is_some_and(|site| site != "same-origin" && site != "none") {
        return true;
    }
    // A strict referrer policy makes browsers send `Origin: null`. `Sec-Fetch-Site: same-origin` still shows
    // that the request is from this site, because only the browser can set it.
    if site == Some("same-origin") && text(header::ORIGIN) == Some("null") {
        return false;
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return false;
    };
    let Ok(origin) = origin.to_str() else {
        return true;
    };
    if origin == public_url {
        return false;
    }
    // The shop can have other names, for example localhost for 127.0.0.1.
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.is_none() || authority != text(header::HOST)
}

#[cfg(test)]
mod tests {
    use super::{super::headers, *};

    #[test]
    fn only_requests_from_other_sites_are_refused() {
        let own = "https://tickets.example";
        for fine in [
            vec![],
            vec![("origin", own)],
            vec![("origin", own), ("sec-fetch-site", "same-origin")],
            vec![("sec-fetch-site", "none")],
            vec![("origin", "null"), ("sec-fetch-site", "same-origin")],
            vec![
                ("origin", "http://localhost:3000"),
                ("host", "localhost:3000"),
            ],
        ] {
            assert!(!is_from_another_site(&headers(&fine), own), "{fine:?}");
        }
        for bad in [
            vec![
                ("origin", "https://evil.example"),
                ("host", "tickets.example"),
            ],
            vec![("origin", "null"), ("host", "null")],
            vec![("origin", "null"), ("sec-fetch-site", "none")],
            vec![("origin", own), ("sec-fetch-site", "cross-site")],
            vec![("sec-fetch-site", "same-site")],
            vec![
                ("origin", "http://tickets.example.evil.example"),
                ("host", "tickets.example"),
            ],
        ] {
            assert!(is_from_another_site(&headers(&bad), own), "{bad:?}");
        }
    }
}
