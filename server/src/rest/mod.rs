//! What the REST routes share: the error body, extractors for bodies, paths and queries, and the OpenAPI
//! document. Each feature's routes are in a file of their own.

mod account_export;
mod accounts;
pub mod attempts;
mod document;
mod event_stream;
mod events;
mod extract;
pub mod order_files;
mod orders;
mod passes;
mod payments;
mod refunds;
pub mod selling;
mod tickets;
mod waiting;

use axum::{
    Json, Router,
    extract::FromRequestParts,
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use model::{
    accounts::{User, Viewer},
    error::AppError,
    events::Event,
    orders::Order,
    tickets::Ticket,
};
use platform::request;
use serde::Serialize;
use shop::Api;
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;

pub use extract::{IfMatch, JsonBody, PathId, QueryOf, read_body};

#[derive(OpenApi)]
#[openapi(info(
    title = "Stagedoor",
    description = "Tickets: list them, hold them while their buyer pays, sell each once. \
        Sign in first: the session cookie is the authentication. Every POST takes an \
        Idempotency-Key. A value of a query that is empty counts as missing. Texts are kept without \
        white space around them, and their lengths are counted without it."
))]
struct Document;

/// All routes under `/api`, and their OpenAPI document.
pub fn routes() -> (Router<Api>, utoipa::openapi::OpenApi) {
    let router = OpenApiRouter::with_openapi(Document::openapi())
        .merge(accounts::routes())
        .merge(account_export::routes())
        .merge(events::routes())
        .merge(tickets::routes())
        .merge(orders::routes())
        .merge(passes::routes())
        .merge(payments::routes())
        .merge(refunds::routes())
        .merge(selling::routes())
        .merge(waiting::routes());
    let (routes, mut document) = router.split_for_parts();
    document::complete(&mut document);
    (routes, document)
}

/// One thing that is wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemDetail {
    /// A sentence for a person.
    message: String,
    /// The field that it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

/// Every error's body.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// What is wrong; never empty.
    errors: Vec<ProblemDetail>,
    /// For programs: `ticket_reserved`, for one.
    code: &'static str,
    /// Names this request in the server's log.
    request_id: String,
    /// When trying again may help, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<i64>,
}

/// An `AppError` as an HTTP response.
#[derive(Debug)]
pub struct ApiError(pub AppError);

impl From<AppError> for ApiError {
    fn from(error: AppError) -> Self {
        Self(error)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        problem(self.0.status(), &self.0)
    }
}

/// The response of an error. The status is separate because 405 and others have no `AppError`.
pub fn problem(status: StatusCode, error: &AppError) -> Response {
    let errors = match &*error.fields() {
        [] => vec![ProblemDetail {
            message: error.to_string(),
            field: None,
        }],
        fields => fields
            .iter()
            .map(|wrong| ProblemDetail {
                message: wrong.message.clone(),
                field: Some(wrong.field.clone()).filter(|field| !field.is_empty()),
            })
            .collect(),
    };
    let retry_after_seconds = error.retry_after_seconds();
    let body = Problem {
        errors,
        code: error.code(),
        request_id: request::id(),
        retry_after_seconds,
    };
    let mut response = (status, Json(body)).into_response();
    if let Some(seconds) = retry_after_seconds {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Extracts the signed-in user. Errors: `SignInRequired`.
pub struct SignedIn(pub Viewer);

impl<S: Sync> FromRequestParts<S> for SignedIn {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let viewer = parts.extensions.get::<Viewer>().cloned();
        viewer.map(Self).ok_or(ApiError(AppError::SignInRequired))
    }
}

/// Responds with 201 and the created resource.
pub struct Created<T>(pub T);

impl<T: IntoResponse> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, self.0).into_response()
    }
}

/// Responds with 204.
pub struct NoContent;

impl IntoResponse for NoContent {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

/// Responds with one resource and its version as `ETag`.
pub struct Versioned<T>(pub T);

impl<T: Serialize + HasVersion> IntoResponse for Versioned<T> {
    fn into_response(self) -> Response {
        let tag = format!("\"{}\"", self.0.version());
        ([(header::ETAG, tag)], Json(self.0)).into_response()
    }
}

/// A resource that `If-Match` protects against lost updates.
pub trait HasVersion {
    fn version(&self) -> i64;
}

macro_rules! has_version {
    ($($resource:ty),+) => {$(
        impl HasVersion for $resource {
            fn version(&self) -> i64 {
                self.version
            }
        }
    )+};
}
has_version!(Event, Order, Ticket, User);

/// Reads a body as text, within the router's limit. Errors: as [`read_body`]; `Invalid` if it is not UTF-8.
pub async fn read_body_text(body: axum::body::Body) -> Result<String, AppError> {
    String::from_utf8(read_body(body).await?)
        .map_err(|_| AppError::invalid("", "The body is not UTF-8."))
}
