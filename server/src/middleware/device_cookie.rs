//! Passes the device cookie from a request to the services and from them to the response. What it
//! contains is in `accounts/known.rs`.

use crate::{accounts::known, request::DeviceCookie};
use axum::http::{HeaderMap, header};

/// The cookie that the request has sent.
pub(super) fn read(headers: &HeaderMap, secure: bool) -> DeviceCookie {
    DeviceCookie::new(known::sent(headers, secure))
}

/// Sets the cookie in the response, if the request has changed it.
pub(super) fn set(headers: &mut HeaderMap, device: &DeviceCookie, secure: bool) {
    let changed = device.to_set();
    if let Some(cookie) = changed.and_then(|content| known::cookie(&content, secure)) {
        headers.append(header::SET_COOKIE, cookie);
    }
}
