//! The routes under `/api/passes`.

use crate::rest::{ApiError, JsonBody, PathId, Problem, SignedIn};
use axum::{Json, extract::State};
use model::{
    ids::OrderId,
    passes::{CheckPass, CheckedPass, OrderPass, OrderPasses, PassKeys},
};
use shop::Api;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_for_order))
        .routes(routes!(list_keys))
        .routes(routes!(check))
}

/// The passes of one's own paid order: those of tickets that are still one's own.
#[utoipa::path(get, operation_id = "of_order", path = "/api/orders/{id}/passes", tag = "Passes", params(("id" = String, Path)),
    security(("session" = [])),
    responses((status = 200, body = OrderPasses)))]
async fn list_for_order(
    State(api): State<Api>,
    PathId(id): PathId<OrderId>,
    SignedIn(viewer): SignedIn,
) -> Result<Json<OrderPasses>, ApiError> {
    let passes = api.passes.list_for_order(&viewer, id).await?.into_iter();
    let passes = passes.map(|pass| OrderPass {
        ticket_id: pass.ticket,
        label: pass.label,
        pass: pass.text,
    });
    Ok(Json(OrderPasses {
        passes: passes.collect(),
    }))
}

/// The public keys that passes can be checked with, without asking here: a JSON Web Key Set.
#[utoipa::path(get, operation_id = "keys", path = "/api/passes/keys", tag = "Passes",
    responses((status = 200, body = PassKeys)))]
async fn list_keys(State(api): State<Api>) -> Result<Json<PassKeys>, ApiError> {
    Ok(Json(api.passes.list_keys().await?))
}

/// How a pass stands this moment: for the ticket's seller, the event's creator and operators.
/// Checking a pass changes nothing.
#[utoipa::path(post, path = "/api/passes/check", tag = "Passes", request_body = CheckPass,
    security(("session" = [])),
    responses((status = 200, body = CheckedPass), (status = 403, body = Problem)))]
async fn check(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
    JsonBody(request): JsonBody<CheckPass>,
) -> Result<Json<CheckedPass>, ApiError> {
    Ok(Json(api.passes.check(&viewer, &request.pass).await?))
}
