//! The session cookie: the layer that reads and sets it, and its renewal when a session is prolonged.
//! Sessions themselves are in `session`.

use axum::http::HeaderValue;
use platform::session::{CachedSessions, IDLE};
use tower_sessions::{
    Expiry, Session, SessionManagerLayer,
    cookie::{Cookie, SameSite},
    session::Id,
};

/// The layer that reads and sets the cookie. It is persistent, so that the user stays signed in after
/// closing the browser, and `Lax`, so that it is sent on the way back from a bank's page.
pub(crate) fn layer(sessions: CachedSessions, secure: bool) -> SessionManagerLayer<CachedSessions> {
    SessionManagerLayer::new(sessions)
        .with_name(cookie_name(secure))
        .with_secure(secure)
        .with_http_only(true)
        .with_same_site(SameSite::Lax)
        .with_path("/")
        .with_expiry(Expiry::OnInactivity(IDLE))
}

pub(crate) fn cookie_name(secure: bool) -> &'static str {
    if secure { "__Host-sid" } else { "sid" }
}

/// The cookie of a prolonged session. `None` if the request ended or changed the session: then the layer
/// sets a cookie.
pub(crate) fn renewed_cookie(session: &Session, id: Id, secure: bool) -> Option<HeaderValue> {
    if session.id() != Some(id) || session.is_modified() {
        return None;
    }
    let cookie = Cookie::build((cookie_name(secure), id.to_string()))
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(secure)
        .path("/")
        .max_age(IDLE);
    HeaderValue::from_str(&cookie.to_string()).ok()
}
