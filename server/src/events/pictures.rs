//! Pictures of events: putting them in place, taking them away, and `/pictures`.
//!
//! Owns the table `pictures`. A picture belongs to one event, and changing it is a change of the
//! event, with its next version. What is behind an address never changes, so browsers keep it.

use super::{
    EventsService,
    develop::{Developed, NotDeveloped, develop},
    store::{self, EventRow},
};
use crate::{
    db::Db,
    fault::{Fault, FaultResult},
    guard::refuse,
    outbox::{self, EventType},
};
use app::events::api::{PICTURE_FORM, PutPicture, too_large};
use async_trait::async_trait;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, Uri, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use leptos::server_fn::ServerFn;
use model::{
    accounts::Viewer,
    error::{AppError, AppResult, Conflict, FieldError},
    events::{Event, Events, Fit, PICTURE_BYTES_MAX, Picture, Pictures},
    ids::{EventId, UserId},
};

/// A form is read to its end, so that its sender can be told at the field that a picture is too large.
/// No more is kept of it than a picture may have.
const FORM_BYTES_MAX: usize = 64 * PICTURE_BYTES_MAX;
/// Unchanging for a year, which is as long as "for ever" gets.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// How long a body may be that brings a picture to this path; nothing for other paths.
pub fn body_bytes_max(path: &str) -> Option<usize> {
    if path == <PutPicture as ServerFn>::PATH {
        return Some(FORM_BYTES_MAX);
    }
    let event = path.strip_prefix("/api/events/")?;
    event.ends_with("/picture").then_some(PICTURE_BYTES_MAX)
}

/// Refuses a picture that was not read to its end. Who sent it by a form goes back to the form's page
/// and finds the reason at its field.
pub fn refuse_upload(from: &UploadForm, uri: &Uri, error: &AppError) -> Response {
    let cookie = || {
        let page = from.page.as_deref()?;
        let wrong = FieldError::new("picture", in_words(error));
        let cookie = context::refusal_cookie(PICTURE_FORM, wrong, from.secure)?;
        let headers = [(header::SET_COOKIE, cookie)];
        Some((headers, Redirect::to(page)).into_response())
    };
    cookie().unwrap_or_else(|| refuse(uri, error))
}

/// Where a picture was sent from.
#[derive(Debug, Clone, Default)]
pub struct UploadForm {
    page: Option<String>,
    secure: bool,
}

impl UploadForm {
    /// By these headers of a request to `path`.
    pub fn new(path: &str, headers: &HeaderMap, public_url: &str) -> Self {
        let is_form = path == <PutPicture as ServerFn>::PATH;
        let accepts = headers.get(header::ACCEPT);
        let shows = accepts.is_some_and(|kinds| {
            let kinds = kinds.to_str().unwrap_or_default();
            kinds.contains("text/html")
        });
        Self {
            page: context::own_page(headers, public_url).filter(|_| is_form && shows),
            secure: public_url.starts_with("https://"),
        }
    }
}

fn in_words(error: &AppError) -> String {
    match error {
        AppError::TooLarge => too_large(),
        AppError::TooManyRequests { .. } => {
            "Other pictures of yours are still being uploaded. Upload this one once they are done."
                .into()
        }
        _ => "The file did not arrive in time. Send it again, or use a smaller one.".into(),
    }
}

/// `/pictures/…`. Asks for no session.
pub fn routes(db: Db) -> Router {
    Router::new()
        .route("/pictures/{digest}/{file}", get(show))
        .with_state(db)
}

async fn show(State(db): State<Db>, uri: Uri) -> Response {
    let found = match uri.path().parse::<Picture>() {
        Ok(form) => store::picture_bytes(db.reads(), &form).await,
        Err(_) => Ok(None),
    };
    let mut headers = HeaderMap::new();
    match found {
        Ok(Some(bytes)) => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
            headers.insert(header::CACHE_CONTROL, FOR_EVER);
            // Anybody may show what an event looks like.
            let anybody = HeaderValue::from_static("cross-origin");
            headers.insert("cross-origin-resource-policy", anybody);
            (headers, bytes).into_response()
        }
        other => {
            let error = other.err().map(Fault::from).map(AppError::from);
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            let refused = refuse(&uri, &error.unwrap_or(AppError::NotFound));
            (headers, refused).into_response()
        }
    }
}

impl EventsService {
    async fn put_picture(
        &self,
        viewer: UserId,
        id: EventId,
        bytes: Vec<u8>,
        fit: Fit,
        expected: Option<i64>,
    ) -> FaultResult<Event> {
        let row = self.own_event(viewer, id, expected).await?;
        if row.what.span().is_over(self.clock.now().timestamp()) {
            return Err(Conflict::EventOver.into());
        }
        let developed = self.developed(bytes, fit).await?;
        self.replace_picture(row, Some(developed), expected).await
    }

    async fn remove_picture(
        &self,
        viewer: UserId,
        id: EventId,
        expected: Option<i64>,
    ) -> FaultResult<Event> {
        let row = self.own_event(viewer, id, expected).await?;
        if row.picture.is_none() {
            return Ok(self.get(id).await?);
        }
        self.replace_picture(row, None, expected).await
    }

    async fn own_event(
        &self,
        viewer: UserId,
        id: EventId,
        expected: Option<i64>,
    ) -> FaultResult<EventRow> {
        let row = store::event_find(self.db.reads(), id).await?;
        let row = row
            .filter(|row| row.creator == viewer)
            .ok_or(AppError::NotFound)?;
        if expected.is_some_and(|expected| expected != row.version) {
            return Err(AppError::PreconditionFailed.into());
        }
        Ok(row)
    }

    /// One at a time, and away from what answers requests: opening a picture takes much memory and
    /// most of a second.
    async fn developed(&self, bytes: Vec<u8>, fit: Fit) -> FaultResult<Developed> {
        let closed = |error| Fault::unexpected("pictures are no longer developed", error);
        let turn = self
            .darkroom
            .clone()
            .acquire_owned()
            .await
            .map_err(closed)?;
        let work = tokio::task::spawn_blocking(move || {
            let _until_done = turn;
            develop(&bytes, fit)
        });
        match work.await {
            Ok(Ok(developed)) => Ok(developed),
            Ok(Err(NotDeveloped::Wrong(wrong))) => Err(AppError::Invalid(vec![wrong]).into()),
            Ok(Err(error)) => Err(Fault::unexpected("a picture could not be made", error)),
            Err(error) => Err(Fault::unexpected("a picture broke what opens it", error)),
        }
    }

    async fn replace_picture(
        &self,
        before: EventRow,
        developed: Option<Developed>,
        expected: Option<i64>,
    ) -> FaultResult<Event> {
        let (id, now) = (before.id, self.clock.now());
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let picture = developed.as_ref().map(|made| made.picture.clone());
                    let row = EventRow { picture, ..before };
                    if !store::event_set_picture(conn, &row, now).await? {
                        return Err(lost(expected));
                    }
                    store::pictures_delete(conn, id).await?;
                    if let Some(made) = &developed {
                        for (width, jpeg) in &made.forms {
                            store::picture_insert(conn, id, made.picture.digest(), *width, jpeg)
                                .await?;
                        }
                    }
                    let row = EventRow {
                        version: row.version + 1,
                        ..row
                    };
                    let told = [row.told(EventType::EventUpdated)];
                    Ok::<_, Fault>(outbox::append(conn, now, &told).await?)
                })
            })
            .await?;
        Ok(self.get(id).await?)
    }
}

/// The event was changed, or is over, while the picture was made.
fn lost(expected: Option<i64>) -> Fault {
    match expected {
        Some(_) => AppError::PreconditionFailed.into(),
        None => Conflict::VersionConflict.into(),
    }
}

#[async_trait]
impl Pictures for EventsService {
    async fn put(
        &self,
        viewer: &Viewer,
        id: EventId,
        bytes: Vec<u8>,
        fit: Fit,
        expected: Option<i64>,
    ) -> AppResult<Event> {
        Ok(self
            .put_picture(viewer.user.id, id, bytes, fit, expected)
            .await?)
    }

    async fn remove(
        &self,
        viewer: &Viewer,
        id: EventId,
        expected: Option<i64>,
    ) -> AppResult<Event> {
        Ok(self.remove_picture(viewer.user.id, id, expected).await?)
    }
}
