//! The only user of Leptos context: ports, the viewer, the site's facts, and the flash message
//! that a refused form carries back to its page.
//!
//! Server functions fetch what they need from here before their first `.await`.

use crate::{
    accounts::Viewer,
    error::{AppError, AppResult, FieldError},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT, CACHE_CONTROL, COOKIE, HOST, REFERER, REFERRER_POLICY, SET_COOKIE},
    request::Parts,
};
use leptos::prelude::*;
use leptos_axum::ResponseOptions;
use miniz_oxide::{deflate::compress_to_vec, inflate::decompress_to_vec_with_limit};
use serde::{Deserialize, Serialize};
use std::{
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// What every page may need to know about this installation.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its own origin, without a trailing slash.
    pub public_url: String,
    /// How long a reservation holds its tickets, in seconds.
    pub hold_seconds: i64,
    /// What a buyer may add to that, once, in seconds.
    pub more_seconds: i64,
    /// Where Stripe.js, or its stand-in, is loaded from.
    pub stripe_script_url: String,
    /// Stripe's publishable key.
    pub stripe_publishable_key: String,
    /// Demo mode: payments go to the built-in Stripe double, and these accounts are open to all.
    pub demo: Option<Demo>,
}

/// What a demo shop shows openly.
#[derive(Debug, Clone)]
pub struct Demo {
    /// E-mail and password of each seeded account, and what it is for.
    pub accounts: Vec<DemoAccount>,
}

/// One seeded account.
#[derive(Debug, Clone)]
pub struct DemoAccount {
    /// What it shows, in a few words.
    pub purpose: &'static str,
    /// Its address.
    pub email: &'static str,
    /// Its password.
    pub password: &'static str,
}

/// What time it is, for pages.
pub trait PageClock: Send + Sync {
    /// The present moment.
    fn now(&self) -> jiff::Timestamp;
}

/// The present moment, by the server's clock; the beginning of time where there is none.
pub fn now() -> jiff::Timestamp {
    use_context::<Arc<dyn PageClock>>().map_or(jiff::Timestamp::UNIX_EPOCH, |clock| clock.now())
}

/// One of the feature ports that the server provided.
pub fn port<P: ?Sized + Send + Sync + 'static>() -> AppResult<Arc<P>> {
    use_context::<Arc<P>>().ok_or_else(|| missing(std::any::type_name::<P>()))
}

/// The facts of this installation.
pub fn site() -> AppResult<Arc<Site>> {
    use_context::<Arc<Site>>().ok_or_else(|| missing("Site"))
}

fn missing(what: &str) -> AppError {
    tracing::error!(what, "not provided to the pages' context");
    AppError::Internal {
        incident: "context".to_owned(),
    }
}

/// Who is asking, if they are signed in.
pub fn viewer() -> Option<Viewer> {
    use_context::<Parts>()?.extensions.get::<Viewer>().cloned()
}

/// Who is asking. Errors: `SignInRequired`.
pub fn require_viewer() -> AppResult<Viewer> {
    viewer().ok_or(AppError::SignInRequired)
}

/// Whether browsers reach this site over TLS.
pub fn is_secure() -> bool {
    site().is_ok_and(|site| site.public_url.starts_with("https://"))
}

/// What a cookie is called. Over TLS its prefix makes browsers take it from this host alone, for all
/// of its paths: neither a neighbouring host nor somebody on the line can plant it.
fn cookie_name(name: &str) -> String {
    prefixed(name, is_secure())
}

fn prefixed(name: &str, secure: bool) -> String {
    if secure {
        format!("__Host-{name}")
    } else {
        name.to_owned()
    }
}

/// The light that the viewer has chosen: `light`, `dark`, or nothing for the system's setting.
pub fn theme() -> Option<&'static str> {
    // Chosen before the cookie had its prefix.
    let chosen = cookie(&cookie_name("theme")).or_else(|| cookie("theme"));
    match chosen?.as_str() {
        "light" => Some("light"),
        "dark" => Some("dark"),
        _ => None,
    }
}

/// Path and query of this request.
pub fn here() -> String {
    use_context::<Parts>()
        .and_then(|parts| {
            parts
                .uri
                .path_and_query()
                .map(|path| path.as_str().to_owned())
        })
        .unwrap_or_else(|| "/".to_owned())
}

/// Text as part of a query.
pub fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

/// Names one attempt at something that must happen once: a form carries it, so that sending the
/// form twice does it once.
pub fn new_attempt() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// `path`, from where one goes on at `next`, if that is anywhere.
pub fn on_the_way(path: &str, next: &str) -> String {
    if next.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?next={}", percent_encode(next))
    }
}

/// Sends the browser to sign in, and back to `path` after that.
pub fn sign_in_first(path: &str) {
    redirect(&on_the_way("/signin", path));
}

/// Sends the browser to `path` (of this site) once this response is done.
pub fn redirect(path: &str) {
    leptos_axum::redirect(path);
    // Leptos answers with 200 to whoever does not ask for HTML, since a server function's caller reads
    // on. Who asks for a page is led on, whatever they accept.
    if use_context::<Parts>().is_some_and(|parts| parts.method.is_safe()) {
        page_status(http::StatusCode::FOUND);
    }
}

/// Sends the browser back to the page that the form was on; to `otherwise` if it does not say.
pub fn redirect_back(otherwise: &str) {
    match came_from() {
        Some(path) => redirect(&path),
        None => redirect(otherwise),
    }
}

/// Whether the page being rendered shows that a form was refused.
#[derive(Debug, Clone, Default)]
pub struct Refusals(Arc<AtomicBool>);

impl Refusals {
    /// Whether it does.
    pub fn is_marked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// From here on, [`mark_refusal`] is noted for the page being rendered.
pub fn mark_refusals() -> Refusals {
    let refusals = Refusals::default();
    provide_context(refusals.clone());
    refusals
}

/// Notes that the page shows that a form was refused: its title says so, for those who hear it first.
pub fn mark_refusal() {
    if let Some(refusals) = use_context::<Refusals>() {
        refusals.0.store(true, Ordering::Relaxed);
    }
}

/// Sets the status of the page being rendered. Not for server functions called by forms: there
/// the redirect's own status must stand.
pub fn page_status(status: http::StatusCode) {
    if let Some(response) = use_context::<ResponseOptions>() {
        response.set_status(status);
    }
}

/// Says that this page's address is a secret: nobody is told it, nothing keeps or finds it.
pub fn keep_secret() {
    let Some(response) = use_context::<ResponseOptions>() else {
        return;
    };
    for (name, value) in &SECRET {
        response.insert_header(name.clone(), value.clone());
    }
}

/// The headers of what has a secret address.
pub static SECRET: [(HeaderName, HeaderValue); 3] = [
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        HeaderName::from_static("x-robots-tag"),
        HeaderValue::from_static("noindex, nofollow"),
    ),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// What a form's server function leaves for the page that is shown next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flash {
    /// The form it concerns; empty for the whole page.
    pub form: String,
    /// One sentence: what is wrong, or what was done.
    pub message: String,
    /// Whether it went well.
    pub good: bool,
    /// What is wrong at which field.
    pub fields: Vec<FieldError>,
    /// What was typed, so that nothing is lost. Never a password.
    pub values: Vec<(String, String)>,
}

const FLASH_COOKIE: &str = "flash";
const FLASH_SECONDS: u32 = 60;
/// Browsers keep about 4096 bytes a cookie. A long text fits because it is deflated; where that is
/// not enough, the longest is left out, and said to be.
const FLASH_BYTES_MAX: usize = 3800;
const DEFLATE_LEVEL: u8 = 6;
/// What a cookie that comes back may be inflated to.
const FLASH_INFLATED_MAX: usize = 256 * 1024;

/// Tells the next page that something was done.
pub fn notice(message: impl Into<String>) {
    set_flash(&Flash {
        message: message.into(),
        good: true,
        ..Flash::default()
    });
}

/// Refuses a form: a browser that posted it natively goes back to the page it came from, with
/// the error and what was typed; a script gets the error itself, with its status.
pub fn refuse<T: Default>(form: &str, error: AppError, values: &[(&str, &str)]) -> AppResult<T> {
    if !posted_by_form() {
        page_status(error.status());
        return Err(error);
    }
    if error == AppError::SignInRequired {
        sign_in_first(&came_from().unwrap_or_else(|| "/".to_owned()));
        return Ok(T::default());
    }
    set_flash(&Flash {
        form: form.to_owned(),
        message: error.to_string(),
        good: false,
        fields: error.fields().into_owned(),
        values: owned(values),
    });
    redirect_back("/");
    Ok(T::default())
}

/// Goes back to a form that can be sent as it is, so that these fields are checked first. Only for a
/// browser that posted it natively.
pub fn ask<T: Default>(
    form: &str,
    message: &str,
    fields: Vec<FieldError>,
    values: &[(&str, &str)],
) -> AppResult<T> {
    set_flash(&Flash {
        form: form.to_owned(),
        message: message.to_owned(),
        good: true,
        fields,
        values: owned(values),
    });
    redirect_back("/");
    Ok(T::default())
}

fn owned(values: &[(&str, &str)]) -> Vec<(String, String)> {
    let each = values.iter();
    each.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Whether the browser itself, and no script, will show the answer to this request.
pub fn posted_by_form() -> bool {
    use_context::<Parts>().is_some_and(|parts| {
        parts
            .headers
            .get(ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html"))
    })
}

/// Renames fields of an error from the API's words to a form's.
pub fn at_fields(error: AppError, names: &[(&str, &str)]) -> AppError {
    let AppError::Invalid(fields) = error else {
        return error;
    };
    let rename = |wrong: FieldError| {
        let name = names.iter().find(|(api, _)| *api == wrong.field);
        FieldError {
            field: name.map_or(wrong.field, |(_, form)| (*form).to_owned()),
            ..wrong
        }
    };
    AppError::Invalid(fields.into_iter().map(rename).collect())
}

/// Path and query of the page that the request came from, if it says so.
fn came_from() -> Option<String> {
    let parts = use_context::<Parts>()?;
    own_page(&parts.headers, &site().ok()?.public_url)
}

/// Path and query of the page of this site that these headers say their request came from: no other
/// site's, and nothing of this one that is no page.
pub fn own_page(headers: &HeaderMap, public_url: &str) -> Option<String> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let uri: http::Uri = text(REFERER)?.parse().ok()?;
    let (scheme, authority) = (uri.scheme_str()?, uri.authority()?.as_str());
    // Reached by another of its own names: localhost for 127.0.0.1, for one.
    let is_own = format!("{scheme}://{authority}") == public_url || text(HOST) == Some(authority);
    let is_page = is_own && crate::app::is_page(uri.path());
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

/// The message left by the form before, once: reading it takes it away. A script that reads a page
/// leaves it for the page that the browser shows next.
pub fn take_flash() -> Option<Flash> {
    if !posted_by_form() {
        return None;
    }
    let flash = cookie(&cookie_name(FLASH_COOKIE)).and_then(|value| read_flash(&value))?;
    append_cookie("", 0);
    Some(flash)
}

fn cookie(name: &str) -> Option<String> {
    let parts = use_context::<Parts>()?;
    let cookies = parts
        .headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|cookies| cookies.to_str().ok());
    cookies
        .flat_map(|cookies| cookies.split(';'))
        .find_map(|cookie| cookie.trim().strip_prefix(name)?.strip_prefix('='))
        .map(str::to_owned)
}

fn set_flash(flash: &Flash) {
    append_cookie(&write_flash(flash.clone()), FLASH_SECONDS);
}

fn write_flash(mut flash: Flash) -> String {
    loop {
        let json = serde_json::to_vec(&flash).unwrap_or_default();
        let value = URL_SAFE_NO_PAD.encode(compress_to_vec(&json, DEFLATE_LEVEL));
        let longest = flash.values.iter_mut().max_by_key(|(_, text)| text.len());
        match longest {
            Some((field, text)) if value.len() > FLASH_BYTES_MAX && !text.is_empty() => {
                let message = "This text was too long to be kept here. Enter it once more.";
                let error = FieldError::new(field.as_str(), message);
                text.clear();
                flash.fields.push(error);
            }
            _ => return value,
        }
    }
}

fn read_flash(value: &str) -> Option<Flash> {
    let deflated = URL_SAFE_NO_PAD.decode(value).ok()?;
    let json = decompress_to_vec_with_limit(&deflated, FLASH_INFLATED_MAX).ok()?;
    serde_json::from_slice(&json).ok()
}

/// The cookie of a refusal that no server function has seen: for whoever answers in its place.
pub fn refusal_cookie(form: &str, wrong: FieldError, secure: bool) -> Option<HeaderValue> {
    let flash = Flash {
        form: form.to_owned(),
        message: wrong.message.clone(),
        fields: vec![wrong],
        ..Flash::default()
    };
    flash_cookie(&write_flash(flash), FLASH_SECONDS, secure)
}

fn flash_cookie(flash: &str, seconds: u32, secure: bool) -> Option<HeaderValue> {
    let (name, end) = (
        prefixed(FLASH_COOKIE, secure),
        if secure { "; Secure" } else { "" },
    );
    let cookie = format!("{name}={flash}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{end}");
    HeaderValue::from_str(&cookie).ok()
}

/// Sets the flash's cookie, for so many seconds.
fn append_cookie(flash: &str, seconds: u32) {
    let response = use_context::<ResponseOptions>();
    if let (Some(response), Some(cookie)) = (response, flash_cookie(flash, seconds, is_secure())) {
        response.append_header(SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::{FLASH_BYTES_MAX, Flash, local_path, own_page, read_flash, write_flash};
    use http::{
        HeaderMap, HeaderValue,
        header::{HOST, REFERER},
    };

    fn typed(description: String) -> Flash {
        Flash {
            form: "event".to_owned(),
            values: vec![
                ("title".to_owned(), "Late Show".to_owned()),
                ("description".to_owned(), description),
            ],
            ..Flash::default()
        }
    }

    #[test]
    fn a_long_text_comes_back_and_one_that_is_too_long_is_said_to_be_lost() {
        let words = [
            "evening", "curtain", "violin", "laughter", "river", "lamp", "door",
        ];
        let long = (0..700)
            .map(|i| words[i * i % 7])
            .collect::<Vec<_>>()
            .join(" ");
        let flash = typed(long[..4900].to_owned());
        assert_eq!(read_flash(&write_flash(flash.clone())), Some(flash));

        let noise = (0..5000u32).map(|i| char::from_u32(0x4e00 + i * 7919 % 20000));
        let cookie = write_flash(typed(noise.flatten().collect()));
        assert!(cookie.len() <= FLASH_BYTES_MAX);
        let kept = read_flash(&cookie).unwrap();
        assert_eq!(kept.values[0].1, "Late Show");
        assert_eq!(kept.values[1].1, "");
        assert_eq!(kept.fields[0].field, "description");
        assert_eq!(read_flash("nonsense"), None);
    }

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
