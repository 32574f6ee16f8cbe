//! The header `Idempotency-Key` of the REST API: a POST of the same user with the same key is executed
//! once; repetitions get the stored answer.
//!
//! Reads the header, and stores and replays answers. `platform::idempotency` owns the table of answers and
//! their retention.

use super::{ApiError, extract};
use axum::{
    body::Body,
    extract::{FromRequestParts, Request, State},
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use model::{accounts::Viewer, error::AppError, ids::UserId};
use platform::{
    fault::{Fault, FaultResult},
    idempotency::{Claim, IdempotencyKeys, hash},
    request::in_current_request,
};
use std::{convert::Infallible, panic::resume_unwind};
use tracing::Instrument;

pub const KEY_CHARS_MAX: usize = 255;

#[derive(Debug, Clone)]
struct AttemptKey(String);

/// The idempotency key of the request, if it has one, for services that store it with their result.
#[derive(Debug, Clone)]
pub struct Attempt(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for Attempt {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let key = parts.extensions.get::<AttemptKey>();
        Ok(Self(key.map(|AttemptKey(key)| key.clone())))
    }
}

/// Answers a POST that has a key with the stored answer, or handles it and stores the answer.
pub async fn answer_once(
    State(keys): State<IdempotencyKeys>,
    mut request: Request,
    next: Next,
) -> Response {
    let key = request.headers().get("idempotency-key").cloned();
    let (Some(key), &Method::POST) = (key, request.method()) else {
        return next.run(request).await;
    };
    let key = match check_key(&key) {
        Ok(key) => key,
        Err(error) => return ApiError(error).into_response(),
    };
    let viewer = request.extensions().get::<Viewer>().cloned();
    let Some(viewer) = viewer.filter(|_| stores_answers(request.uri().path())) else {
        return next.run(request).await;
    };
    let (parts, body) = request.into_parts();
    let bytes = match extract::read_body(body).await {
        Ok(bytes) => bytes,
        Err(error) => return ApiError(error).into_response(),
    };
    // Without the host, which the URI of some protocols includes.
    let target = parts
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let hash = hash(target, &bytes);
    let user = viewer.user.id;
    request = Request::from_parts(parts, Body::from(bytes));
    request.extensions_mut().insert(AttemptKey(key.clone()));
    match keys.claim(user, &key, &hash).await {
        Err(fault) => ApiError(fault.into()).into_response(),
        Ok(Claim::Answered(status, body)) => replay(status, body),
        Ok(Claim::Won) => {
            // In a separate task: the answer is stored even if the client disconnects or the request
            // times out.
            let handle = async move {
                let response = next.run(request).await;
                store(&keys, user, &key, response).await
            };
            match tokio::spawn(in_current_request(handle).in_current_span()).await {
                Ok(response) => response,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => resume_unwind(panic),
                    Err(_) => ApiError(AppError::Unavailable).into_response(),
                },
            }
        }
    }
}

/// Whether answers to POSTs of this path are stored. Those of signing in, out and up are not: they set
/// cookies, which stored answers do not include, and repeating them is harmless.
pub fn stores_answers(path: &str) -> bool {
    !matches!(
        path,
        "/api/user/signin" | "/api/user/signout" | "/api/user/signup"
    )
}

fn check_key(key: &HeaderValue) -> Result<String, AppError> {
    let text = key.to_str().unwrap_or_default();
    // `to_str` accepts a tab, which is not printable.
    let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if text.is_empty() || text.len() > KEY_CHARS_MAX || !printable {
        let message = format!("Use 1 to {KEY_CHARS_MAX} printable characters.");
        return Err(AppError::invalid("Idempotency-Key", message));
    }
    Ok(text.to_owned())
}

fn replay(status: i64, body: String) -> Response {
    let status = u16::try_from(status)
        .ok()
        .and_then(|status| StatusCode::from_u16(status).ok());
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (
            header::HeaderName::from_static("idempotent-replayed"),
            HeaderValue::from_static("true"),
        ),
    ];
    (status.unwrap_or(StatusCode::OK), headers, body).into_response()
}

/// Stores the answer and returns it. If its body cannot be read, returns a 500, which is not stored.
async fn store(keys: &IdempotencyKeys, user: UserId, key: &str, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let (response, body) = match read_answer(body).await {
        Ok(body) => (Response::from_parts(parts, Body::from(body.clone())), body),
        Err(fault) => (ApiError(fault.into()).into_response(), String::new()),
    };
    let status = response.status().as_u16();
    if let Err(error) = keys.store_answer(user, key, status, body).await {
        tracing::error!(%error, "Could not store the answer of a request with an Idempotency-Key");
    }
    response
}

async fn read_answer(body: Body) -> FaultResult<String> {
    let bytes = body
        .collect()
        .await
        .map_err(|error| Fault::unexpected("could not read the body of a response", error))?
        .to_bytes();
    String::from_utf8(bytes.into())
        .map_err(|error| Fault::unexpected("body of a response is not UTF-8", error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use std::io;

    #[tokio::test]
    async fn an_answer_that_cannot_be_read_is_an_error() {
        let pieces = stream::iter([Ok("{"), Err(io::Error::other("broken off"))]);
        for body in [Body::from_stream(pieces), Body::from(vec![0xff])] {
            let read = read_answer(body).await;
            assert!(matches!(read, Err(Fault::Unexpected(..))), "{read:?}");
        }
        assert_eq!(read_answer(Body::from("{}")).await.unwrap(), "{}");
    }
}
