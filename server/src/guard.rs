//! What every request passes before anything else sees it: a name, a size, a time limit, and the
//! question whether another site sent it. And what every response carries: the headers that tell
//! a browser how little to trust.

use crate::{
    accounts::known,
    clock::SharedClock,
    events::{
        Uploads,
        pictures::{self, UploadForm, refuse_upload},
    },
    limits::{Key, Limits},
    request::{self, DeviceCookie},
    rest,
    security::{self, Event, Outcome},
    session::{self, Sessions, viewer},
    telemetry::spans,
    unguessable::unguessable,
};
use axum::{
    body::{Body, HttpBody},
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use context::page_in;
use http_body_util::Limited;
use ipnet::IpNet;
use leptos::server_fn;
use model::{accounts::Viewer, error::AppError};
use sha2::{Digest, Sha256};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tower_sessions::Session;
use tracing::Instrument;
use uuid::Uuid;

/// The largest body that is read, but for pictures.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// How long an answer may take: longer than Stripe may (10 s), shorter than patience.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The same where a picture is sent, from a phone on a slow line.
const PICTURE_WITHIN: Duration = Duration::from_mins(2);
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");
/// Not cookies: the one that the answer sets says what was done, and known devices stay known.
const CLEARED: &str = "\"cache\", \"storage\"";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the guard goes by.
#[derive(Clone)]
pub struct Guard {
    /// The shop's own origin.
    pub public_url: Arc<str>,
    /// Whether it is served over TLS.
    pub secure: bool,
    /// `Strict-Transport-Security`.
    pub transport_security: Option<HeaderValue>,
    /// Where else scripts, frames and calls may go: Stripe's hosts, or nowhere in demo mode.
    pub stripe_hosts: bool,
    /// Whether pages listen for `cargo leptos watch`, on a port of its own.
    pub watched: bool,
    /// What time it is.
    pub clock: SharedClock,
    /// Counts writes.
    pub limits: Arc<Limits>,
    /// Which sessions there are.
    pub sessions: Arc<dyn Sessions>,
    /// Whose word on where a request comes from is taken.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Places for pictures that come in.
    pub uploads: Arc<Uploads>,
    /// Set once the process has been asked to stop.
    pub draining: Arc<AtomicBool>,
}

/// Names the one style that stands in the document itself.
static FADE_HASH: LazyLock<String> =
    LazyLock::new(|| STANDARD.encode(Sha256::digest(app::app::FADE.as_bytes())));

/// The nonce of this response's scripts.
#[derive(Debug, Clone)]
pub struct CspNonce(pub String);

/// Outermost: names the request, bounds it in size and time, refuses other sites, and dresses
/// the response.
pub async fn outer(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| {
        peer.ip()
    });
    let address = address_of(peer, request.headers(), &guard.trusted_proxies);
    let id = given_id(request.headers())
        .filter(|_| is_trusted(peer, &guard.trusted_proxies))
        .unwrap_or_else(|| Uuid::now_v7().to_string());
    let nonce = CspNonce(unguessable::<16>());
    request.extensions_mut().insert(nonce.clone());
    name_page(&mut request, &guard.public_url);
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let route = route(&request);
    let span = spans::request(&id, known(&method), &route, request.headers());
    let device = DeviceCookie::new(known::sent(request.headers(), guard.secure));
    let ended = Arc::new(AtomicBool::new(false));
    let current = request::Request {
        id: id.clone(),
        address,
        agent: request.headers().get(header::USER_AGENT).cloned(),
        session: None,
        device: device.clone(),
        ended: Arc::clone(&ended),
    };
    let answering = request::scope(current, answer(&guard, &method, &uri, request, next));
    let mut response = answering.instrument(span.clone()).await;
    spans::answered(&span, response.status().as_u16());
    let is_away = response.status() == StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    if is_away && !headers.contains_key(header::RETRY_AFTER) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    if let Some(cookie) = device
        .to_set()
        .and_then(|set| known::cookie(&set, guard.secure))
    {
        headers.append(header::SET_COOKIE, cookie);
    }
    if ended.load(Ordering::Relaxed) {
        // What pages have kept in the browser is not for who uses it next.
        headers.insert(CLEAR_SITE_DATA, HeaderValue::from_static(CLEARED));
    }
    dress(headers, &guard, &nonce.0, &uri);
    if guard.draining.load(Ordering::Relaxed) {
        // Else a request may be on its way on this connection when it is closed.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    span.in_scope(|| note(&method, &uri, route, response.status(), began.elapsed()));
    response
}

/// Where a browser does not say which page a form was on, the form's address does. Everything behind this
/// looks at one header.
fn name_page(request: &mut Request, public_url: &str) {
    if !request.uri().path().starts_with("/fn/") || request.headers().contains_key(header::REFERER)
    {
        return;
    }
    let page = request.uri().query().and_then(page_in);
    let page = page.and_then(|page| HeaderValue::from_str(&format!("{public_url}{page}")).ok());
    if let Some(page) = page {
        request.headers_mut().insert(header::REFERER, page);
    }
}

/// Which of our addresses this is, with names in the place of ids: fit to count by. Files, and what
/// is not there, are `other`.
fn route(request: &Request) -> String {
    match request.extensions().get::<MatchedPath>() {
        // Server functions share one, and those that there are have names of their own.
        Some(_) if is_server_function(request) => request.uri().path().to_owned(),
        Some(matched) => matched.as_str().to_owned(),
        None => "other".to_owned(),
    }
}

fn is_server_function(request: &Request) -> bool {
    let (path, method) = (request.uri().path(), request.method().clone());
    path.starts_with("/fn/") && server_fn::axum::get_server_fn_service(path, method).is_some()
}

/// The method, unless somebody has made it up.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "_OTHER",
    }
}

/// Where a request comes from: who is at the other end of the line, or where that is a proxy that is
/// trusted, whom it says it had it from, and so on. What others claim is not believed.
fn address_of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let claimed: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .collect();
    let mut address = peer;
    for claim in claimed.into_iter().rev() {
        if !is_trusted(address, trusted) {
            break;
        }
        let Some(before) = without_port(claim.trim()) else {
            break;
        };
        address = before;
    }
    address.to_canonical()
}

/// Whether this is one of the proxies whose word is taken.
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|network| network.contains(&address))
}

/// Some proxies write the port behind the address.
fn without_port(claim: &str) -> Option<IpAddr> {
    let bare = claim.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().ok();
    address.or_else(|| Some(claim.parse::<SocketAddr>().ok()?.ip()))
}

async fn answer(
    guard: &Guard,
    method: &Method,
    uri: &Uri,
    request: Request,
    next: Next,
) -> Response {
    if !method.is_safe() && is_from_elsewhere(request.headers(), &guard.public_url) {
        security::note(Event::OtherSite, Outcome::Refused, None, "");
        return refuse(uri, &AppError::Forbidden);
    }
    let picture = (!method.is_safe())
        .then(|| pictures::body_bytes_max(uri.path()))
        .flatten();
    let form = UploadForm::new(uri.path(), request.headers(), &guard.public_url);
    let refuse = |error: AppError| refuse_upload(&form, uri, &error);
    let bytes_max = picture.unwrap_or(BODY_BYTES_MAX);
    let within = picture.map_or(ANSWER_WITHIN, |_| PICTURE_WITHIN);
    let declared = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > bytes_max) {
        return refuse(AppError::TooLarge);
    }
    let request = request.map(|body| Body::new(Limited::new(body, bytes_max)));
    match tokio::time::timeout(within, next.run(request)).await {
        // The session layer says no more than this where the database does not take a session.
        Ok(response) if is_bare_failure(&response) => {
            tracing::error!(request = request::id(), "a request ended without an answer");
            refuse(AppError::Unavailable)
        }
        Ok(response) => response,
        Err(_) => refuse(AppError::Unavailable),
    }
}

fn is_bare_failure(response: &Response) -> bool {
    response.status() == StatusCode::INTERNAL_SERVER_ERROR
        && response.body().size_hint().exact() == Some(0)
}

/// A refusal in the shape that its reader expects.
pub fn refuse(uri: &Uri, error: &AppError) -> Response {
    if uri.path().starts_with("/api/") {
        return rest::problem(error.status(), error);
    }
    (error.status(), format!("{error}\n")).into_response()
}

/// What the request is called already, if that is a name that can be logged.
fn given_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    ((8..=64).contains(&id.len()) && id.bytes().all(plain)).then(|| id.to_owned())
}

/// Whether a browser sent this from another site. What says neither is no browser, and the
/// session cookie's `SameSite=Lax` is in its way.
fn is_from_elsewhere(headers: &HeaderMap, public_url: &str) -> bool {
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
    // Reached by another of its own names: localhost for 127.0.0.1, for one.
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.is_none() || authority != text(header::HOST)
}

fn dress(headers: &mut HeaderMap, guard: &Guard, nonce: &str, uri: &Uri) {
    let set = |headers: &mut HeaderMap, name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value)
            && !headers.contains_key(&name)
        {
            headers.insert(name, value);
        }
    };
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    let is_html = kind.starts_with("text/html");
    if let Some(kind) = with_charset(kind) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    // Swagger UI's page brings its own scripts and styles, as files.
    let policy = if uri.path().starts_with("/api/docs") {
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         form-action 'none'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'"
            .to_owned()
    } else {
        policy(nonce, guard)
    };
    set(headers, header::CONTENT_SECURITY_POLICY, &policy);
    set(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(headers, header::X_FRAME_OPTIONS, "DENY");
    set(headers, header::REFERRER_POLICY, "same-origin");
    set(
        headers,
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    // Pictures of events may be shown elsewhere, and say otherwise themselves.
    set(
        headers,
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    );
    let powers =
        "camera=(), microphone=(), geolocation=(), payment=(self \"https://js.stripe.com\")";
    set(
        headers,
        HeaderName::from_static("permissions-policy"),
        powers,
    );
    if let Some(value) = &guard.transport_security {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, value.clone());
    }
    if is_html || uri.path().starts_with("/api/") || uri.path().starts_with("/fn/") {
        set(headers, header::CACHE_CONTROL, "no-store");
    }
}

/// The content type with a charset, if it is a text type without one. All text is UTF-8. An event stream
/// is UTF-8 by definition.
fn with_charset(kind: &str) -> Option<HeaderValue> {
    let plain = kind.trim().to_ascii_lowercase();
    let is_text = plain.starts_with("text/") || plain.ends_with("+xml") || plain.ends_with("/xml");
    let is_bare = is_text && !plain.contains(';') && plain != "text/event-stream";
    is_bare
        .then(|| HeaderValue::from_str(&format!("{plain}; charset=utf-8")).ok())
        .flatten()
}

fn policy(nonce: &str, guard: &Guard) -> String {
    let watch = if guard.watched { " ws:" } else { "" };
    let (scripts, calls, frames, forms) = if guard.stripe_hosts {
        (
            " https://js.stripe.com https://*.js.stripe.com",
            " https://api.stripe.com",
            "https://js.stripe.com https://*.js.stripe.com https://hooks.stripe.com",
            // Without JavaScript, paying leads to the bank's page and back.
            " https://hooks.stripe.com",
        )
    } else {
        ("", "", "'none'", "")
    };
    let fade = FADE_HASH.as_str();
    format!(
        "default-src 'none'; script-src 'self' 'nonce-{nonce}' 'wasm-unsafe-eval'{scripts}; \
         style-src 'self' 'nonce-{nonce}' 'sha256-{fade}'; img-src 'self' data: blob:; font-src 'self'; \
         connect-src 'self'{calls}{watch}; frame-src {frames}; manifest-src 'self'; form-action 'self'{forms}; \
         base-uri 'none'; frame-ancestors 'none'"
    )
}

fn note(method: &Method, uri: &Uri, route: String, status: StatusCode, took: Duration) {
    let class = match status.as_u16() {
        500.. => "5xx",
        400.. => "4xx",
        300.. => "3xx",
        _ => "2xx",
    };
    metrics::counter!("stagedoor_http_requests_total",
        "method" => known(method), "route" => route.clone(), "status" => class)
    .increment(1);
    metrics::histogram!("stagedoor_http_seconds", "route" => route).record(took.as_secs_f64());
    let (path, status, millis) = (uri.path(), status.as_u16(), took.as_secs_f64() * 1000.0);
    if status >= 500 {
        tracing::error!(path, status, millis, "answered");
    } else {
        tracing::debug!(path, status, millis, "answered");
    }
}

/// Inside the session layer: finds out who is asking, prolongs their session, and counts their
/// writes.
pub async fn who(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let session = request.extensions().get::<Session>().cloned();
    let viewer = match &session {
        Some(session) => viewer(session).await,
        None => Ok(None),
    };
    let viewer = match viewer {
        Ok(viewer) => viewer,
        Err(error) => return refuse(request.uri(), &error),
    };
    if let Some(Viewer { user }) = &viewer
        && !request.method().is_safe()
        && let Err(error) = guard.limits.take(&Key::WriteOf(user.id.to_string())).await
    {
        return refuse(request.uri(), &error);
    }
    let path = request.uri().path();
    let brings_picture = matches!(*request.method(), Method::POST | Method::PUT)
        && pictures::body_bytes_max(path).is_some();
    let user = viewer.as_ref().map(|viewer| viewer.user.id);
    let place = brings_picture.then(|| guard.uploads.enter(user, request::address()));
    if let Some(Err(error)) = &place {
        let form = UploadForm::new(path, request.headers(), &guard.public_url);
        return refuse_upload(&form, request.uri(), error);
    }
    let mut prolonged = None;
    if let (Some(session), Some(viewer)) = (&session, viewer) {
        prolonged = session::prolong(session, &*guard.sessions, &guard.clock).await;
        request.extensions_mut().insert(viewer);
    }
    let route = route(&request);
    let mut response = match request::with_session(session.clone()) {
        Some(current) => request::scope(current, next.run(request)).await,
        None => next.run(request).await,
    };
    if response.status() == StatusCode::FORBIDDEN {
        security::note(Event::Forbidden, Outcome::Refused, user, &route);
    }
    if let (Some(session), Some(id)) = (session, prolonged)
        && let Some(cookie) = session::cookie_again(&session, id, guard.secure)
    {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(given: &[(&'static str, &str)]) -> HeaderMap {
        given
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn only_trusted_proxies_say_where_a_request_comes_from() {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"]
            .map(|network| network.parse().unwrap())
            .to_vec();
        for (peer, forwarded, from) in [
            // Whoever comes directly can claim what they like.
            ("203.0.113.7", "198.51.100.1", "203.0.113.7"),
            ("10.0.0.2", "198.51.100.1", "198.51.100.1"),
            ("::ffff:10.0.0.2", "198.51.100.1:4711", "198.51.100.1"),
            ("10.0.0.2", "[2001:db8::1]:4711", "2001:db8::1"),
            // The visitor wrote the first of these; the last is what our proxy saw.
            ("10.0.0.2", "1.1.1.1, 203.0.113.7, 10.9.9.9", "203.0.113.7"),
            ("10.0.0.2", "nonsense", "10.0.0.2"),
            ("10.0.0.2", "203.0.113.7, nonsense", "10.0.0.2"),
        ] {
            let headers = headers(&[("x-forwarded-for", forwarded)]);
            let found = address_of(peer.parse().unwrap(), &headers, &trusted);
            assert_eq!(found.to_string(), from, "{peer}: {forwarded}");
        }
        let alone = address_of("10.0.0.2".parse().unwrap(), &HeaderMap::new(), &trusted);
        assert_eq!(alone.to_string(), "10.0.0.2");
    }

    #[test]
    fn only_other_sites_are_elsewhere() {
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
            assert!(!is_from_elsewhere(&headers(&fine), own), "{fine:?}");
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
            assert!(is_from_elsewhere(&headers(&bad), own), "{bad:?}");
        }
    }

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
