//! Setting and removing the pictures of events.
//!
//! Owns the table `pictures`. A picture belongs to one event; setting or removing it increments the
//! event's version.

use super::{
    EventsService,
    render::{RenderError, Rendered, render},
    store::{self, EventRow},
};
use async_trait::async_trait;
use model::{
    accounts::Viewer,
    error::{AppError, AppResult, Conflict},
    events::{Event, Fit, Pictures},
    ids::EventId,
};
use platform::{
    fault::{Fault, FaultResult},
    outbox::{self, EventType},
};

impl EventsService {
    async fn put_picture(
        &self,
        viewer: &Viewer,
        id: EventId,
        bytes: Vec<u8>,
        fit: Fit,
        expected: Option<i64>,
    ) -> FaultResult<Event> {
        let row = self.find_own_event(viewer, id, expected).await?;
        if row.what.span().is_over(self.clock.now().timestamp()) {
            return Err(Conflict::EventOver.into());
        }
        let rendered = self.render(bytes, fit).await?;
        self.replace_picture(row, Some(rendered), expected).await
    }

    async fn remove_picture(
        &self,
        viewer: &Viewer,
        id: EventId,
        expected: Option<i64>,
    ) -> FaultResult<Event> {
        let row = self.find_own_event(viewer, id, expected).await?;
        if row.picture.is_none() {
            return self.get(id).await;
        }
        self.replace_picture(row, None, expected).await
    }

    /// The viewer's event. Errors: `NotFound` also for another creator's event; `PreconditionFailed` if
    /// its version is not the expected one.
    async fn find_own_event(
        &self,
        viewer: &Viewer,
        id: EventId,
        expected: Option<i64>,
    ) -> FaultResult<EventRow> {
        let row = store::find(self.db.reads(), id).await?;
        let row = row
            .filter(|row| row.creator == viewer.user.id)
            .ok_or(AppError::NotFound)?;
        if expected.is_some_and(|expected| expected != row.version) {
            return Err(AppError::PreconditionFailed.into());
        }
        Ok(row)
    }

    /// Renders one picture at a time, on a blocking thread: it takes much memory and most of a second.
    async fn render(&self, bytes: Vec<u8>, fit: Fit) -> FaultResult<Rendered> {
        let closed = |error| Fault::unexpected("picture rendering was shut down", error);
        let permit = self
            .render_permit
            .clone()
            .acquire_owned()
            .await
            .map_err(closed)?;
        let work = tokio::task::spawn_blocking(move || {
            let _until_done = permit;
            render(&bytes, fit)
        });
        match work.await {
            Ok(Ok(rendered)) => Ok(rendered),
            Ok(Err(RenderError::Invalid(wrong))) => Err(AppError::Invalid(vec![wrong]).into()),
            Ok(Err(error)) => Err(Fault::unexpected("a picture could not be encoded", error)),
            Err(error) => Err(Fault::unexpected("rendering a picture panicked", error)),
        }
    }

    async fn replace_picture(
        &self,
        before: EventRow,
        rendered: Option<Rendered>,
        expected: Option<i64>,
    ) -> FaultResult<Event> {
        let (id, now) = (before.id, self.clock.now());
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let picture = rendered.as_ref().map(|made| made.picture.clone());
                    let row = EventRow { picture, ..before };
                    if !store::set_picture(conn, &row, now).await? {
                        return Err(changed_meanwhile(expected));
                    }
                    store::delete_pictures(conn, id).await?;
                    if let Some(made) = &rendered {
                        for (width, jpeg) in &made.forms {
                            store::insert_picture(conn, id, made.picture.digest(), *width, jpeg)
                                .await?;
                        }
                    }
                    let row = EventRow {
                        version: row.version + 1,
                        ..row
                    };
                    let updated = row.domain_event(EventType::EventUpdated);
                    Ok::<_, Fault>(outbox::append(conn, now, &[updated]).await?)
                })
            })
            .await?;
        self.get(id).await
    }
}

/// The event was changed, or ended, while the picture was rendered.
fn changed_meanwhile(expected: Option<i64>) -> Fault {
    match expected {
        Some(_) => AppError::PreconditionFailed.into(),
        None => Conflict::VersionConflict.into(),
    }
}

#[async_trait]
impl Pictures for EventsService {
    async fn put_picture(
        &self,
        viewer: &Viewer,
        id: EventId,
        bytes: Vec<u8>,
        fit: Fit,
        expected: Option<i64>,
    ) -> AppResult<Event> {
        Ok(self.put_picture(viewer, id, bytes, fit, expected).await?)
    }

    async fn remove_picture(
        &self,
        viewer: &Viewer,
        id: EventId,
        expected: Option<i64>,
    ) -> AppResult<Event> {
        Ok(self.remove_picture(viewer, id, expected).await?)
    }
}
