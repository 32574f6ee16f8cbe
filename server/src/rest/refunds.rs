//! `/api/refunds`, and what sellers are owed.

use crate::rest::{ApiError, Created, JsonBody, PathId, Problem, SignedIn};
use axum::{Json, extract::State};
use model::{
    ids::{OrderId, RefundId},
    refunds::{CreateRefund, OwedList, Refund, RefundList},
};
use shop::Api;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of refunds.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(get))
        .routes(routes!(list_for_order))
        .routes(routes!(list_owed))
}

/// Pays sold tickets back: for their seller, or an operator. It may still be `pending` in the
/// answer; ask `GET /api/refunds/{id}`.
#[utoipa::path(post, path = "/api/refunds", tag = "Refunds", operation_id = "ask", request_body = CreateRefund,
    security(("session" = [])),
    responses((status = 201, body = Refund), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn create(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
    JsonBody(request): JsonBody<CreateRefund>,
) -> Result<Created<Json<Refund>>, ApiError> {
    Ok(Created(Json(api.refunds.create(&viewer, request).await?)))
}

/// One refund, for its buyer and for who may refund.
#[utoipa::path(get, path = "/api/refunds/{id}", tag = "Refunds", params(("id" = String, Path)),
    security(("session" = [])),
    responses((status = 200, body = Refund)))]
async fn get(
    State(api): State<Api>,
    PathId(id): PathId<RefundId>,
    SignedIn(viewer): SignedIn,
) -> Result<Json<Refund>, ApiError> {
    Ok(Json(api.refunds.get(&viewer, id).await?))
}

/// The refunds of one's own order, oldest first.
#[utoipa::path(get, path = "/api/orders/{id}/refunds", tag = "Refunds", operation_id = "of_order", params(("id" = String, Path)),
    security(("session" = [])),
    responses((status = 200, body = RefundList)))]
async fn list_for_order(
    State(api): State<Api>,
    PathId(id): PathId<OrderId>,
    SignedIn(viewer): SignedIn,
) -> Result<Json<RefundList>, ApiError> {
    let refunds = api.refunds.list_for_order(&viewer, id).await?;
    Ok(Json(RefundList { refunds }))
}

/// What one is owed for what one has sold.
#[utoipa::path(get, path = "/api/user/owed", tag = "Refunds", operation_id = "owed",
    security(("session" = [])),
    responses((status = 200, body = OwedList)))]
async fn list_owed(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
) -> Result<Json<OwedList>, ApiError> {
    let owed = api.refunds.list_owed(&viewer).await?;
    Ok(Json(OwedList { owed }))
}
