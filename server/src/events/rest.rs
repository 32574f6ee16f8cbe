//! `/api/events`.

use crate::rest::{
    Api, ApiError, Created, IfMatch, JsonBody, PathId, Problem, QueryOf, SignedIn, Versioned,
};
use app::{
    error::AppError,
    events::{CreateEvent, Event, EventList, EventQuery, UpdateEvent},
    ids::EventId,
};
use axum::{Json, extract::State};
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of events.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update))
        .routes(routes!(super::stream::stream_event))
}

/// Upcoming events, soonest first.
#[utoipa::path(get, path = "/api/events", tag = "Events", params(EventQuery),
    responses((status = 200, body = EventList), (status = 400, body = Problem)))]
async fn list(
    State(api): State<Api>,
    QueryOf(query): QueryOf<EventQuery>,
) -> Result<Json<EventList>, ApiError> {
    Ok(Json(api.events.list(query).await?))
}

/// Creates an event.
#[utoipa::path(post, path = "/api/events", tag = "Events", request_body = CreateEvent,
    responses((status = 201, body = Event), (status = 400, body = Problem), (status = 401, body = Problem)))]
async fn create(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
    JsonBody(request): JsonBody<CreateEvent>,
) -> Result<Created<Event>, ApiError> {
    Ok(Created(api.events.create(&viewer, request).await?))
}

/// One event.
#[utoipa::path(get, path = "/api/events/{id}", tag = "Events", params(("id" = String, Path)),
    responses((status = 200, body = Event), (status = 404, body = Problem)))]
async fn get(
    State(api): State<Api>,
    PathId(id): PathId<EventId>,
) -> Result<Versioned<Event>, ApiError> {
    let event = api.events.get(id).await?;
    let version = event.version;
    Ok(Versioned(event, version))
}

/// Changes an event. Only its creator can.
#[utoipa::path(put, path = "/api/events/{id}", tag = "Events", params(("id" = String, Path)),
    request_body = UpdateEvent,
    responses((status = 200, body = Event), (status = 403, body = Problem), (status = 409, body = Problem)))]
async fn update(
    State(api): State<Api>,
    PathId(id): PathId<EventId>,
    SignedIn(viewer): SignedIn,
    IfMatch(expected): IfMatch,
    JsonBody(request): JsonBody<UpdateEvent>,
) -> Result<Versioned<Event>, ApiError> {
    if expected.is_some_and(|expected| expected != request.version) {
        return Err(AppError::PreconditionFailed.into());
    }
    let event = api.events.update(&viewer, id, request).await?;
    let version = event.version;
    Ok(Versioned(event, version))
}
