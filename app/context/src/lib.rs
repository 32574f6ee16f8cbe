//! Access to Leptos context for pages and server functions: ports, the viewer, the site's settings, and
//! the flash that a form leaves for the next page. `app` and `islands` use Leptos context only through this
//! crate.
//!
//! Server functions fetch what they need from here before their first `.await`.

mod flash;
mod paths;

pub use crate::{
    flash::Flash,
    paths::{
        PAGES, is_page, local_path, page_from_query, percent_encode, referring_page, with_next,
    },
};

use crate::paths::{form_url, shown_to_from_query};
use cookie::{Cookie, SameSite, time::Duration};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT, CACHE_CONTROL, COOKIE, REFERRER_POLICY, SET_COOKIE},
    request::Parts,
};
use leptos::prelude::*;
use leptos_axum::ResponseOptions;
use model::{
    accounts::Viewer,
    error::{AppError, AppResult, FieldError},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// The settings of this installation that pages need.
#[derive(Debug, Clone)]
pub struct Site {
    /// The site's origin, without a trailing slash.
    pub public_url: String,
    /// How long a reservation holds its tickets, in seconds.
    pub hold_seconds: i64,
    /// How long a buyer may extend that, once, in seconds.
    pub more_seconds: i64,
    /// The URL of Stripe.js or its stand-in.
    pub stripe_script_url: String,
    /// Stripe's publishable key.
    pub stripe_publishable_key: String,
    /// Present in demo mode, in which payments go to the Stripe double.
    pub demo: Option<Demo>,
}

/// What a demo shop shows to all visitors.
#[derive(Debug, Clone)]
pub struct Demo {
    /// The seeded accounts.
    pub accounts: Vec<DemoAccount>,
}

/// A seeded account whose password is public.
#[derive(Debug, Clone)]
pub struct DemoAccount {
    /// What it demonstrates, in a few words.
    pub purpose: &'static str,
    pub email: &'static str,
    pub password: &'static str,
}

/// The clock of pages.
pub trait PageClock: Send + Sync {
    fn now(&self) -> jiff::Timestamp;
}

/// The current time by the server's clock; the Unix epoch if none is provided.
pub fn now() -> jiff::Timestamp {
    use_context::<Arc<dyn PageClock>>().map_or(jiff::Timestamp::UNIX_EPOCH, |clock| clock.now())
}

/// The URL of a server function for a form on this page. It names the page and the user, for [`refuse`].
pub fn form_address(path: &str) -> String {
    let viewer = viewer().map(|viewer| user_mark(&viewer));
    form_url(path, &here(), viewer.as_deref())
}

/// Distinguishes users: the random half of the id. Neither secret nor authenticated.
fn user_mark(viewer: &Viewer) -> String {
    let (_, random) = viewer.user.id.0.as_u64_pair();
    format!("{random:016x}")
}

/// One of the ports that the server provides. Errors: `Internal` if it does not.
pub fn port<P: ?Sized + Send + Sync + 'static>() -> AppResult<Arc<P>> {
    use_context::<Arc<P>>().ok_or_else(|| missing(std::any::type_name::<P>()))
}

/// The settings of this installation. Errors: `Internal` if the server does not provide them.
pub fn site() -> AppResult<Arc<Site>> {
    use_context::<Arc<Site>>().ok_or_else(|| missing("Site"))
}

fn missing(what: &str) -> AppError {
    tracing::error!(what, "Missing in the pages' context");
    AppError::Internal {
        incident: "context".to_owned(),
    }
}

/// The signed-in user, if any.
pub fn viewer() -> Option<Viewer> {
    use_context::<Parts>()?.extensions.get::<Viewer>().cloned()
}

/// The signed-in user. Errors: `SignInRequired`.
pub fn require_viewer() -> AppResult<Viewer> {
    viewer().ok_or(AppError::SignInRequired)
}

/// Whether browsers reach this site over TLS.
pub fn is_secure() -> bool {
    site().is_ok_and(|site| site.public_url.starts_with("https://"))
}

/// The full name of a cookie. Over TLS its prefix makes browsers accept it from this host only, so that neither
/// a sibling host nor an attacker on the network can set it.
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

/// The theme that the visitor has chosen: `light` or `dark`; `None` for the system's setting.
pub fn theme() -> Option<&'static str> {
    // The cookie of earlier versions has no prefix.
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

/// A new idempotency key for a form, so that sending it twice has one effect.
pub fn new_attempt() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Redirects to the sign-in page, which leads back to `path`.
pub fn sign_in_first(path: &str) {
    redirect(&with_next("/signin", path));
}

/// Redirects to `path` of this site.
pub fn redirect(path: &str) {
    leptos_axum::redirect(path);
    // Leptos responds with 200 unless HTML is accepted, for callers of server functions. Requests for pages
    // are always redirected.
    if use_context::<Parts>().is_some_and(|parts| parts.method.is_safe()) {
        page_status(http::StatusCode::FOUND);
    }
}

/// Redirects to the page that the form was on; to `otherwise` if it is unknown.
pub fn redirect_back(otherwise: &str) {
    match form_page() {
        Some(path) => redirect(&path),
        None => redirect(otherwise),
    }
}

/// Records whether the page being rendered shows a refused form.
#[derive(Debug, Clone, Default)]
pub struct Refusals(Arc<AtomicBool>);

impl Refusals {
    pub fn is_marked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Makes [`mark_refusal`] record refusals for the page being rendered.
pub fn track_refusals() -> Refusals {
    let refusals = Refusals::default();
    provide_context(refusals.clone());
    refusals
}

/// Records that the page shows a refused form, for its title: screen readers read that first.
pub fn mark_refusal() {
    if let Some(refusals) = use_context::<Refusals>() {
        refusals.0.store(true, Ordering::Relaxed);
    }
}

/// Sets the status of the page being rendered. Not for server functions called by forms, which need the
/// status of the redirect.
pub fn page_status(status: http::StatusCode) {
    if let Some(response) = use_context::<ResponseOptions>() {
        response.set_status(status);
    }
}

/// Sets the headers of a page whose URL is secret: no referrer, no indexing, no caching.
pub fn set_secret_headers() {
    let Some(response) = use_context::<ResponseOptions>() else {
        return;
    };
    for (name, value) in &SECRET {
        response.insert_header(name.clone(), value.clone());
    }
}

/// The headers of a response whose URL is secret.
pub static SECRET: [(HeaderName, HeaderValue); 3] = [
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        HeaderName::from_static("x-robots-tag"),
        HeaderValue::from_static("noindex, nofollow"),
    ),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

const FLASH_COOKIE: &str = "flash";
const FLASH_SECONDS: u32 = 60;
/// The entries of a form whose sender had to sign in first.
const DRAFT_COOKIE: &str = "draft";
/// Long enough to sign in, also by a mailed link.
const DRAFT_SECONDS: u32 = 30 * 60;
/// Set to detect whether the browser stores cookies.
const PROBE_COOKIE: &str = "cookies";
/// In the query of a page whose form was sent without cookies.
const NO_COOKIES: &str = "cookies=off";

/// Shows a success message on the next page.
pub fn notice(message: impl Into<String>) {
    set_flash(&Flash {
        message: message.into(),
        good: true,
        ..Flash::default()
    });
}

/// Fills in a form of the next page, without a message.
pub fn prefill(form: &str, values: &[(&str, &str)]) {
    set_flash(&Flash {
        form: form.to_owned(),
        good: true,
        values: owned(values),
        ..Flash::default()
    });
}

fn owned(values: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    values.iter().map(owned).collect()
}

/// Sets a cookie, so that [`lacks_cookies`] can detect whether the browser stores cookies.
pub fn expect_cookies() {
    if let Some(response) = use_context::<ResponseOptions>()
        && cookie(&cookie_name(PROBE_COOKIE)).is_none()
        && let Some(probe) = build_cookie(PROBE_COOKIE, "on", None, is_secure())
    {
        response.append_header(SET_COOKIE, probe);
    }
}

/// Whether a browser posted the form without cookies, although the form's page sets one ([`expect_cookies`]).
/// If so, redirects to that page, which explains it. Call it before any effect: without cookies the user
/// cannot be signed in, and a reservation could not be paid. False for programs, which may have no cookies yet.
pub fn lacks_cookies() -> bool {
    let Some(parts) = use_context::<Parts>() else {
        return false;
    };
    let navigates = parts.headers.get("sec-fetch-mode");
    let is_browser = navigates.is_some_and(|mode| mode.as_bytes() == b"navigate");
    if !is_browser || !posted_by_form() || parts.headers.contains_key(COOKIE) {
        return false;
    }
    let page = form_page().unwrap_or_else(|| "/signin".to_owned());
    let page = if page.contains(NO_COOKIES) {
        page
    } else {
        let separator = if page.contains('?') { '&' } else { '?' };
        format!("{page}{separator}{NO_COOKIES}")
    };
    redirect(&page);
    true
}

/// Refuses a form. A browser that posted it natively is redirected to the form's page, with the error and the
/// entries; a script gets the error itself with its status. If the user has to sign in or set up a second
/// factor first, the entries are kept as a draft.
pub fn refuse<T: Default>(form: &str, error: AppError, values: &[(&str, &str)]) -> AppResult<T> {
    if !posted_by_form() {
        page_status(error.status());
        return Err(error);
    }
    let page = form_page();
    let first = match error {
        AppError::SignInRequired => Some(("/signin", SIGNED_OUT)),
        AppError::SecondFactorSetupRequired => Some(("/account/second-factor", SET_UP_FIRST)),
        _ => None,
    };
    if let Some((first, why)) = first {
        let page = page.unwrap_or_else(|| "/".to_owned());
        redirect(&with_next(first, &page));
        if !values.is_empty() {
            keep_draft(form, values, page, why);
        }
        return Ok(T::default());
    }
    refuse_at(page.as_deref().unwrap_or("/"), form, &error, values);
    Ok(T::default())
}

/// Redirects to the form at `path`, which shows the error and the entries.
pub fn refuse_at(path: &str, form: &str, error: &AppError, values: &[(&str, &str)]) {
    set_flash(&Flash {
        form: form.to_owned(),
        message: error.to_string(),
        fields: error.fields().into_owned(),
        values: owned(values),
        ..Flash::default()
    });
    redirect(path);
}

const SIGNED_OUT: &str = "You were signed out, so nothing was saved. Your entries are below: check them and \
     send the form again.";
const SET_UP_FIRST: &str = "You had to set up two-step sign-in first, so nothing was saved. Your entries are \
     below: check them and send the form again.";

fn keep_draft(form: &str, values: &[(&str, &str)], page: String, why: &str) {
    let query = use_context::<Parts>().and_then(|parts| parts.uri.query().map(str::to_owned));
    let draft = Flash {
        form: form.to_owned(),
        message: why.to_owned(),
        good: false,
        fields: Vec::new(),
        values: owned(values),
        page,
        typed_by: query
            .and_then(|query| shown_to_from_query(&query))
            .unwrap_or_default(),
    };
    append_cookie(DRAFT_COOKIE, &draft.encode(), DRAFT_SECONDS);
}

/// Deletes the draft of a form.
pub fn delete_draft() {
    append_cookie(DRAFT_COOKIE, "", 0);
}

/// Takes the draft of a form on this page. Returns `None` if the form was shown to another user: several
/// people may share a browser.
fn take_draft() -> Option<Flash> {
    let viewer = viewer()?;
    let draft = Flash::decode(&cookie(&cookie_name(DRAFT_COOKIE))?)?;
    if draft.page != here() {
        return None;
    }
    delete_draft();
    let is_own = draft.typed_by.is_empty() || draft.typed_by == user_mark(&viewer);
    is_own.then_some(draft)
}

/// Redirects to a valid form and asks the user to review these fields before they send it again. Only for a
/// form that a browser posted natively.
pub fn ask_to_review(form: &str, message: &str, fields: Vec<FieldError>, values: &[(&str, &str)]) {
    set_flash(&Flash {
        form: form.to_owned(),
        message: message.to_owned(),
        good: true,
        fields,
        values: owned(values),
        ..Flash::default()
    });
    redirect_back("/");
}

/// Whether the browser itself, rather than a script, receives the response.
pub fn posted_by_form() -> bool {
    use_context::<Parts>().is_some_and(|parts| {
        parts
            .headers
            .get(ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html"))
    })
}

/// Renames the fields of an error from the API's names to a form's: pairs of both.
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

/// Merges the errors of fields that could not be parsed with those of the other fields, which were checked
/// with placeholders. Each field is named once. Errors of `others` without a field are dropped: placeholders
/// may have caused them.
pub fn merge_errors(
    mut wrong: Vec<FieldError>,
    others: AppResult<()>,
    names: &[(&str, &str)],
) -> AppError {
    if let Err(others) = others {
        let others = at_fields(others, names);
        for other in others.fields().iter() {
            if !wrong.iter().any(|wrong| wrong.field == other.field) && !other.field.is_empty() {
                wrong.push(other.clone());
            }
        }
    }
    AppError::Invalid(wrong)
}

/// Path and query of the page that the request was sent from, if known.
fn form_page() -> Option<String> {
    let parts = use_context::<Parts>()?;
    paths::referring_page(&parts.headers, &site().ok()?.public_url)
}

/// Takes the flash, or the draft, for this page. Returns `None` for a script that fetches the page, so that the
/// flash stays for the page that the browser shows next.
pub fn take_flash() -> Option<Flash> {
    if !posted_by_form() {
        return None;
    }
    let flash = cookie(&cookie_name(FLASH_COOKIE)).and_then(|value| Flash::decode(&value));
    if flash.is_some() {
        append_cookie(FLASH_COOKIE, "", 0);
    }
    match flash {
        // A notice, such as that of signing in, is shown together with the draft.
        Some(notice) if notice.form.is_empty() && notice.good => match take_draft() {
            Some(draft) => Some(Flash {
                message: format!("{} {}", notice.message, draft.message),
                ..draft
            }),
            None => Some(notice),
        },
        Some(flash) => Some(flash),
        None => take_draft().or_else(no_cookies),
    }
}

/// Explains on the form's page that cookies are needed, until the browser sends one.
fn no_cookies() -> Option<Flash> {
    let has_none = use_context::<Parts>().is_some_and(|parts| !parts.headers.contains_key(COOKIE));
    (has_none && here().contains(NO_COOKIES)).then(|| Flash {
        message: "Your browser does not store cookies for this site, so you cannot be signed in. Nothing was \
                  reserved or charged. Allow cookies for this site, reload this page and send the form again."
            .to_owned(),
        ..Flash::default()
    })
}

fn cookie(name: &str) -> Option<String> {
    sent_cookie(&use_context::<Parts>()?.headers, name)
}

/// The value of the first cookie of this name in a request's headers.
pub fn sent_cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(COOKIE).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(Cookie::split_parse)
        .flatten()
        .find(|cookie| cookie.name() == name)
        .map(|cookie| cookie.value().to_owned())
}

fn set_flash(flash: &Flash) {
    append_cookie(FLASH_COOKIE, &flash.clone().encode(), FLASH_SECONDS);
}

/// The flash cookie of a form that middleware refuses, before any server function is called.
pub fn refusal_cookie(form: &str, wrong: FieldError, secure: bool) -> Option<HeaderValue> {
    let flash = Flash {
        form: form.to_owned(),
        message: wrong.message.clone(),
        fields: vec![wrong],
        ..Flash::default()
    };
    build_cookie(FLASH_COOKIE, &flash.encode(), Some(FLASH_SECONDS), secure)
}

/// A cookie that lasts this many seconds, or until the browser is closed.
fn build_cookie(
    name: &str,
    content: &str,
    seconds: Option<u32>,
    secure: bool,
) -> Option<HeaderValue> {
    let cookie = Cookie::build((prefixed(name, secure), content))
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(secure)
        .path("/");
    let cookie = match seconds {
        Some(seconds) => cookie.max_age(Duration::seconds(seconds.into())),
        None => cookie,
    };
    HeaderValue::from_str(&cookie.to_string()).ok()
}

fn append_cookie(name: &str, content: &str, seconds: u32) {
    let response = use_context::<ResponseOptions>();
    let cookie = build_cookie(name, content, Some(seconds), is_secure());
    if let (Some(response), Some(cookie)) = (response, cookie) {
        response.append_header(SET_COOKIE, cookie);
    }
}
