//! The SQL of second factors and recovery codes. Functions that take a `Conn` run in the caller's
//! transaction.
//!
//! That a code is used once is decided by one conditional UPDATE each: of two who send the same code at
//! the same moment, one is refused.

use model::{Moment, ids::UserId};
use platform::db::Conn;
use sqlx::{AnyExecutor, query, query_as};
use sqlx_macros::FromRow;

/// The second factor of an account.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Factor {
    /// What app and shop share, encrypted. A new setup has another.
    pub secret: String,
    /// Since when.
    pub enabled_at: Moment,
    /// How many recovery codes have not been used.
    pub codes_left: i64,
}

/// The second factor of this account, if it has one.
pub(crate) async fn factor_find<'e>(
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

/// Writes a second factor down, whose code of `step` was used to prove it. False: the account has one.
pub(crate) async fn factor_insert(
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

/// Uses up the code of `step`, and those before. False: it was used, or the factor is another by now.
pub(crate) async fn step_take(
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

/// Uses up a recovery code. False: it was used, or is none of this account's.
pub(crate) async fn recovery_take(
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

/// Puts these recovery codes in the place of those of before.
pub(crate) async fn recovery_replace(
    conn: &mut Conn,
    user: UserId,
    code_hashes: &[String],
) -> Result<(), sqlx::Error> {
    recovery_delete(conn, user).await?;
    for code_hash in code_hashes {
        query("INSERT INTO recovery_codes (user_id, code_hash) VALUES ($1, $2)")
            .bind(user)
            .bind(code_hash.clone())
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

async fn recovery_delete(conn: &mut Conn, user: UserId) -> Result<(), sqlx::Error> {
    query("DELETE FROM recovery_codes WHERE user_id = $1")
        .bind(user)
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes the second factor of an account, and its recovery codes. False: it had none.
pub(crate) async fn factor_delete(conn: &mut Conn, user: UserId) -> Result<bool, sqlx::Error> {
    recovery_delete(conn, user).await?;
    let done = query("DELETE FROM second_factors WHERE user_id = $1")
        .bind(user)
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}
