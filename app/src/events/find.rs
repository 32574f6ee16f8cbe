//! Finding the event that an address names.

use model::{
    accounts::Viewer,
    error::{AppError, AppResult},
    events::{Event, Events},
    ids::EventId,
};
use std::sync::Arc;

/// The event that a path or a query names.
pub async fn find(events: &Arc<dyn Events>, id: &str) -> AppResult<Event> {
    let id: EventId = id.parse().map_err(|_| AppError::NotFound)?;
    events.get(id).await
}

/// The event that a path names. Errors: `NotFound`, also if it is not the viewer's own.
pub async fn find_own(viewer: &Viewer, id: &str) -> AppResult<Event> {
    let events = context::port::<dyn Events>()?;
    let event = find(&events, id).await?;
    if events.is_creator(viewer, event.id).await? {
        Ok(event)
    } else {
        Err(AppError::NotFound)
    }
}
