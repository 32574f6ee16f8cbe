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
    outbox::{self, EventType},
};
use async_trait::async_trait;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use model::{
    accounts::Viewer,
    error::{AppError, AppResult, Conflict},
    events::{Event, Events, Fit, Picture, Pictures},
    ids::{EventId, UserId},
};

/// Unchanging for a year, which is as long as "for ever" gets.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

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
            let error = error.unwrap_or(AppError::NotFound);
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            (error.status(), headers, format!("{error}\n")).into_response()
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
