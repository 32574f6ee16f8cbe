//! The route `/pictures`: shows the pictures of events. What is behind an address never changes, so
//! browsers keep it. Putting pictures in place is the work of `events`.

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use model::{error::AppError, events::Picture};
use platform::{db::Db, fault::Fault};
use shop::events::picture_bytes;

/// Unchanging for a year, which is as long as "for ever" gets.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// `/pictures/…`. Asks for no session.
pub(crate) fn routes(db: Db) -> Router {
    Router::new()
        .route("/pictures/{digest}/{file}", get(show))
        .with_state(db)
}

async fn show(State(db): State<Db>, uri: Uri) -> Response {
    let found = match uri.path().parse::<Picture>() {
        Ok(form) => picture_bytes(db.reads(), &form).await,
        Err(_) => Ok(None),
    };
    let mut headers = HeaderMap::new();
    match found {
        Ok(Some(bytes)) => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
            headers.insert(header::CACHE_CONTROL, FOR_EVER);
            // Anybody may show what an event looks like.
            let anybody = HeaderValue::from_static("cross-origin");
            headers.insert("cross-origin-resource-policy", anybody);
            (headers, bytes).into_response()
        }
        other => {
            let error = other.err().map(Fault::from).map(AppError::from);
            let error = error.unwrap_or(AppError::NotFound);
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            (error.status(), headers, format!("{error}\n")).into_response()
        }
    }
}
