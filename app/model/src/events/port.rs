//! The ports for events and their pictures.

use super::{
    City, CreateEvent, Event, EventList, EventQuery, Fit, PlaceFields, PlaceProposal, UpdateEvent,
};
use crate::ids::EventId;
use crate::{accounts::Viewer, error::AppResult};
use async_trait::async_trait;

/// The highest number that [`Events::count`] returns.
pub const COUNTED_MAX: i64 = 1000;

/// Anyone may read events; only its creator may change one.
#[async_trait]
pub trait Events: Send + Sync {
    /// Upcoming events, soonest first. Errors: `Invalid` at `cursor` or `limit`.
    async fn list(&self, query: EventQuery) -> AppResult<EventList>;

    /// The number of upcoming events that match, without regard to cursor and limit; at most
    /// [`COUNTED_MAX`].
    async fn count(&self, query: EventQuery) -> AppResult<i64>;

    /// Cities with upcoming events, most events first; at most 24.
    async fn list_cities(&self) -> AppResult<Vec<City>>;

    /// One event, past or upcoming. Errors: `NotFound`.
    async fn get(&self, id: EventId) -> AppResult<Event>;

    /// Whether the viewer created the event. False also if there is no such event.
    async fn is_creator(&self, viewer: &Viewer, id: EventId) -> AppResult<bool>;

    /// Upcoming events that the viewer created, soonest first; at most 100.
    async fn list_own(&self, viewer: &Viewer) -> AppResult<Vec<Event>>;

    /// Proposes values for empty fields, and reports unusual ones.
    fn propose_place(&self, fields: PlaceFields) -> PlaceProposal;

    /// Checks a request without creating the event. Errors: as [`Self::create`].
    async fn check(&self, request: CreateEvent) -> AppResult<()>;

    /// Errors: `Invalid` at the field.
    async fn create(&self, viewer: &Viewer, request: CreateEvent) -> AppResult<Event>;

    /// `expected` is the version of an `If-Match`. Errors: `NotFound`, `Forbidden` (not its creator),
    /// `PreconditionFailed`, `EventOver`, `Invalid`, `VersionConflict`.
    async fn update(
        &self,
        viewer: &Viewer,
        id: EventId,
        request: UpdateEvent,
        expected: Option<i64>,
    ) -> AppResult<Event>;
}

/// Pictures of events. For anyone but the event's creator, all methods return `NotFound`.
#[async_trait]
pub trait Pictures: Send + Sync {
    /// Sets or replaces the picture. `bytes` is the uploaded file; `fit` says which part is shown;
    /// `expected` is the version that the event must have. Errors: `NotFound`, `EventOver`, `Invalid` at
    /// `picture`; `PreconditionFailed`; `VersionConflict` if the event is changed meanwhile.
    async fn put_picture(
        &self,
        viewer: &Viewer,
        id: EventId,
        bytes: Vec<u8>,
        fit: Fit,
        expected: Option<i64>,
    ) -> AppResult<Event>;

    /// Removes the picture, also of a past event. Changes nothing if there is none. Errors: `NotFound`,
    /// `PreconditionFailed`, `VersionConflict`.
    async fn remove_picture(
        &self,
        viewer: &Viewer,
        id: EventId,
        expected: Option<i64>,
    ) -> AppResult<Event>;
}
