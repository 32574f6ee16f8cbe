//! The steps that a request passes before its route handles it, and the headers that responses get
//! on the way back. Owns no routes and no tables: `router.rs` puts the two layers in place, and the
//! features do not import this module.
//!
//! [`wrap_every_request`] (`every_request.rs`) is the outermost layer. In the order in which a
//! request passes them, its steps are:
//!
//! 1. `client_address`: finds the client's address, behind trusted proxies.
//! 2. `request_id`: gives the request an id, and the response the header `X-Request-Id`.
//! 3. `csp`: makes the nonce of the response's scripts, and its `Content-Security-Policy`.
//! 4. `form_page`: adds a missing `Referer` to the request of a form.
//! 5. `request_log`: names the route and the method; logs and counts the response.
//! 6. `device_cookie`: reads the device cookie, and sets it if the request has changed it.
//! 7. `origin`: refuses writes that another site has sent.
//! 8. `body_limit`: refuses bodies that are too large.
//! 9. `time_limit`: ends requests that take too long.
//!
//! Responses pass, besides steps 2, 3, 5 and 6 again: `unavailable`, `clear_site_data`,
//! `security_headers`, `charset` and `draining`.
//!
//! [`identify_viewer`] (`viewer.rs`) is the layer inside the session layer, for routes with a session:
//!
//! 10. `viewer`: loads the signed-in user and prolongs the session.
//! 11. `write_limit`: counts the user's writes.
//! 12. `picture_upload`: limits how many pictures are uploaded at once.
//!
//! `picture_upload` also knows what `body_limit` and `time_limit` allow for pictures. `refusal` makes
//! the response of a step that refuses a request.

mod body_limit;
mod charset;
mod clear_site_data;
mod client_address;
mod csp;
mod device_cookie;
mod draining;
mod every_request;
mod form_page;
mod origin;
mod picture_upload;
mod refusal;
mod request_id;
mod request_log;
mod security_headers;
mod time_limit;
mod unavailable;
mod viewer;
mod write_limit;

pub(crate) use csp::CspNonce;
pub(crate) use every_request::wrap_every_request;
pub(crate) use refusal::refuse;
pub(crate) use viewer::identify_viewer;

use axum::http::HeaderValue;
use ipnet::IpNet;
use platform::{clock::SharedClock, limits::Limits, session::Sessions};
use shop::events::Uploads;
use std::sync::{Arc, atomic::AtomicBool};

/// The settings and services that the middleware uses.
#[derive(Clone)]
pub(crate) struct MiddlewareState {
    /// The shop's own origin.
    pub public_url: Arc<str>,
    /// Whether the shop is served over TLS.
    pub secure: bool,
    /// The value of `Strict-Transport-Security`.
    pub transport_security: Option<HeaderValue>,
    /// Whether pages may load scripts and frames from Stripe and call it; false in demo mode.
    pub stripe_hosts: bool,
    /// Whether pages open a web socket to `cargo leptos watch`, which has its own port.
    pub watched: bool,
    pub clock: SharedClock,
    /// Counts the writes of each user.
    pub limits: Arc<Limits>,
    pub sessions: Arc<dyn Sessions>,
    /// The proxies whose `X-Forwarded-For` and `X-Request-Id` are believed.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Limits how many pictures are uploaded at once.
    pub uploads: Arc<Uploads>,
    /// Set once the process has been asked to stop.
    pub draining: Arc<AtomicBool>,
}

/// Headers for unit tests.
#[cfg(test)]
fn headers(given: &[(&'static str, &str)]) -> axum::http::HeaderMap {
    given
        .iter()
        .map(|(name, value)| {
            (
                axum::http::HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        })
        .collect()
}
