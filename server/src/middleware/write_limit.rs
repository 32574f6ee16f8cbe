//! Limits how often a signed-in user may write.

use axum::http::Method;
use model::{error::AppError, ids::UserId};
use platform::limits::{Key, Limits};

/// Counts the request if it is a signed-in user's write. Errors: `TooManyRequests`.
pub(super) async fn count(
    limits: &Limits,
    method: &Method,
    user: Option<UserId>,
) -> Result<(), AppError> {
    match user {
        Some(user) if !method.is_safe() => limits.take(&Key::WriteOf(user.to_string())).await,
        _ => Ok(()),
    }
}
