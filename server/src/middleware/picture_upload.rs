//! What is different for requests that upload a picture: a larger body, a limited number at once, and
//! refusals that are shown in the form. `events/uploads.rs` counts uploads; `events/pictures.rs`
//! stores pictures.

use super::refusal::refuse;
use app::events::api::{PICTURE_FORM, PutPicture, too_large};
use axum::{
    extract::Request,
    http::{HeaderMap, Method, Uri, header},
    response::{IntoResponse, Redirect, Response},
};
use leptos::server_fn::ServerFn;
use model::{
    error::{AppError, FieldError},
    events::PICTURE_BYTES_MAX,
    ids::UserId,
};
use platform::request;
use shop::events::{UploadSlot, Uploads};

/// The body of a form is read to its end, so that its page can say at the field that the picture is
/// too large. No more of it is kept in memory than a picture may have.
const FORM_BYTES_MAX: usize = 64 * PICTURE_BYTES_MAX;

/// The largest body of a request that uploads a picture to this path; `None` for other paths.
pub(super) fn body_bytes_max(path: &str) -> Option<usize> {
    if path == <PutPicture as ServerFn>::PATH {
        return Some(FORM_BYTES_MAX);
    }
    let event = path.strip_prefix("/api/events/")?;
    event.ends_with("/picture").then_some(PICTURE_BYTES_MAX)
}

/// Counts the request as an upload until the result is dropped, if it uploads a picture. Errors:
/// `TooManyRequests` or `Unavailable`, if there are too many uploads at once.
pub(super) fn enter(
    uploads: &Uploads,
    request: &Request,
    user: Option<UserId>,
) -> Result<Option<UploadSlot>, AppError> {
    let is_upload = matches!(*request.method(), Method::POST | Method::PUT)
        && body_bytes_max(request.uri().path()).is_some();
    is_upload
        .then(|| uploads.acquire(user, request::address()))
        .transpose()
}

/// The form that a picture was sent by, if it was sent by one.
#[derive(Debug, Clone, Default)]
pub(super) struct UploadForm {
    page: Option<String>,
    secure: bool,
}

impl UploadForm {
    /// Reads the form's page from the headers of a request to `path`.
    pub(super) fn new(path: &str, headers: &HeaderMap, public_url: &str) -> Self {
        let is_form = path == <PutPicture as ServerFn>::PATH;
        let accepts = headers.get(header::ACCEPT);
        let accepts_html = accepts.is_some_and(|kinds| {
            let kinds = kinds.to_str().unwrap_or_default();
            kinds.contains("text/html")
        });
        Self {
            page: context::referring_page(headers, public_url).filter(|_| is_form && accepts_html),
            secure: public_url.starts_with("https://"),
        }
    }
}

/// The response to a request that is refused before its body is read to the end. For a form, it
/// redirects to the form's page, which shows the reason at the field.
pub(super) fn refuse_upload(form: &UploadForm, uri: &Uri, error: &AppError) -> Response {
    let redirect = || {
        let page = form.page.as_deref()?;
        let wrong = FieldError::new("picture", reason(error));
        let cookie = context::refusal_cookie(PICTURE_FORM, wrong, form.secure)?;
        let headers = [(header::SET_COOKIE, cookie)];
        Some((headers, Redirect::to(page)).into_response())
    };
    redirect().unwrap_or_else(|| refuse(uri, error))
}

fn reason(error: &AppError) -> String {
    match error {
        AppError::TooLarge => too_large(),
        AppError::TooManyRequests { .. } => {
            "Other pictures of yours are still being uploaded. Upload this one once they are done."
                .into()
        }
        _ => "The file did not arrive in time. Send it again, or use a smaller one.".into(),
    }
}
