//! The SQL of mailed links to accounts, whose owners forgot the password or, as guests, have none. Functions that take a `Conn` run in the caller's transaction.
//!
//! What a link carries is made when its mail is written, and kept only as a hash: who reads the
//! table can set nobody's password.

use super::store::{self, Locked};
use crate::{
    db::{Conn, parse},
    session::hex,
    unguessable::unguessable,
};
use app::accounts::ResetToken;
use model::ids::UserId;
use sha2::{Digest, Sha256};
use sqlx::{AnyExecutor, Row, query};
use uuid::Uuid;

/// How long a link works, from when its mail is written.
pub const WORKS_MICROS: i64 = 30 * 60 * 1_000_000;
/// A mail that is written later than this after it was asked for is not worth sending.
const WRITTEN_WITHIN_MICROS: i64 = 30 * 60 * 1_000_000;

/// What the next link carries: 256 random bits.
pub fn new_token() -> ResetToken {
    ResetToken(unguessable::<32>())
}

fn hash(token: &ResetToken) -> String {
    hex(&Sha256::digest(token.0.as_bytes()))
}

/// Writes down that somebody asked for a link, and where they were going.
pub async fn reset_insert(
    conn: &mut Conn,
    id: Uuid,
    user: UserId,
    next: Option<String>,
    now_micros: i64,
) -> Result<(), sqlx::Error> {
    query("INSERT INTO password_resets (id, user_id, next, asked_at) VALUES ($1, $2, $3, $4)")
        .bind(id.to_string())
        .bind(user.to_string())
        .bind(next)
        .bind(now_micros)
        .execute(conn)
        .await?;
    Ok(())
}

/// Gives the link its token, which replaces the one of an earlier try to send the mail. None: the
/// link is not wanted any more.
pub async fn reset_arm(
    conn: &mut Conn,
    id: &str,
    token: &ResetToken,
    now_micros: i64,
) -> Result<Option<Locked>, sqlx::Error> {
    let row = query(
        "UPDATE password_resets SET token_hash = $2, expires_at = $3 \
         WHERE id = $1 AND asked_at > $4 RETURNING user_id",
    )
    .bind(id.to_owned())
    .bind(hash(token))
    .bind(now_micros + WORKS_MICROS)
    .bind(now_micros - WRITTEN_WITHIN_MICROS)
    .fetch_optional(&mut *conn)
    .await?;
    match row {
        Some(row) => store::user_find_locked(conn, parse(&row, "user_id")?).await,
        None => Ok(None),
    }
}

/// Whose account a link with this token is to. None: it does not work.
pub async fn reset_owner<'e>(
    on: impl AnyExecutor<'e>,
    token: &ResetToken,
    now_micros: i64,
) -> Result<Option<Locked>, sqlx::Error> {
    let row = query(
        "SELECT u.id, u.email, u.name, u.email_verified_at, u.version, u.password_hash, u.session_epoch \
         FROM password_resets r JOIN users u ON u.id = r.user_id \
         WHERE r.token_hash = $1 AND r.expires_at > $2 AND u.deleted_at IS NULL",
    )
    .bind(hash(token))
    .bind(now_micros)
    .fetch_optional(on)
    .await?;
    row.as_ref().map(Locked::read).transpose()
}

/// A link that was used up.
pub struct Taken {
    /// Whose account it was to.
    pub user: UserId,
    /// Where they were going when they asked for it.
    pub next: Option<String>,
}

/// Uses a link up. None: it does not work, or another was quicker.
pub async fn reset_take(
    conn: &mut Conn,
    token: &ResetToken,
    now_micros: i64,
) -> Result<Option<Taken>, sqlx::Error> {
    let row = query(
        "DELETE FROM password_resets WHERE token_hash = $1 AND expires_at > $2 \
         RETURNING user_id, next",
    )
    .bind(hash(token))
    .bind(now_micros)
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(Taken {
            user: parse(&row, "user_id")?,
            next: row.try_get("next")?,
        })
    })
    .transpose()
}

/// No link to this account works any more.
pub async fn resets_end(conn: &mut Conn, user: UserId) -> Result<(), sqlx::Error> {
    query("DELETE FROM password_resets WHERE user_id = $1")
        .bind(user.to_string())
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes links that cannot work any more. Returns how many.
pub async fn resets_delete_expired(conn: &mut Conn, now_micros: i64) -> Result<u64, sqlx::Error> {
    let done = query("DELETE FROM password_resets WHERE asked_at <= $1")
        .bind(now_micros - WRITTEN_WITHIN_MICROS - WORKS_MICROS)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}
