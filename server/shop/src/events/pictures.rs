//! Pictures of events: putting them in place and taking them away.
//!
//! Owns the table `pictures`. A picture belongs to one event, and changing it is a change of the
//! event, with its next version.

use super::{
    EventsService,
    develop::{Developed, NotDeveloped, develop},
    store::{self, EventRow},
};
use async_trait::async_trait;
use model::{
    accounts::Viewer,
    error::{AppError, AppResult, Conflict},
    events::{Event, Events, Fit, Pictures},
    ids::{EventId, UserId},
};
use platform::{
    fault::{Fault, FaultResult},
    outbox::{self, EventType},
};

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
