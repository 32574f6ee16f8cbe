//! `/api/payments`, and `/api/webhooks/stripe`.

use crate::rest::{ApiError, JsonBody, PathId, Problem, SignedIn};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use model::{
    error::AppError,
    ids::PaymentId,
    payments::{Pay, Payment, PaymentStatus},
};
use shop::Api;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The routes of payments.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(pay))
        .routes(routes!(get))
        .routes(routes!(receive))
}

/// Charges an order to a card.
#[utoipa::path(post, path = "/api/payments", tag = "Payments", request_body = Pay,
    security(("session" = [])),
    responses((status = 201, body = Payment), (status = 202, body = Payment),
        (status = 402, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn pay(
    State(api): State<Api>,
    SignedIn(viewer): SignedIn,
    JsonBody(request): JsonBody<Pay>,
) -> Result<(StatusCode, Json<Payment>), ApiError> {
    let payment = api.payments.pay(&viewer, request).await?;
    let status = match payment.status {
        PaymentStatus::Captured => StatusCode::CREATED,
        _ => StatusCode::ACCEPTED,
    };
    Ok((status, Json(payment)))
}

/// One's own payment.
#[utoipa::path(get, path = "/api/payments/{id}", tag = "Payments", params(("id" = String, Path)),
    security(("session" = [])),
    responses((status = 200, body = Payment)))]
async fn get(
    State(api): State<Api>,
    PathId(id): PathId<PaymentId>,
    SignedIn(viewer): SignedIn,
) -> Result<Json<Payment>, ApiError> {
    Ok(Json(api.payments.get(&viewer, id).await?))
}

/// What Stripe sends: its raw body, signed.
#[utoipa::path(post, path = "/api/webhooks/stripe", tag = "Payments", operation_id = "webhook", request_body = String,
    responses((status = 200)))]
async fn receive(
    State(api): State<Api>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<StatusCode, ApiError> {
    let payload = crate::rest::read_body_text(body).await?;
    let signature = headers
        .get("stripe-signature")
        .and_then(|value| value.to_str().ok());
    let missing = || AppError::invalid("Stripe-Signature", "The signature is missing.");
    api.webhooks
        .receive(signature.ok_or_else(missing)?, &payload)
        .await?;
    Ok(StatusCode::OK)
}
