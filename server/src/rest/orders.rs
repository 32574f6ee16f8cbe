//! `/api/orders`.

use crate::rest::{
    ApiError, Created, IfMatch, JsonBody, NoContent, PathId, Problem, QueryOf, SignedIn, Versioned,
    attempts::Attempt,
};
use axum::{Json, extract::State};
use model::{
    error::{AppError, FieldError},
    ids::{EventId, OrderId, TicketId},
    orders::{Order, OrderList, OrderQuery, Reserve, ReserveAny, ReserveNamed, Timeline},
};
use serde::Deserialize;
use shop::Api;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of orders.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, reserve))
        .routes(routes!(get, cancel))
        .routes(routes!(get_timeline))
        .routes(routes!(extend_hold))
}

/// The body of a reservation: both forms of [`Reserve`] in one struct, so that errors name a field.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReserveBody {
    #[serde(default)]
    ticket_ids: Option<Vec<TicketId>>,
    #[serde(default)]
    event_id: Option<EventId>,
    #[serde(default)]
    quantity: Option<i64>,
    #[serde(default)]
    section: Option<String>,
    #[serde(default)]
    max_price_minor: Option<i64>,
}

impl TryFrom<ReserveBody> for Reserve {
    type Error = AppError;

    fn try_from(body: ReserveBody) -> Result<Self, AppError> {
        let missing = |field| FieldError::new(field, "This is missing.");
        match (body.ticket_ids, body.event_id, body.quantity) {
            (Some(ticket_ids), None, None) => {
                if body.section.is_some() || body.max_price_minor.is_some() {
                    let message = "Name tickets, or say what any of them must be like.";
                    return Err(AppError::invalid("ticketIds", message));
                }
                Ok(Self::Named(ReserveNamed { ticket_ids }))
            }
            (Some(_), ..) => Err(AppError::invalid("ticketIds", "Name tickets, or an event.")),
            (None, Some(event_id), Some(quantity)) => Ok(Self::Any(ReserveAny {
                event_id,
                quantity,
                section: body.section,
                max_price_minor: body.max_price_minor,
                offer: None,
            })),
            (None, Some(_), None) => Err(AppError::Invalid(vec![missing("quantity")])),
            (None, None, Some(_)) => Err(AppError::Invalid(vec![missing("eventId")])),
            (None, None, None) => Err(AppError::Invalid(vec![missing("ticketIds")])),
        }
    }
}

/// Own orders, newest first.
#[utoipa::path(get, path = "/api/orders", tag = "Orders", params(OrderQuery),
    security(("session" = [])),
    responses((status = 200, body = OrderList)))]
async fn list(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
    QueryOf(query): QueryOf<OrderQuery>,
) -> Result<Json<OrderList>, ApiError> {
    Ok(Json(api.orders.list(&viewer, query).await?))
}

/// Reserves tickets, all or nothing.
#[utoipa::path(post, path = "/api/orders", tag = "Orders", request_body = Reserve,
    security(("session" = [])),
    responses((status = 201, body = Order), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn reserve(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
    Attempt(attempt): Attempt,
    JsonBody(body): JsonBody<ReserveBody>,
) -> Result<Created<Versioned<Order>>, ApiError> {
    let request = Reserve::try_from(body)?;
    let order = api.orders.reserve(&viewer, request, attempt.as_deref());
    Ok(Created(Versioned(order.await?)))
}

/// One's own order.
#[utoipa::path(get, path = "/api/orders/{id}", tag = "Orders", params(("id" = String, Path)),
    security(("session" = [])),
    responses((status = 200, body = Order)))]
async fn get(
    State(api): State<Api>,
    PathId(id): PathId<OrderId>,
    SignedIn(viewer): SignedIn,
) -> Result<Versioned<Order>, ApiError> {
    Ok(Versioned(api.orders.get(&viewer, id).await?))
}

/// What has happened to one's own order, oldest first.
#[utoipa::path(get, operation_id = "timeline", path = "/api/orders/{id}/timeline", tag = "Orders",
    params(("id" = String, Path)),
    security(("session" = [])),
    responses((status = 200, body = Timeline)))]
async fn get_timeline(
    State(api): State<Api>,
    PathId(id): PathId<OrderId>,
    SignedIn(viewer): SignedIn,
) -> Result<Json<Timeline>, ApiError> {
    Ok(Json(api.history.get_timeline(&viewer, id).await?))
}

/// Gives the tickets back.
#[utoipa::path(delete, path = "/api/orders/{id}", tag = "Orders", params(("id" = String, Path), IfMatch),
    security(("session" = [])),
    responses((status = 204), (status = 409, body = Problem)))]
async fn cancel(
    State(api): State<Api>,
    PathId(id): PathId<OrderId>,
    SignedIn(viewer): SignedIn,
    IfMatch(expected): IfMatch,
) -> Result<NoContent, ApiError> {
    api.orders.cancel(&viewer, id, expected).await?;
    Ok(NoContent)
}

/// Holds the tickets for `moreTimeSeconds` longer: once, in the last so many seconds of the hold.
#[utoipa::path(post, operation_id = "more_time", path = "/api/orders/{id}/more-time", tag = "Orders",
    params(("id" = String, Path)),
    security(("session" = [])),
    responses((status = 200, body = Order), (status = 409, body = Problem)))]
async fn extend_hold(
    State(api): State<Api>,
    PathId(id): PathId<OrderId>,
    SignedIn(viewer): SignedIn,
) -> Result<Json<Order>, ApiError> {
    Ok(Json(api.orders.extend_hold(&viewer, id).await?))
}
