//! What the REST routes have in common: the error shape, reading bodies, paths and queries, and
//! the document that describes them. One file per feature has its routes.

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

pub use extract::{IfMatch, JsonBody, PathId, QueryOf};

#[derive(OpenApi)]
#[openapi(info(
    title = "Stagedoor",
    description = "Tickets: list them, hold them while their buyer pays, sell each once. \
        Sign in first: the session cookie is the authentication. Every POST takes an \
        Idempotency-Key. A value of a query that is empty counts as missing. Texts are kept without \
        white space around them, and their lengths are counted without it."
))]
struct Document;

/// All routes under `/api`, and their description.
pub fn routes() -> (Router<Api>, utoipa::openapi::OpenApi) {
    let described = OpenApiRouter::with_openapi(Document::openapi())
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
    let (routes, mut document) = described.split_for_parts();
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

/// An `AppError` as an HTTP answer.
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

/// An error's answer, with a status of its own: 405 and the like have no `AppError`.
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

/// The signed-in user. Refuses with `SignInRequired`.
pub struct SignedIn(pub Viewer);

impl<S: Sync> FromRequestParts<S> for SignedIn {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let viewer = parts.extensions.get::<Viewer>().cloned();
        viewer.map(Self).ok_or(ApiError(AppError::SignInRequired))
    }
}

/// 201 with what was made.
pub struct Created<T>(pub T);

impl<T: IntoResponse> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, self.0).into_response()
    }
}

/// 204.
pub struct NoContent;

impl IntoResponse for NoContent {
    fn into_response(self) -> Response {
        StatusCode::NO_CONTENT.into_response()
    }
}

/// One resource with its version as `ETag`.
pub struct Versioned<T>(pub T);

impl<T: Serialize + HasVersion> IntoResponse for Versioned<T> {
    fn into_response(self) -> Response {
        let tag = format!("\"{}\"", self.0.version());
        ([(header::ETAG, tag)], Json(self.0)).into_response()
    }
}

/// What is changed only by who has read it as it is.
pub trait HasVersion {
    /// Which version of it this is.
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

/// All of a body, within the limit that the router has set on it.
pub use extract::read as read_all;

/// All of a body, as text.
pub async fn read_text(body: axum::body::Body) -> Result<String, AppError> {
    String::from_utf8(extract::read(body).await?)
        .map_err(|_| AppError::invalid("", "The body is not UTF-8."))
}
