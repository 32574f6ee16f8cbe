//! `/api/tickets`.

use crate::rest::{
    ApiError, Created, IfMatch, JsonBody, NoContent, PathId, Problem, QueryOf, SignedIn, Versioned,
    attempts::Attempt,
};
use axum::{Extension, Json, extract::State};
use model::{
    accounts::Viewer,
    error::AppError,
    ids::TicketId,
    tickets::{EditTicket, ListBatch, ListTicket, Listed, Ticket, TicketList, TicketQuery},
};
use shop::Api;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, put_on_sale))
        .routes(routes!(put_batch_on_sale))
        .routes(routes!(get, edit, withdraw))
}

/// Tickets: of an event cheapest first, otherwise newest first.
#[utoipa::path(get, path = "/api/tickets", tag = "Tickets", params(TicketQuery),
    security((), ("session" = [])),
    responses((status = 200, body = TicketList),
        (status = 401, description = "Who is not signed in has no tickets for sale: `sellerId` is `me`.")))]
async fn list(
    State(api): State<Api>,
    viewer: Option<Extension<Viewer>>,
    QueryOf(query): QueryOf<TicketQuery>,
) -> Result<Json<TicketList>, ApiError> {
    let viewer = viewer.map(|Extension(viewer)| viewer);
    Ok(Json(api.tickets.list(viewer.as_ref(), query).await?))
}

/// Lists one ticket.
#[utoipa::path(post, operation_id = "create", path = "/api/tickets", tag = "Tickets", request_body = ListTicket,
    security(("session" = [])),
    responses((status = 201, body = Ticket), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn put_on_sale(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
    Attempt(attempt): Attempt,
    JsonBody(request): JsonBody<ListTicket>,
) -> Result<Created<Versioned<Ticket>>, ApiError> {
    let tickets = &api.tickets;
    let listed = tickets.put_on_sale(&viewer, request, 1, attempt.as_deref());
    let listed = listed.await?;
    let id = *listed.ticket_ids.first().ok_or(AppError::NotFound)?;
    Ok(Created(Versioned(api.tickets.get(id).await?)))
}

/// Lists up to 10 000 tickets that are alike, all or nothing.
#[utoipa::path(post, operation_id = "create_batch", path = "/api/tickets/batch", tag = "Tickets", request_body = ListBatch,
    security(("session" = [])),
    responses((status = 201, body = Listed), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn put_batch_on_sale(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
    Attempt(attempt): Attempt,
    JsonBody(batch): JsonBody<ListBatch>,
) -> Result<Created<Json<Listed>>, ApiError> {
    let request = ListTicket {
        event_id: batch.event_id,
        price_minor: batch.price_minor,
        face_value_minor: batch.face_value_minor,
        section: batch.section,
        row: None,
        seat: None,
    };
    let listed = api
        .tickets
        .put_on_sale(&viewer, request, batch.quantity, attempt.as_deref())
        .await?;
    Ok(Created(Json(listed)))
}

/// One ticket.
#[utoipa::path(get, path = "/api/tickets/{id}", tag = "Tickets", params(("id" = String, Path)),
    responses((status = 200, body = Ticket)))]
async fn get(
    State(api): State<Api>,
    PathId(id): PathId<TicketId>,
) -> Result<Versioned<Ticket>, ApiError> {
    Ok(Versioned(api.tickets.get(id).await?))
}

/// Changes price or seat of a ticket that is not held.
#[utoipa::path(put, path = "/api/tickets/{id}", tag = "Tickets", params(("id" = String, Path), IfMatch),
    request_body = EditTicket,
    security(("session" = [])),
    responses((status = 200, body = Ticket), (status = 409, body = Problem)))]
async fn edit(
    State(api): State<Api>,
    PathId(id): PathId<TicketId>,
    SignedIn(viewer): SignedIn,
    IfMatch(expected): IfMatch,
    JsonBody(request): JsonBody<EditTicket>,
) -> Result<Versioned<Ticket>, ApiError> {
    let ticket = api.tickets.edit(&viewer, id, request, expected).await?;
    Ok(Versioned(ticket))
}

/// Withdraws a listing that is not held.
#[utoipa::path(delete, path = "/api/tickets/{id}", tag = "Tickets", params(("id" = String, Path), IfMatch),
    security(("session" = [])),
    responses((status = 204), (status = 409, body = Problem)))]
async fn withdraw(
    State(api): State<Api>,
    PathId(id): PathId<TicketId>,
    SignedIn(viewer): SignedIn,
    IfMatch(expected): IfMatch,
) -> Result<NoContent, ApiError> {
    api.tickets.withdraw(&viewer, id, expected).await?;
    Ok(NoContent)
}
