//! `/api/events/{id}/waiting-list` and `/api/waiting-list`.

use crate::rest::{ApiError, JsonBody, NoContent, PathId, Problem, SignedIn};
use axum::{Extension, Json, extract::State, http::StatusCode};
use model::{
    accounts::Viewer,
    ids::EventId,
    waiting::{ByLink, JoinWaitingList, Joined, Waiting},
};
use shop::Api;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(join, leave))
        .routes(routes!(confirm))
        .routes(routes!(leave_by_link))
}

/// Requests one mail when there are tickets again. The verified address of the viewer is on the list at once; any
/// other must be confirmed by the link that is mailed to it. The answer does not show whether an address is known.
#[utoipa::path(post, path = "/api/events/{id}/waiting-list", tag = "Waiting list",
    params(("id" = String, Path)), request_body = JoinWaitingList,
    security((), ("session" = [])),
    responses((status = 202, body = Joined), (status = 409, body = Problem)))]
async fn join(
    State(api): State<Api>,
    PathId(event): PathId<EventId>,
    viewer: Option<Extension<Viewer>>,
    JsonBody(request): JsonBody<JoinWaitingList>,
) -> Result<(StatusCode, Json<Joined>), ApiError> {
    let viewer = viewer.map(|Extension(viewer)| viewer);
    let joined = api.waiting.join(viewer.as_ref(), event, request).await?;
    Ok((StatusCode::ACCEPTED, Json(joined)))
}

/// Takes one's own address off the list of an event.
#[utoipa::path(delete, path = "/api/events/{id}/waiting-list", tag = "Waiting list",
    params(("id" = String, Path)),
    security(("session" = [])),
    responses((status = 204)))]
async fn leave(
    State(api): State<Api>,
    PathId(event): PathId<EventId>,
    SignedIn(viewer): SignedIn,
) -> Result<NoContent, ApiError> {
    api.waiting.leave(&viewer, event).await?;
    Ok(NoContent)
}

/// Confirms an address by the token of the link that was mailed to it, or puts it on the list again after it was
/// notified.
#[utoipa::path(post, path = "/api/waiting-list/confirm", tag = "Waiting list", request_body = ByLink,
    responses((status = 200, body = Waiting)))]
async fn confirm(
    State(api): State<Api>,
    JsonBody(request): JsonBody<ByLink>,
) -> Result<Json<Waiting>, ApiError> {
    Ok(Json(api.waiting.confirm(&request.token).await?))
}

/// Takes an address off the list by the token of a mailed link. Twice is fine.
#[utoipa::path(post, path = "/api/waiting-list/leave", tag = "Waiting list", request_body = ByLink,
    responses((status = 204)))]
async fn leave_by_link(
    State(api): State<Api>,
    JsonBody(request): JsonBody<ByLink>,
) -> Result<NoContent, ApiError> {
    api.waiting.leave_by_link(&request.token).await?;
    Ok(NoContent)
}
