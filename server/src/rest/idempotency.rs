//! `Idempotency-Key`: the same POST of the same user with the same key is answered once and then
//! again from what was stored, for 24 hours.
//!
//! A claim is a row written before the work; whoever writes it does the work. What a crash
//! leaves claimed may be taken over after a minute: orders know their attempt by the same key,
//! so even then there is one order. Nothing of 5xx or 429 is kept: those may be tried again.

use super::{ApiError, extract};
use crate::{
    clock::SharedClock,
    db::{Conn, Db},
    fault::{Fault, FaultResult},
    request::carried,
};
use axum::{
    body::Body,
    extract::{FromRequestParts, Request, State},
    http::{HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use model::{
    Moment,
    accounts::Viewer,
    error::{AppError, Conflict},
    ids::UserId,
};
use sha2::{Digest, Sha256};
use sqlx::{query, query_as};
use std::{convert::Infallible, fmt::Write, panic::resume_unwind, time::Duration};
use tracing::Instrument;

/// The longest key.
pub const KEY_CHARS_MAX: usize = 255;
const KEPT: Duration = Duration::from_hours(24);
const CLAIM: Duration = Duration::from_mins(1);

#[derive(Debug, Clone)]
struct AttemptKey(String);

/// The key of the request being handled, if it has one, for services that know attempts by it.
#[derive(Debug, Clone)]
pub struct Attempt(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for Attempt {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let key = parts.extensions.get::<AttemptKey>();
        Ok(Self(key.map(|AttemptKey(key)| key.clone())))
    }
}

/// Where answers are kept.
#[derive(Clone)]
pub struct Kept {
    /// The table `idempotency_keys`.
    pub db: Db,
    /// For how long they are.
    pub clock: SharedClock,
}

enum Claim {
    /// Ours to do.
    Won,
    /// Done before: this was the answer.
    Answered(i64, String),
}

/// Answers a POST with a key from what was stored, or does it and stores the answer.
pub async fn once(State(kept): State<Kept>, mut request: Request, next: Next) -> Response {
    let key = request.headers().get("idempotency-key").cloned();
    let (Some(key), &Method::POST) = (key, request.method()) else {
        return next.run(request).await;
    };
    let key = match check_key(&key) {
        Ok(key) => key,
        Err(error) => return ApiError(error).into_response(),
    };
    let viewer = request.extensions().get::<Viewer>().cloned();
    let Some(viewer) = viewer.filter(|_| keeps(request.uri().path())) else {
        return next.run(request).await;
    };
    let (parts, body) = request.into_parts();
    let bytes = match extract::read(body).await {
        Ok(bytes) => bytes,
        Err(error) => return ApiError(error).into_response(),
    };
    // Without the host, which some protocols put before it.
    let asked = parts
        .uri
        .path_and_query()
        .map_or("/", |asked| asked.as_str());
    let hash = hash(asked, &bytes);
    let user = viewer.user.id;
    request = Request::from_parts(parts, Body::from(bytes));
    request.extensions_mut().insert(AttemptKey(key.clone()));
    match kept.claim(user, &key, &hash).await {
        Err(fault) => ApiError(fault.into()).into_response(),
        Ok(Claim::Answered(status, body)) => replay(status, body),
        Ok(Claim::Won) => {
            // On a task of its own: whoever hangs up, or is told to wait no longer, leaves no key
            // without its answer behind.
            let doing = async move {
                let response = next.run(request).await;
                kept.keep(user, &key, response).await
            };
            match tokio::spawn(carried(doing).in_current_span()).await {
                Ok(response) => response,
                Err(ended) => match ended.try_into_panic() {
                    Ok(panic) => resume_unwind(panic),
                    Err(_) => ApiError(AppError::Unavailable).into_response(),
                },
            }
        }
    }
}

/// Whether the answers of this POST are kept. Those about who is signed in are not: their effect is a
/// cookie, which no stored answer has; made twice, it does no harm.
pub fn keeps(path: &str) -> bool {
    !matches!(
        path,
        "/api/user/signin" | "/api/user/signout" | "/api/user/signup"
    )
}

fn check_key(key: &HeaderValue) -> Result<String, AppError> {
    let text = key.to_str().unwrap_or_default();
    // A tab is no sign that is printed, and passes for a text in a header.
    let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if text.is_empty() || text.len() > KEY_CHARS_MAX || !printable {
        let message = format!("Use 1 to {KEY_CHARS_MAX} printable characters.");
        return Err(AppError::invalid("Idempotency-Key", message));
    }
    Ok(text.to_owned())
}

fn hash(asked: &str, body: &[u8]) -> String {
    let mut digest = Sha256::new();
    digest.update(asked.as_bytes());
    digest.update([0]);
    digest.update(body);
    digest
        .finalize()
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
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

impl Kept {
    async fn claim(&self, user: UserId, key: &str, hash: &str) -> FaultResult<Claim> {
        let (key, hash) = (key.to_owned(), hash.to_owned());
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move { claim_in_txn(conn, user, &key, &hash, now).await })
            })
            .await
    }

    /// Stores the answer and hands it on.
    async fn keep(&self, user: UserId, key: &str, response: Response) -> Response {
        let status = response.status();
        let (parts, body) = response.into_parts();
        let bytes = extract::read(body).await.unwrap_or_default();
        let body = String::from_utf8(bytes.clone()).unwrap_or_default();
        let again = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        let key = key.to_owned();
        let stored: Result<(), sqlx::Error> = self
            .db
            .write(move |conn| {
                Box::pin(async move {
                    let sql = if again {
                        "DELETE FROM idempotency_keys WHERE user_id = $1 AND key = $2 \
                         AND $3 > 0 AND $4 <> ''"
                    } else {
                        "UPDATE idempotency_keys SET status = $3, body = $4 \
                         WHERE user_id = $1 AND key = $2"
                    };
                    let body = if again { "-".to_owned() } else { body };
                    query(sql)
                        .bind(user)
                        .bind(key)
                        .bind(i64::from(status.as_u16()))
                        .bind(body)
                        .execute(conn)
                        .await
                        .map(|_| ())
                })
            })
            .await;
        if let Err(error) = stored {
            tracing::error!(%error, "an answer could not be kept for its Idempotency-Key");
        }
        Response::from_parts(parts, Body::from(bytes))
    }

    /// Forgets what is older than a day. Returns how many.
    pub async fn forget_old(&self) -> Result<u64, sqlx::Error> {
        let before = self.clock.now() - KEPT;
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let done = query("DELETE FROM idempotency_keys WHERE created_at <= $1")
                        .bind(before)
                        .execute(conn)
                        .await?;
                    Ok(done.rows_affected())
                })
            })
            .await
    }
}

/// Keeps what an attempt becomes in the transaction that does it, so that it is known with it or not
/// at all: however often the attempt is made, it is done once. Returns what it became before.
///
/// Errors: `IdempotencyMismatch`, if something else was asked for under this name.
pub async fn once_in(
    conn: &mut Conn,
    user: UserId,
    attempt: &str,
    hash: &str,
    becomes: &str,
    now: Moment,
) -> FaultResult<Option<String>> {
    let kept = query(
        "INSERT INTO idempotency_keys (user_id, key, request_hash, status, body, created_at) \
         VALUES ($1, $2, $3, 201, $4, $5) ON CONFLICT (user_id, key) DO NOTHING",
    )
    .bind(user)
    .bind(attempt.to_owned())
    .bind(hash.to_owned())
    .bind(becomes.to_owned())
    .bind(now)
    .execute(&mut *conn)
    .await?;
    if kept.rows_affected() == 1 {
        return Ok(None);
    }
    read_once(conn, user, attempt, hash).await
}

/// What an attempt became, if it has been made.
///
/// Errors: `IdempotencyMismatch`, if something else was asked for under this name.
pub async fn read_once(
    conn: &mut Conn,
    user: UserId,
    attempt: &str,
    hash: &str,
) -> FaultResult<Option<String>> {
    let made = query_as::<_, (String, Option<String>)>(
        "SELECT request_hash, body FROM idempotency_keys WHERE user_id = $1 AND key = $2",
    )
    .bind(user)
    .bind(attempt.to_owned())
    .fetch_optional(conn)
    .await?;
    match made {
        Some((made_hash, _)) if made_hash != hash => Err(Conflict::IdempotencyMismatch.into()),
        made => Ok(made.and_then(|(_, body)| body)),
    }
}

/// Forgets what a user was answered: it may say who they are.
pub async fn forget_all_of(conn: &mut Conn, user: UserId) -> Result<(), sqlx::Error> {
    query("DELETE FROM idempotency_keys WHERE user_id = $1")
        .bind(user)
        .execute(conn)
        .await?;
    Ok(())
}

/// Claims a key that is new, a day old, or left behind by a crash.
async fn claim_in_txn(
    conn: &mut Conn,
    user: UserId,
    key: &str,
    hash: &str,
    now: Moment,
) -> FaultResult<Claim> {
    let claimed = query(
        "INSERT INTO idempotency_keys (user_id, key, request_hash, created_at) \
         VALUES ($1, $2, $3, $4) ON CONFLICT (user_id, key) DO UPDATE SET \
         request_hash = excluded.request_hash, status = NULL, body = NULL, \
         created_at = excluded.created_at \
         WHERE idempotency_keys.created_at <= $5 OR (idempotency_keys.status IS NULL \
         AND idempotency_keys.request_hash = $3 AND idempotency_keys.created_at <= $6)",
    )
    .bind(user)
    .bind(key.to_owned())
    .bind(hash.to_owned())
    .bind(now)
    .bind(now - KEPT)
    .bind(now - CLAIM)
    .execute(&mut *conn)
    .await?;
    if claimed.rows_affected() == 1 {
        return Ok(Claim::Won);
    }
    let (claimed_hash, status, body) = query_as::<_, (String, Option<i64>, Option<String>)>(
        "SELECT request_hash, status, body FROM idempotency_keys WHERE user_id = $1 AND key = $2",
    )
    .bind(user)
    .bind(key.to_owned())
    .fetch_one(conn)
    .await?;
    if claimed_hash != hash {
        return Err(Conflict::IdempotencyMismatch.into());
    }
    match (status, body) {
        (Some(status), Some(body)) => Ok(Claim::Answered(status, body)),
        _ => Err(Fault::Refused(AppError::Conflict {
            conflict: Conflict::IdempotencyInProgress,
            retry_after_seconds: Some(1),
        })),
    }
}
