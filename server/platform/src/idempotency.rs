//! Idempotency keys: repeating a request with the same key has one effect.
//!
//! Owns the table `idempotency_keys`: the keys of each user and the answers to them, kept for 24 hours.
//! Does not handle HTTP; `rest/attempts.rs` applies the header `Idempotency-Key` to the REST API.
//!
//! A request claims its key by inserting a row before it does the work. A claim left by a crash can be
//! taken over after a minute; orders also store their key, so even then there is one order. Answers with
//! status 5xx or 429 are not stored, so those requests can be retried.

use crate::{
    clock::SharedClock,
    db::{Conn, Db},
    fault::{Fault, FaultResult},
};
use model::{
    Moment,
    error::{AppError, Conflict},
    ids::UserId,
};
use sha2::{Digest, Sha256};
use sqlx::{query, query_as};
use std::time::Duration;

const RETENTION: Duration = Duration::from_hours(24);
/// Age at which a claim without an answer can be taken over.
const CLAIM_TIMEOUT: Duration = Duration::from_mins(1);

/// The stored answers to requests with an idempotency key.
#[derive(Clone)]
pub struct IdempotencyKeys {
    pub db: Db,
    pub clock: SharedClock,
}

/// The result of claiming a key.
pub enum Claim {
    /// The caller must do the work and store its answer.
    Won,
    /// The status and the body of the stored answer.
    Answered(i64, String),
}

/// Hashes a request, so that its key cannot be reused for a different one.
pub fn hash(path_and_query: &str, body: &[u8]) -> String {
    let mut digest = Sha256::new();
    digest.update(path_and_query.as_bytes());
    digest.update([0]);
    digest.update(body);
    hex::encode(digest.finalize())
}

impl IdempotencyKeys {
    /// Claims a key, or returns its stored answer.
    ///
    /// Errors: `IdempotencyMismatch` if the key was used for a different request, `IdempotencyInProgress` if
    /// the first request has no answer yet.
    pub async fn claim(&self, user: UserId, key: &str, hash: &str) -> FaultResult<Claim> {
        let (key, hash) = (key.to_owned(), hash.to_owned());
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move { claim_in_txn(conn, user, &key, &hash, now).await })
            })
            .await
    }

    /// Stores the answer for a claimed key. If its status is 5xx or 429, deletes the claim instead.
    pub async fn store_answer(
        &self,
        user: UserId,
        key: &str,
        status: u16,
        body: String,
    ) -> Result<(), sqlx::Error> {
        let may_retry = status >= 500 || status == 429;
        let key = key.to_owned();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let sql = if may_retry {
                        "DELETE FROM idempotency_keys WHERE user_id = $1 AND key = $2 \
                         AND $3 > 0 AND $4 <> ''"
                    } else {
                        "UPDATE idempotency_keys SET status = $3, body = $4 \
                         WHERE user_id = $1 AND key = $2"
                    };
                    let body = if may_retry { "-".to_owned() } else { body };
                    query(sql)
                        .bind(user)
                        .bind(key)
                        .bind(i64::from(status))
                        .bind(body)
                        .execute(conn)
                        .await
                        .map(|_| ())
                })
            })
            .await
    }

    /// Deletes rows older than 24 hours. Returns the number of rows deleted.
    pub async fn delete_old(&self) -> Result<u64, sqlx::Error> {
        let before = self.clock.now() - RETENTION;
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

/// Stores the outcome of an attempt in the transaction that does its work, so that the work is committed
/// once. Returns the stored outcome if the attempt was made before.
///
/// Errors: `IdempotencyMismatch` if the key was used for a different request.
pub async fn store_once(
    conn: &mut Conn,
    user: UserId,
    attempt: &str,
    hash: &str,
    outcome: &str,
    now: Moment,
) -> FaultResult<Option<String>> {
    let stored = query(
        "INSERT INTO idempotency_keys (user_id, key, request_hash, status, body, created_at) \
         VALUES ($1, $2, $3, 201, $4, $5) ON CONFLICT (user_id, key) DO NOTHING",
    )
    .bind(user)
    .bind(attempt.to_owned())
    .bind(hash.to_owned())
    .bind(outcome.to_owned())
    .bind(now)
    .execute(&mut *conn)
    .await?;
    if stored.rows_affected() == 1 {
        return Ok(None);
    }
    read_outcome(conn, user, attempt, hash).await
}

/// Returns the stored outcome if the attempt was made before.
///
/// Errors: `IdempotencyMismatch` if the key was used for a different request.
pub async fn read_outcome(
    conn: &mut Conn,
    user: UserId,
    attempt: &str,
    hash: &str,
) -> FaultResult<Option<String>> {
    let found = query_as::<_, (String, Option<String>)>(
        "SELECT request_hash, body FROM idempotency_keys WHERE user_id = $1 AND key = $2",
    )
    .bind(user)
    .bind(attempt.to_owned())
    .fetch_optional(conn)
    .await?;
    match found {
        Some((found_hash, _)) if found_hash != hash => Err(Conflict::IdempotencyMismatch.into()),
        found => Ok(found.and_then(|(_, body)| body)),
    }
}

/// Deletes all stored answers to a user, which may contain personal data.
pub async fn delete_of_user(conn: &mut Conn, user: UserId) -> Result<(), sqlx::Error> {
    query("DELETE FROM idempotency_keys WHERE user_id = $1")
        .bind(user)
        .execute(conn)
        .await?;
    Ok(())
}

/// Claims a key that is new, older than its retention, or left by a crash.
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
    .bind(now - RETENTION)
    .bind(now - CLAIM_TIMEOUT)
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
