//! `/api/selling`, and sales as CSV: `/api/tickets/sales.csv`, `/selling/sales.csv`.

use crate::rest::{ApiError, JsonBody, Problem, QueryOf, SignedIn};
use axum::{
    Extension, Json, Router,
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use futures::stream;
use model::{
    accounts::Viewer,
    error::AppError,
    selling::{
        Changed, GroupQuery, Reprice, Sale, SaleGroups, SalesByDay, Selling, WithdrawUnsold,
    },
};
use shop::Api;
use shop::selling::csv;
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_groups))
        .routes(routes!(list_sales_by_day))
        .routes(routes!(reprice))
        .routes(routes!(withdraw_unsold))
        .routes(routes!(download_sales))
}

/// The CSV file for pages: redirects to the sign-in page without a session.
pub fn downloads() -> Router<Api> {
    Router::new().route("/selling/sales.csv", get(download_sales_or_sign_in))
}

/// One's own listings and sales by event, ten at a time.
#[utoipa::path(get, operation_id = "groups", path = "/api/selling", tag = "Selling", params(GroupQuery),
    security(("session" = [])),
    responses((status = 200, body = SaleGroups)))]
async fn list_groups(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
    QueryOf(query): QueryOf<GroupQuery>,
) -> Result<Json<SaleGroups>, ApiError> {
    Ok(Json(api.selling.list_groups(&viewer, query).await?))
}

/// What one sold on each of the last 30 days of UTC, without what was refunded since.
#[utoipa::path(get, operation_id = "by_day", path = "/api/selling/days", tag = "Selling",
    security(("session" = [])),
    responses((status = 200, body = SalesByDay)))]
async fn list_sales_by_day(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
) -> Result<Json<SalesByDay>, ApiError> {
    Ok(Json(api.selling.list_sales_by_day(&viewer).await?))
}

/// Changes the price of all of the viewer's unsold tickets for an event that are not held.
#[utoipa::path(post, path = "/api/selling/reprice", tag = "Selling", request_body = Reprice,
    security(("session" = [])),
    responses((status = 200, body = Changed), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn reprice(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
    JsonBody(request): JsonBody<Reprice>,
) -> Result<Json<Changed>, ApiError> {
    Ok(Json(api.selling.reprice(&viewer, request).await?))
}

/// Withdraws all of the viewer's unsold tickets for an event that are not held.
#[utoipa::path(post, operation_id = "take_back", path = "/api/selling/withdraw", tag = "Selling", request_body = WithdrawUnsold,
    security(("session" = [])),
    responses((status = 200, body = Changed), (status = 404, body = Problem)))]
async fn withdraw_unsold(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
    JsonBody(request): JsonBody<WithdrawUnsold>,
) -> Result<Json<Changed>, ApiError> {
    Ok(Json(api.selling.withdraw_unsold(&viewer, request).await?))
}

/// All one's sales, oldest first, as CSV in UTF-8.
#[utoipa::path(get, operation_id = "sales_csv", path = "/api/tickets/sales.csv", tag = "Selling",
    security(("session" = [])),
    responses((status = 200, body = String, content_type = "text/csv")))]
async fn download_sales(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
) -> Result<Response, ApiError> {
    Ok(sales_csv(api.selling, viewer).await?)
}

async fn download_sales_or_sign_in(
    State(api): State<Api>,
    viewer: Option<Extension<Viewer>>,
) -> Result<Response, ApiError> {
    match viewer {
        Some(Extension(viewer)) => Ok(sales_csv(api.selling, viewer).await?),
        None => Ok(Redirect::to("/signin?next=/selling").into_response()),
    }
}

/// Streams the CSV file, so that memory does not grow with the number of sales.
async fn sales_csv(selling: Arc<dyn Selling>, viewer: Viewer) -> Result<Response, AppError> {
    // Read before the response starts, so that an error can still set its status.
    let first = selling.list_sales(&viewer, None).await?;
    let head = stream::iter([Ok::<Vec<u8>, AppError>(csv::HEAD.into())]);
    let rest = stream::try_unfold(first, move |sales: Vec<Sale>| {
        let (selling, viewer) = (Arc::clone(&selling), viewer.clone());
        async move {
            let Some(last) = sales.last() else {
                return Ok(None);
            };
            let rows = csv::write_rows(&sales)?;
            let next = selling.list_sales(&viewer, Some(last)).await?;
            Ok(Some((rows, next)))
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"sales.csv\"",
        ),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let body = Body::from_stream(futures::StreamExt::chain(head, rest));
    Ok((headers, body).into_response())
}
