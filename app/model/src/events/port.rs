//! What a browser can ask of events.

use super::{
    City, CreateEvent, Event, EventList, EventQuery, Fit, PlaceAsked, PlaceProposed, UpdateEvent,
};
use crate::ids::EventId;
use crate::{accounts::Viewer, error::AppResult};
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

    /// Whether the viewer created it. False: somebody else did, or there is no such event.
    async fn is_creator(&self, viewer: &Viewer, id: EventId) -> AppResult<bool>;

    /// Events that the viewer created and that are still to come, soonest first.
    async fn created_by(&self, viewer: &Viewer) -> AppResult<Vec<Event>>;

    /// What follows from where an event is: proposals for what was left empty, and what is unusual.
    fn place(&self, asked: PlaceAsked) -> PlaceProposed;

    /// Whether [`Self::create`] would take this, without doing it. Errors: the same.
    async fn check(&self, request: CreateEvent) -> AppResult<()>;

    /// Creates an event. Errors: `Invalid` at the field.
    async fn create(&self, viewer: &Viewer, request: CreateEvent) -> AppResult<Event>;

    /// Changes an event. Errors: `NotFound`, `Forbidden` (not its creator), `Invalid`,
    /// `VersionConflict`.
    async fn update(&self, viewer: &Viewer, id: EventId, request: UpdateEvent) -> AppResult<Event>;
}

/// Pictures of events. Only its creator gives an event one: to others there is no such event.
#[async_trait]
pub trait Pictures: Send + Sync {
    /// Makes a picture of these bytes of whatever kind, of which `fit` is shown, and puts it in the place
    /// of the one before. `expected` is the version that the event must have, if that matters. Errors: `NotFound`,
    /// `EventOver`, `Invalid` at `picture`, `PreconditionFailed`; `VersionConflict` if the event
    /// is changed meanwhile.
    async fn put(
        &self,
        viewer: &Viewer,
        id: EventId,
        bytes: Vec<u8>,
        fit: Fit,
        expected: Option<i64>,
    ) -> AppResult<Event>;

    /// Takes the picture away, of a past event as well; without one, changes nothing. Errors:
    /// `NotFound`, `PreconditionFailed`, `VersionConflict`.
    async fn remove(&self, viewer: &Viewer, id: EventId, expected: Option<i64>)
    -> AppResult<Event>;
}
