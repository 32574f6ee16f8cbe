//! Limits how long the response to a request may take.

use axum::response::Response;
use model::error::AppError;
use std::time::Duration;

/// Longer than a call to Stripe may take (10 s), shorter than a visitor waits.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// For pictures that are uploaded from a phone over a slow connection.
const PICTURE_TIME_MAX: Duration = Duration::from_mins(2);

pub(super) fn time_max(is_picture: bool) -> Duration {
    if is_picture {
        PICTURE_TIME_MAX
    } else {
        ANSWER_TIME_MAX
    }
}

/// Errors: `Unavailable`, if there is no response within `time_max`.
pub(super) async fn run(
    time_max: Duration,
    answering: impl Future<Output = Response>,
) -> Result<Response, AppError> {
    let answered = tokio::time::timeout(time_max, answering).await;
    answered.map_err(|_| AppError::Unavailable)
}
