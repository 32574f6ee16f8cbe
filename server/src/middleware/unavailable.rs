//! Responses while the shop is unavailable: a failure without a body is replaced, and responses of
//! 503 get `Retry-After`.

use axum::{
    body::HttpBody,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use model::error::AppError;
use platform::request;

/// Errors: `Unavailable`, if the response is a 500 without a body. The session layer answers so if the
/// database cannot store a session.
pub(super) fn reject_empty_failure(response: Response) -> Result<Response, AppError> {
    let is_empty = response.body().size_hint().exact() == Some(0);
    if response.status() == StatusCode::INTERNAL_SERVER_ERROR && is_empty {
        tracing::error!(request = request::id(), "a request ended without an answer");
        return Err(AppError::Unavailable);
    }
    Ok(response)
}

/// Adds `Retry-After` to a response of 503 that does not have it.
pub(super) fn add_retry_after(headers: &mut HeaderMap, status: StatusCode) {
    if status == StatusCode::SERVICE_UNAVAILABLE && !headers.contains_key(header::RETRY_AFTER) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
}
