//! Limits how many bytes of a request's body are read. What the limit is for pictures is in
//! `picture_upload.rs`.

use axum::{body::Body, extract::Request, http::header};
use http_body_util::Limited;
use model::error::AppError;

/// The largest body that is not a picture.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// The request with a body that fails once more bytes are read than allowed. Errors: `TooLarge`, if
/// its `Content-Length` is more than that already.
pub(super) fn limit_body(
    request: Request,
    picture_bytes_max: Option<usize>,
) -> Result<Request, AppError> {
    let bytes_max = picture_bytes_max.unwrap_or(BODY_BYTES_MAX);
    let declared = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > bytes_max) {
        return Err(AppError::TooLarge);
    }
    Ok(request.map(|body| Body::new(Limited::new(body, bytes_max))))
}
