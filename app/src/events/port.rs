//! What a browser can ask of events.

use super::{City, CreateEvent, Event, EventList, EventQuery, UpdateEvent};
use crate::{accounts::Viewer, error::AppResult, ids::EventId};
use async_trait::async_trait;

/// Where counting ends.
pub const COUNTED_MAX: i64 = 1000;

/// The catalogue. Anybody reads it; only its creator changes an event.
#[async_trait]
pub trait Events: Send + Sync {
    /// Upcoming events, soonest first. Errors: `Invalid` at `cursor` or `limit`.
    async fn list(&self, query: EventQuery) -> AppResult<EventList>;

    /// How many upcoming events the query finds, whatever its cursor; no more than
    /// [`COUNTED_MAX`] are counted.
    async fn count(&self, query: EventQuery) -> AppResult<i64>;

    /// Cities with upcoming events, busiest first; at most 24.
    async fn cities(&self) -> AppResult<Vec<City>>;

    /// One event, past or upcoming. Errors: `NotFound`.
    async fn get(&self, id: EventId) -> AppResult<Event>;

    /// Events that the viewer created and that are still to come, soonest first.
    async fn created_by(&self, viewer: &Viewer) -> AppResult<Vec<Event>>;

    /// Creates an event. Errors: `Invalid` at the field.
    async fn create(&self, viewer: &Viewer, request: CreateEvent) -> AppResult<Event>;

    /// Changes an event. Errors: `NotFound`, `Forbidden` (not its creator), `Invalid`,
    /// `VersionConflict`.
    async fn update(&self, viewer: &Viewer, id: EventId, request: UpdateEvent) -> AppResult<Event>;
}
