//! The response to a request that is refused before its route handles it.

use crate::rest;
use axum::{
    http::Uri,
    response::{IntoResponse, Response},
};
use model::error::AppError;

/// The error as JSON for the API, and as plain text for other addresses.
pub(crate) fn refuse(uri: &Uri, error: &AppError) -> Response {
    if uri.path().starts_with("/api/") {
        return rest::problem(error.status(), error);
    }
    (error.status(), format!("{error}\n")).into_response()
}
