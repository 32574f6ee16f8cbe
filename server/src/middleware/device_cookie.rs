//! The device cookie: reads it from a request for the services, and sets it in the response if they have
//! changed it. What it contains is decided in `accounts/known_devices.rs`.

use axum::http::{HeaderMap, HeaderValue, header};
use cookie::{Cookie, SameSite, time::Duration};
use platform::request::DeviceCookie;

/// Browsers keep no cookie for longer than 400 days.
const LIFETIME: Duration = Duration::days(400);
/// Far more than the accounts that a browser is known to take.
const COOKIE_BYTES_MAX: usize = 2000;

/// The cookie that the request has sent.
pub(super) fn read(headers: &HeaderMap, secure: bool) -> DeviceCookie {
    DeviceCookie::new(sent(headers, secure))
}

/// Sets the cookie in the response, if the request has changed it.
pub(super) fn set(headers: &mut HeaderMap, device: &DeviceCookie, secure: bool) {
    let changed = device.to_set();
    if let Some(cookie) = changed.and_then(|content| cookie(&content, secure)) {
        headers.append(header::SET_COOKIE, cookie);
    }
}

fn name(secure: bool) -> &'static str {
    if secure { "__Host-device" } else { "device" }
}

/// The content of the cookie that a browser sent.
fn sent(headers: &HeaderMap, secure: bool) -> Option<String> {
    context::sent_cookie(headers, name(secure)).filter(|content| content.len() <= COOKIE_BYTES_MAX)
}

/// The header that sets the cookie.
fn cookie(content: &str, secure: bool) -> Option<HeaderValue> {
    let cookie = Cookie::build((name(secure), content))
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(secure)
        .path("/")
        .max_age(LIFETIME);
    HeaderValue::from_str(&cookie.to_string()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_tls_the_cookie_is_of_this_host_alone() {
        let secure = cookie("x", true).unwrap();
        for attribute in [
            "__Host-device=x",
            "Secure",
            "HttpOnly",
            "SameSite=Lax",
            "Path=/",
            "Max-Age=",
        ] {
            assert!(
                secure.to_str().unwrap().contains(attribute),
                "{attribute}: {secure:?}"
            );
        }
        let plain = cookie("x", false).unwrap();
        assert!(plain.to_str().unwrap().starts_with("device=x"));
        let mut headers = HeaderMap::new();
        headers.insert(
            header::COOKIE,
            HeaderValue::from_static("a=b; device=c~d; __Host-device=e"),
        );
        assert_eq!(sent(&headers, false).as_deref(), Some("c~d"));
        assert_eq!(sent(&headers, true).as_deref(), Some("e"));
        let long = format!("device={}", "x".repeat(3000));
        headers.insert(header::COOKIE, HeaderValue::from_str(&long).unwrap());
        assert_eq!(sent(&headers, false), None);
    }
}
