//! The SQL of verification links. Functions that take a `Conn` run in the caller's transaction.
//!
//! A link's token is made when its mail is written, and stored only as a hash. It works once; showing its
//! page does not consume it.

use model::{
    Moment,
    accounts::ResetToken,
    ids::{ProofId, UserId},
};
use platform::db::Conn;
use sha2::{Digest, Sha256};
use sqlx::{AnyExecutor, query, query_as};
use sqlx_macros::FromRow;
use std::time::Duration;
use uuid::Uuid;

/// Counted from when the mail is written: long enough for a weekend.
pub(crate) const VALID_FOR: Duration = Duration::from_hours(3 * 24);

fn hash(token: &ResetToken) -> String {
    hex::encode(Sha256::digest(token.0.as_bytes()))
}

/// A verification link.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub(crate) struct Proof {
    /// Also the subject of its mail.
    pub id: ProofId,
    #[sqlx(rename = "user_id")]
    pub user: UserId,
    /// The address that it verifies.
    pub email: String,
    /// The account's previous address, once the link was followed and has replaced it.
    pub replaced: Option<String>,
}

/// Inserts a link without a token. Returns its id, the subject of its mail.
pub(crate) async fn insert(
    conn: &mut Conn,
    user: UserId,
    email: &str,
    now: Moment,
) -> Result<ProofId, sqlx::Error> {
    let id = ProofId(Uuid::now_v7());
    query("INSERT INTO email_proofs (id, user_id, email, asked_at) VALUES ($1, $2, $3, $4)")
        .bind(id)
        .bind(user)
        .bind(email.to_owned())
        .bind(now)
        .execute(conn)
        .await?;
    Ok(id)
}

/// Sets the link's token, replacing that of an earlier attempt to send the mail. None: the link was
/// deleted or has been followed.
pub(crate) async fn set_token(
    conn: &mut Conn,
    id: ProofId,
    token: &ResetToken,
    now: Moment,
) -> Result<Option<Proof>, sqlx::Error> {
    query_as(
        "UPDATE email_proofs SET token_hash = $2, expires_at = $3 \
         WHERE id = $1 AND replaced IS NULL RETURNING id, user_id, email, replaced",
    )
    .bind(id)
    .bind(hash(token))
    .bind(now + VALID_FOR)
    .fetch_optional(conn)
    .await
}

/// Finds a link, valid or not.
pub(crate) async fn find<'e>(
    on: impl AnyExecutor<'e>,
    id: ProofId,
) -> Result<Option<Proof>, sqlx::Error> {
    query_as("SELECT id, user_id, email, replaced FROM email_proofs WHERE id = $1")
        .bind(id)
        .fetch_optional(on)
        .await
}

/// Finds the valid link with this token.
pub(crate) async fn find_by_token<'e>(
    on: impl AnyExecutor<'e>,
    token: &ResetToken,
    now: Moment,
) -> Result<Option<Proof>, sqlx::Error> {
    query_as(
        "SELECT id, user_id, email, replaced FROM email_proofs \
         WHERE token_hash = $1 AND expires_at > $2",
    )
    .bind(hash(token))
    .bind(now)
    .fetch_optional(on)
    .await
}

/// Consumes a link. None: it is invalid or was consumed.
pub(crate) async fn consume(
    conn: &mut Conn,
    token: &ResetToken,
    now: Moment,
) -> Result<Option<Proof>, sqlx::Error> {
    query_as(
        "UPDATE email_proofs SET token_hash = NULL WHERE token_hash = $1 AND expires_at > $2 \
         RETURNING id, user_id, email, replaced",
    )
    .bind(hash(token))
    .bind(now)
    .fetch_optional(conn)
    .await
}

/// Records the address that was replaced.
pub(crate) async fn set_replaced(
    conn: &mut Conn,
    id: ProofId,
    replaced: &str,
) -> Result<(), sqlx::Error> {
    query("UPDATE email_proofs SET replaced = $2 WHERE id = $1")
        .bind(id)
        .bind(replaced.to_owned())
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes all links of an account, except `kept`, whose `replaced` a mail still needs.
pub(crate) async fn delete_of_user(
    conn: &mut Conn,
    user: UserId,
    kept: Option<ProofId>,
) -> Result<(), sqlx::Error> {
    query("DELETE FROM email_proofs WHERE user_id = $1 AND ($2 IS NULL OR id <> $2)")
        .bind(user)
        .bind(kept)
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes links that have expired. Returns how many.
pub async fn delete_expired(conn: &mut Conn, now: Moment) -> Result<u64, sqlx::Error> {
    // Sending the mail may be retried for three days before the link becomes valid.
    let done = query("DELETE FROM email_proofs WHERE asked_at <= $1")
        .bind(now - 2 * VALID_FOR)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}
