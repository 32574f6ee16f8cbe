//! Access to Leptos context for pages and server functions: ports, the viewer, the site's settings, and
//! the flash that a refused form leaves for its page. `app` and `islands` use Leptos context only through
//! this crate.
//!
//! Server functions fetch what they need from here before their first `.await`.

mod flash;
mod paths;

pub use crate::{
    flash::Flash,
    paths::{PAGES, is_page, local_path, on_the_way, own_page, page_in, percent_encode},
};

use crate::paths::{from_page, shown_to_in};
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

/// The address of a form's server function, for a form of this page.
pub fn form_address(path: &str) -> String {
    let viewer = viewer().map(|viewer| mark_of(&viewer));
    from_page(path, &here(), viewer.as_deref())
}

/// Tells users apart: the random half of the id. Not secret, and no proof of anything.
fn mark_of(viewer: &Viewer) -> String {
    let (_, random) = viewer.user.id.0.as_u64_pair();
    format!("{random:016x}")
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

/// Names one attempt at something that must happen once: a form carries it, so that sending the
/// form twice does it once.
pub fn new_attempt() -> String {
    uuid::Uuid::new_v4().to_string()
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

const FLASH_COOKIE: &str = "flash";
const FLASH_SECONDS: u32 = 60;
/// What was typed in a form whose sender was not signed in any more.
const DRAFT_COOKIE: &str = "draft";
/// Long enough to sign in, by a mailed link if need be.
const DRAFT_SECONDS: u32 = 30 * 60;
/// Shows that the browser keeps cookies.
const PROBE_COOKIE: &str = "cookies";
/// In the query of a page whose form came without any cookie.
const NO_COOKIES: &str = "cookies=off";

/// Tells the next page that something was done.
pub fn notice(message: impl Into<String>) {
    set_flash(&Flash {
        message: message.into(),
        good: true,
        ..Flash::default()
    });
}

/// Gives values to a form of the next page, which nothing is wrong with.
pub fn hand_over(form: &str, values: &[(&str, &str)]) {
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

/// Sets a cookie, so that the form of this page can tell whether the browser keeps any.
pub fn expect_cookies() {
    if let Some(response) = use_context::<ResponseOptions>()
        && cookie(&cookie_name(PROBE_COOKIE)).is_none()
        && let Some(probe) = own_cookie(PROBE_COOKIE, "on", None, is_secure())
    {
        response.append_header(SET_COOKIE, probe);
    }
}

/// True if a browser posted the form without any cookie, although the form's page sets one
/// ([`expect_cookies`]). Redirects to that page, which explains it. Call it before anything is done: without
/// a cookie the user cannot be signed in, and a reservation could not be paid. Programs may begin without a cookie.
pub fn lacks_cookies() -> bool {
    let Some(parts) = use_context::<Parts>() else {
        return false;
    };
    let navigates = parts.headers.get("sec-fetch-mode");
    let is_browser = navigates.is_some_and(|mode| mode.as_bytes() == b"navigate");
    if !is_browser || !posted_by_form() || parts.headers.contains_key(COOKIE) {
        return false;
    }
    let page = came_from().unwrap_or_else(|| "/signin".to_owned());
    let page = if page.contains(NO_COOKIES) {
        page
    } else {
        let sign = if page.contains('?') { '&' } else { '?' };
        format!("{page}{sign}{NO_COOKIES}")
    };
    redirect(&page);
    true
}

/// Refuses a form: a browser that posted it natively goes back to the page it came from, with
/// the error and what was typed; a script gets the error itself, with its status. Whoever has to sign in
/// first finds there what they typed once they have.
pub fn refuse<T: Default>(form: &str, error: AppError, values: &[(&str, &str)]) -> AppResult<T> {
    if !posted_by_form() {
        page_status(error.status());
        return Err(error);
    }
    let page = came_from();
    let first = match error {
        AppError::SignInRequired => Some(("/signin", SIGNED_OUT)),
        AppError::SecondFactorSetupRequired => Some(("/account/second-factor", SET_UP_FIRST)),
        _ => None,
    };
    if let Some((first, why)) = first {
        let page = page.unwrap_or_else(|| "/".to_owned());
        redirect(&on_the_way(first, &page));
        if !values.is_empty() {
            keep_draft(form, values, page, why);
        }
        return Ok(T::default());
    }
    refuse_at(page.as_deref().unwrap_or("/"), form, &error, values);
    Ok(T::default())
}

/// Leads a browser to the form at `path`, which says what is wrong.
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
            .and_then(|query| shown_to_in(&query))
            .unwrap_or_default(),
    };
    append_cookie(DRAFT_COOKIE, &draft.write(), DRAFT_SECONDS);
}

/// Deletes what the form of a page has left for after a sign-in.
pub fn drop_draft() {
    append_cookie(DRAFT_COOKIE, "", 0);
}

/// What was typed on this page before signing in, once. Of a form that was shown to another user, nothing:
/// several people may share a browser.
fn take_draft() -> Option<Flash> {
    let viewer = viewer()?;
    let draft = Flash::read(&cookie(&cookie_name(DRAFT_COOKIE))?)?;
    if draft.page != here() {
        return None;
    }
    drop_draft();
    let is_own = draft.typed_by.is_empty() || draft.typed_by == mark_of(&viewer);
    is_own.then_some(draft)
}

/// Goes back to a form that can be sent as it is, so that these fields are checked first. Only for a
/// browser that posted it natively.
pub fn ask(form: &str, message: &str, fields: Vec<FieldError>, values: &[(&str, &str)]) {
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

/// Joins the errors of fields that could not be parsed with the errors of the other fields, which were
/// checked with placeholders. Each field is named once. Errors of `others` without a field are left out:
/// they may be caused by the placeholders.
pub fn all_wrong(
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

/// Path and query of the page that the request came from, if it says so.
fn came_from() -> Option<String> {
    let parts = use_context::<Parts>()?;
    own_page(&parts.headers, &site().ok()?.public_url)
}

/// The message left by the form before, once: reading it takes it away. A script that reads a page
/// leaves it for the page that the browser shows next.
pub fn take_flash() -> Option<Flash> {
    if !posted_by_form() {
        return None;
    }
    let flash = cookie(&cookie_name(FLASH_COOKIE)).and_then(|value| Flash::read(&value));
    if flash.is_some() {
        append_cookie(FLASH_COOKIE, "", 0);
    }
    match flash {
        // What signing in has to say is said above what was typed before.
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

/// What a page says whose form came without a cookie, until there is one.
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

/// The content of the first cookie of this name in the headers of a request.
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
    append_cookie(FLASH_COOKIE, &flash.clone().write(), FLASH_SECONDS);
}

/// The cookie of a refusal that no server function has seen: for whoever answers in its place.
pub fn refusal_cookie(form: &str, wrong: FieldError, secure: bool) -> Option<HeaderValue> {
    let flash = Flash {
        form: form.to_owned(),
        message: wrong.message.clone(),
        fields: vec![wrong],
        ..Flash::default()
    };
    own_cookie(FLASH_COOKIE, &flash.write(), Some(FLASH_SECONDS), secure)
}

/// A cookie for so many seconds, or until the browser is closed.
fn own_cookie(
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
    let cookie = own_cookie(name, content, Some(seconds), is_secure());
    if let (Some(response), Some(cookie)) = (response, cookie) {
        response.append_header(SET_COOKIE, cookie);
    }
}
