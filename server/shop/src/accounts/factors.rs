//! The SQL of second factors and recovery codes. Functions that take a `Conn` run in the caller's
//! transaction.
//!
//! A conditional update consumes a code, so that of two concurrent requests with the same code one is
//! refused.

use model::{Moment, ids::UserId};
use platform::db::Conn;
use sqlx::{AnyExecutor, query, query_as};
use sqlx_macros::FromRow;

/// The second factor of an account.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Factor {
    /// Encrypted. Each setup has another.
    pub secret: String,
    pub enabled_at: Moment,
    /// The number of unused recovery codes.
    pub codes_left: i64,
}

pub(crate) async fn find<'e>(
    on: impl AnyExecutor<'e>,
    user: UserId,
) -> Result<Option<Factor>, sqlx::Error> {
    query_as(
        "SELECT f.secret, f.enabled_at, (SELECT COUNT(*) FROM recovery_codes c \
         WHERE c.user_id = f.user_id AND c.used_at IS NULL) AS codes_left \
         FROM second_factors f WHERE f.user_id = $1",
    )
    .bind(user)
    .fetch_optional(on)
    .await
}

/// Inserts a second factor, with the code of `step` consumed by the setup. False: the account has one.
pub(crate) async fn insert(
    conn: &mut Conn,
    user: UserId,
    secret: &str,
    step: i64,
    now: Moment,
) -> Result<bool, sqlx::Error> {
    let done = query(
        "INSERT INTO second_factors (user_id, secret, enabled_at, last_step) \
         VALUES ($1, $2, $3, $4) ON CONFLICT (user_id) DO NOTHING",
    )
    .bind(user)
    .bind(secret.to_owned())
    .bind(now)
    .bind(step)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Consumes the code of `step` and all earlier ones. False: it was used, or the factor was replaced.
pub(crate) async fn consume_step(
    conn: &mut Conn,
    user: UserId,
    secret: &str,
    step: i64,
) -> Result<bool, sqlx::Error> {
    let done = query(
        "UPDATE second_factors SET last_step = $3 \
         WHERE user_id = $1 AND secret = $2 AND last_step < $3",
    )
    .bind(user)
    .bind(secret.to_owned())
    .bind(step)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Consumes a recovery code. False: it was used, or is not this account's.
pub(crate) async fn consume_recovery_code(
    conn: &mut Conn,
    user: UserId,
    code_hash: &str,
    now: Moment,
) -> Result<bool, sqlx::Error> {
    let done = query(
        "UPDATE recovery_codes SET used_at = $3 \
         WHERE user_id = $1 AND code_hash = $2 AND used_at IS NULL",
    )
    .bind(user)
    .bind(code_hash.to_owned())
    .bind(now)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Replaces all recovery codes of an account.
pub(crate) async fn replace_recovery_codes(
    conn: &mut Conn,
    user: UserId,
    code_hashes: &[String],
) -> Result<(), sqlx::Error> {
    delete_recovery_codes(conn, user).await?;
    for code_hash in code_hashes {
        query("INSERT INTO recovery_codes (user_id, code_hash) VALUES ($1, $2)")
            .bind(user)
            .bind(code_hash.clone())
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

async fn delete_recovery_codes(conn: &mut Conn, user: UserId) -> Result<(), sqlx::Error> {
    query("DELETE FROM recovery_codes WHERE user_id = $1")
        .bind(user)
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes the second factor of an account and its recovery codes. False: it had none.
pub(crate) async fn delete(conn: &mut Conn, user: UserId) -> Result<bool, sqlx::Error> {
    delete_recovery_codes(conn, user).await?;
    let done = query("DELETE FROM second_factors WHERE user_id = $1")
        .bind(user)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}
