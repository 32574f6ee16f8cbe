//! The SQL of reset links, mailed to members who forgot their password and to guests, who have none.
//! Functions that take a `Conn` run in the caller's transaction.
//!
//! A link's token is made when its mail is written, and stored only as a hash, so that reading the table
//! does not give access to an account.

use super::store::{self, Account};
use model::{
    Moment,
    accounts::ResetToken,
    ids::{ProofId, UserId},
};
use platform::{db::Conn, unguessable::unguessable};
use sha2::{Digest, Sha256};
use sqlx::{AnyExecutor, query, query_as, query_scalar};
use sqlx_macros::FromRow;
use std::time::Duration;

/// Counted from when the mail is written.
pub(crate) const VALID_FOR: Duration = Duration::from_mins(30);
/// A mail that could not be written within this time of the request is not sent.
const SEND_WITHIN: Duration = Duration::from_mins(30);

/// A new token of 256 random bits.
pub(crate) fn new_token() -> ResetToken {
    ResetToken(unguessable::<32>())
}

fn hash(token: &ResetToken) -> String {
    hex::encode(Sha256::digest(token.0.as_bytes()))
}

/// Inserts a link without a token; signing in by it continues at `next`.
pub(crate) async fn insert(
    conn: &mut Conn,
    id: ProofId,
    user: UserId,
    next: Option<String>,
    now: Moment,
) -> Result<(), sqlx::Error> {
    query("INSERT INTO password_resets (id, user_id, next, asked_at) VALUES ($1, $2, $3, $4)")
        .bind(id)
        .bind(user)
        .bind(next)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}

/// Sets the link's token, replacing that of an earlier attempt to send the mail. None: the link or the
/// account was deleted, or the request is too old.
pub(crate) async fn set_token(
    conn: &mut Conn,
    id: ProofId,
    token: &ResetToken,
    now: Moment,
) -> Result<Option<Account>, sqlx::Error> {
    let user = query_scalar(
        "UPDATE password_resets SET token_hash = $2, expires_at = $3 \
         WHERE id = $1 AND asked_at > $4 RETURNING user_id",
    )
    .bind(id)
    .bind(hash(token))
    .bind(now + VALID_FOR)
    .bind(now - SEND_WITHIN)
    .fetch_optional(&mut *conn)
    .await?;
    match user {
        Some(user) => store::find_account(conn, user).await,
        None => Ok(None),
    }
}

/// Finds the account of the valid link with this token.
pub(crate) async fn find_owner<'e>(
    on: impl AnyExecutor<'e>,
    token: &ResetToken,
    now: Moment,
) -> Result<Option<Account>, sqlx::Error> {
    query_as(
        "SELECT u.id, u.email, u.name, u.email_verified_at, u.version, u.password_hash, u.session_epoch \
         FROM password_resets r JOIN users u ON u.id = r.user_id \
         WHERE r.token_hash = $1 AND r.expires_at > $2 AND u.deleted_at IS NULL",
    )
    .bind(hash(token))
    .bind(now)
    .fetch_optional(on)
    .await
}

#[derive(FromRow)]
pub(crate) struct ConsumedReset {
    #[sqlx(rename = "user_id")]
    pub user: UserId,
    /// The path at which to continue.
    pub next: Option<String>,
}

/// Consumes a link. None: it is invalid or was consumed.
pub(crate) async fn consume(
    conn: &mut Conn,
    token: &ResetToken,
    now: Moment,
) -> Result<Option<ConsumedReset>, sqlx::Error> {
    query_as(
        "DELETE FROM password_resets WHERE token_hash = $1 AND expires_at > $2 \
         RETURNING user_id, next",
    )
    .bind(hash(token))
    .bind(now)
    .fetch_optional(conn)
    .await
}

/// Deletes all links to this account.
pub(crate) async fn delete_of_user(conn: &mut Conn, user: UserId) -> Result<(), sqlx::Error> {
    query("DELETE FROM password_resets WHERE user_id = $1")
        .bind(user)
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes links that have expired. Returns how many.
pub async fn delete_expired(conn: &mut Conn, now: Moment) -> Result<u64, sqlx::Error> {
    let done = query("DELETE FROM password_resets WHERE asked_at <= $1")
        .bind(now - SEND_WITHIN - VALID_FOR)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}
