//! Loads the event that a URL names.

use model::{
    accounts::Viewer,
    error::{AppError, AppResult},
    events::{Event, Events},
    ids::EventId,
};
use std::sync::Arc;

/// `id` is from a path or query. Errors: `NotFound`, also if `id` is malformed.
pub async fn find(events: &Arc<dyn Events>, id: &str) -> AppResult<Event> {
    let id: EventId = id.parse().map_err(|_| AppError::NotFound)?;
    events.get(id).await
}

/// Errors: `NotFound`, also if the viewer did not create the event.
pub async fn find_own(viewer: &Viewer, id: &str) -> AppResult<Event> {
    let events = context::port::<dyn Events>()?;
    let event = find(&events, id).await?;
    if events.is_creator(viewer, event.id).await? {
        Ok(event)
    } else {
        Err(AppError::NotFound)
    }
}
