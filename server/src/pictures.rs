//! The route `/pictures`, which serves the pictures of events. URLs are content addresses, so browsers cache
//! responses. `shop::events` stores the pictures.

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, HeaderValue, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use model::{error::AppError, events::Picture};
use platform::{db::Db, fault::Fault};
use shop::events;

/// One year, the longest customary lifetime.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// `/pictures/…`, without a session.
pub(crate) fn routes(db: Db) -> Router {
    Router::new()
        .route("/pictures/{digest}/{file}", get(find_picture))
        .with_state(db)
}

async fn find_picture(State(db): State<Db>, uri: Uri) -> Response {
    let found = match uri.path().parse::<Picture>() {
        Ok(form) => events::find_picture(db.reads(), &form).await,
        Err(_) => Ok(None),
    };
    let mut headers = HeaderMap::new();
    match found {
        Ok(Some(bytes)) => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
            headers.insert(header::CACHE_CONTROL, IMMUTABLE);
            // Other sites may embed pictures.
            let cross_origin = HeaderValue::from_static("cross-origin");
            headers.insert("cross-origin-resource-policy", cross_origin);
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
