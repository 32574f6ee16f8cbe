//! Idempotency keys: a client names an attempt, so that repeating it has one effect.
//!
//! Owns the table `idempotency_keys`: which attempts were made for which user, and their answers,
//! for 24 hours. It knows nothing of HTTP requests; `rest/attempts.rs` reads the header
//! `Idempotency-Key` and applies it to the REST API.
//!
//! A claim is a row that is written before the work; the request that writes it does the work. A
//! claim that a crash leaves behind may be taken over after a minute. Orders store the key of their
//! attempt, so even then there is one order. Answers of 5xx and 429 are not stored: those requests
//! may be tried again.

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

const STORED_FOR: Duration = Duration::from_hours(24);
const CLAIM: Duration = Duration::from_mins(1);

/// The stored answers to requests with an idempotency key.
#[derive(Clone)]
pub struct IdempotencyKeys {
    /// The database with the table `idempotency_keys`.
    pub db: Db,
    /// Decides how old an answer is.
    pub clock: SharedClock,
}

/// What claiming a key leads to.
pub enum Claim {
    /// The caller does the work.
    Won,
    /// The work was done before: the status and the body of its answer.
    Answered(i64, String),
}

/// The hash of a request, so that its key cannot be used for something else.
pub fn hash(path_and_query: &str, body: &[u8]) -> String {
    let mut digest = Sha256::new();
    digest.update(path_and_query.as_bytes());
    digest.update([0]);
    digest.update(body);
    hex::encode(digest.finalize())
}

impl IdempotencyKeys {
    /// Claims a key, or finds the answer that is stored for it.
    ///
    /// Errors: `IdempotencyMismatch` if the key was used for something else,
    /// `IdempotencyInProgress` if the first request with it has no answer yet.
    pub async fn claim(&self, user: UserId, key: &str, hash: &str) -> FaultResult<Claim> {
        let (key, hash) = (key.to_owned(), hash.to_owned());
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move { claim_in_txn(conn, user, &key, &hash, now).await })
            })
            .await
    }

    /// Stores the answer to a request that has claimed its key. If its status is 5xx or 429, the
    /// claim is deleted instead.
    pub async fn store_answer(
        &self,
        user: UserId,
        key: &str,
        status: u16,
        body: String,
    ) -> Result<(), sqlx::Error> {
        let again = status >= 500 || status == 429;
        let key = key.to_owned();
        self.db
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
                        .bind(i64::from(status))
                        .bind(body)
                        .execute(conn)
                        .await
                        .map(|_| ())
                })
            })
            .await
    }

    /// Deletes what is older than a day. Returns the number of deleted rows.
    pub async fn forget_old(&self) -> Result<u64, sqlx::Error> {
        let before = self.clock.now() - STORED_FOR;
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

/// Stores the outcome of an attempt in the transaction that carries it out, so that both are
/// committed or neither is: however often the attempt is made, it is carried out once. Returns the
/// outcome that was stored before, if there is one.
///
/// Errors: `IdempotencyMismatch` if this key was used for something else.
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

/// The outcome of an attempt, if it was made before.
///
/// Errors: `IdempotencyMismatch` if this key was used for something else.
pub async fn read_outcome(
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

/// Deletes all stored answers to a user: they may contain personal data.
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
    .bind(now - STORED_FOR)
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
