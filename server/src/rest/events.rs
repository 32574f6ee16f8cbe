//! `/api/events`.

use crate::rest::{
    ApiError, Created, IfMatch, JsonBody, NoContent, PathId, Problem, QueryOf, SignedIn, Versioned,
    read_body,
};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, header},
};
use model::{
    error::AppError,
    events::{CreateEvent, Event, EventList, EventQuery, PictureQuery, UpdateEvent},
    ids::EventId,
};
use shop::Api;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update))
        .routes(routes!(put_picture, remove_picture))
        .routes(routes!(super::event_stream::stream_event))
}

/// Upcoming events, soonest first.
#[utoipa::path(get, path = "/api/events", tag = "Events", params(EventQuery),
    responses((status = 200, body = EventList)))]
async fn list(
    State(api): State<Api>,
    QueryOf(query): QueryOf<EventQuery>,
) -> Result<Json<EventList>, ApiError> {
    Ok(Json(api.events.list(query).await?))
}

/// Creates an event.
#[utoipa::path(post, path = "/api/events", tag = "Events", request_body = CreateEvent,
    security(("session" = [])),
    responses((status = 201, body = Event)))]
async fn create(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
    JsonBody(request): JsonBody<CreateEvent>,
) -> Result<Created<Versioned<Event>>, ApiError> {
    Ok(Created(Versioned(
        api.events.create(&viewer, request).await?,
    )))
}

/// One event.
#[utoipa::path(get, path = "/api/events/{id}", tag = "Events", params(("id" = String, Path)),
    responses((status = 200, body = Event)))]
async fn get(
    State(api): State<Api>,
    PathId(id): PathId<EventId>,
) -> Result<Versioned<Event>, ApiError> {
    Ok(Versioned(api.events.get(id).await?))
}

/// Changes an event. Only its creator can, until it is over. Where its title, time or place changes, the
/// buyers of its tickets are mailed a few minutes later.
#[utoipa::path(put, path = "/api/events/{id}", tag = "Events", params(("id" = String, Path), IfMatch),
    request_body = UpdateEvent,
    security(("session" = [])),
    responses((status = 200, body = Event), (status = 403, body = Problem), (status = 409, body = Problem)))]
async fn update(
    State(api): State<Api>,
    PathId(id): PathId<EventId>,
    SignedIn(viewer): SignedIn,
    IfMatch(expected): IfMatch,
    JsonBody(request): JsonBody<UpdateEvent>,
) -> Result<Versioned<Event>, ApiError> {
    let event = api.events.update(&viewer, id, request, expected).await?;
    Ok(Versioned(event))
}

/// Gives an event a picture: JPEG, PNG or WebP, of up to 8 MiB and 40 megapixels, at least 480 by
/// 300. It is turned upright, cut to 8 by 5 as `fit` says and kept without whatever else is in the
/// file. Only the event's creator can, and until it is over.
#[utoipa::path(put, path = "/api/events/{id}/picture", tag = "Events",
    params(("id" = String, Path), PictureQuery, IfMatch),
    request_body(content = [u8], content_type = "image/*"),
    security(("session" = [])),
    responses((status = 200, body = Event), (status = 409, body = Problem)))]
async fn put_picture(
    State(api): State<Api>,
    PathId(id): PathId<EventId>,
    SignedIn(viewer): SignedIn,
    QueryOf(query): QueryOf<PictureQuery>,
    IfMatch(expected): IfMatch,
    headers: HeaderMap,
    body: Body,
) -> Result<Versioned<Event>, ApiError> {
    // The service determines the format from the first bytes.
    let is_picture = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"image/"));
    if !is_picture {
        let message = "Send a picture, with Content-Type: image/jpeg, image/png or image/webp.";
        return Err(AppError::invalid("", message).into());
    }
    let bytes = read_body(body).await?;
    let fit = query.fit.unwrap_or_default();
    let event = api
        .pictures
        .put_picture(&viewer, id, bytes, fit, expected)
        .await?;
    Ok(Versioned(event))
}

/// Takes an event's picture away. Only its creator can.
#[utoipa::path(delete, path = "/api/events/{id}/picture", tag = "Events", params(("id" = String, Path), IfMatch),
    security(("session" = [])),
    responses((status = 204), (status = 409, body = Problem)))]
async fn remove_picture(
    State(api): State<Api>,
    PathId(id): PathId<EventId>,
    SignedIn(viewer): SignedIn,
    IfMatch(expected): IfMatch,
) -> Result<NoContent, ApiError> {
    api.pictures.remove_picture(&viewer, id, expected).await?;
    Ok(NoContent)
}
