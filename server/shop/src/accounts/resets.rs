//! The SQL of mailed links to accounts, whose owners forgot the password or, as guests, have none. Functions that take a `Conn` run in the caller's transaction.
//!
//! What a link carries is made when its mail is written, and kept only as a hash: who reads the
//! table can set nobody's password.

use super::store::{self, Locked};
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

/// How long a link works, from when its mail is written.
pub(crate) const WORKS: Duration = Duration::from_mins(30);
/// A mail that is written later than this after it was asked for is not worth sending.
const WRITTEN_WITHIN: Duration = Duration::from_mins(30);

/// What the next link carries: 256 random bits.
pub(crate) fn new_token() -> ResetToken {
    ResetToken(unguessable::<32>())
}

fn hash(token: &ResetToken) -> String {
    hex::encode(Sha256::digest(token.0.as_bytes()))
}

/// Writes down that somebody asked for a link, and where they were going.
pub(crate) async fn reset_insert(
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

/// Gives the link its token, which replaces the one of an earlier try to send the mail. None: the
/// link is not wanted any more.
pub(crate) async fn reset_arm(
    conn: &mut Conn,
    id: ProofId,
    token: &ResetToken,
    now: Moment,
) -> Result<Option<Locked>, sqlx::Error> {
    let user = query_scalar(
        "UPDATE password_resets SET token_hash = $2, expires_at = $3 \
         WHERE id = $1 AND asked_at > $4 RETURNING user_id",
    )
    .bind(id)
    .bind(hash(token))
    .bind(now + WORKS)
    .bind(now - WRITTEN_WITHIN)
    .fetch_optional(&mut *conn)
    .await?;
    match user {
        Some(user) => store::user_find_locked(conn, user).await,
        None => Ok(None),
    }
}

/// Whose account a link with this token is to. None: it does not work.
pub(crate) async fn reset_owner<'e>(
    on: impl AnyExecutor<'e>,
    token: &ResetToken,
    now: Moment,
) -> Result<Option<Locked>, sqlx::Error> {
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

/// A link that was used up.
#[derive(FromRow)]
pub(crate) struct Taken {
    /// Whose account it was to.
    #[sqlx(rename = "user_id")]
    pub user: UserId,
    /// Where they were going when they asked for it.
    pub next: Option<String>,
}

/// Uses a link up. None: it does not work, or another was quicker.
pub(crate) async fn reset_take(
    conn: &mut Conn,
    token: &ResetToken,
    now: Moment,
) -> Result<Option<Taken>, sqlx::Error> {
    query_as(
        "DELETE FROM password_resets WHERE token_hash = $1 AND expires_at > $2 \
         RETURNING user_id, next",
    )
    .bind(hash(token))
    .bind(now)
    .fetch_optional(conn)
    .await
}

/// No link to this account works any more.
pub(crate) async fn resets_end(conn: &mut Conn, user: UserId) -> Result<(), sqlx::Error> {
    query("DELETE FROM password_resets WHERE user_id = $1")
        .bind(user)
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes links that cannot work any more. Returns how many.
pub async fn resets_delete_expired(conn: &mut Conn, now: Moment) -> Result<u64, sqlx::Error> {
    let done = query("DELETE FROM password_resets WHERE asked_at <= $1")
        .bind(now - WRITTEN_WITHIN - WORKS)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}
