//! The SQL of links that prove an address. Functions that take a `Conn` run in the caller's
//! transaction.
//!
//! What a link carries is made when its mail is written, and kept only as a hash. Following it works
//! once; looking at it uses nothing up.

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

/// How long a link works, from when its mail is written: over a weekend.
pub(crate) const WORKS: Duration = Duration::from_hours(3 * 24);

fn hash(token: &ResetToken) -> String {
    hex::encode(Sha256::digest(token.0.as_bytes()))
}

/// A link that proves an address.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub(crate) struct Proof {
    /// Its id, which is the mail's subject.
    pub id: ProofId,
    /// Whose account it is about.
    #[sqlx(rename = "user_id")]
    pub user: UserId,
    /// The address that it proves.
    pub email: String,
    /// The address that it has replaced, once it was followed.
    pub replaced: Option<String>,
}

/// Writes down that an address is to be proved. Returns the mail's subject.
pub(crate) async fn proof_insert(
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

/// Gives the link its token, which replaces the one of an earlier try to send the mail. None: the
/// link is not wanted any more.
pub(crate) async fn proof_arm(
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
    .bind(now + WORKS)
    .fetch_optional(conn)
    .await
}

/// One link, whether or not it still works.
pub(crate) async fn proof_find<'e>(
    on: impl AnyExecutor<'e>,
    id: ProofId,
) -> Result<Option<Proof>, sqlx::Error> {
    query_as("SELECT id, user_id, email, replaced FROM email_proofs WHERE id = $1")
        .bind(id)
        .fetch_optional(on)
        .await
}

/// The link with this token, if it works.
pub(crate) async fn proof_linked<'e>(
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

/// Uses a link up. None: it does not work, or another was quicker.
pub(crate) async fn proof_take(
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

/// Notes which address the link's has replaced.
pub(crate) async fn proof_note_replaced(
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

/// No link of this account's works any more. What the one named `but` has replaced is still to be
/// told, if one is named.
pub(crate) async fn proofs_end(
    conn: &mut Conn,
    user: UserId,
    but: Option<ProofId>,
) -> Result<(), sqlx::Error> {
    query("DELETE FROM email_proofs WHERE user_id = $1 AND ($2 IS NULL OR id <> $2)")
        .bind(user)
        .bind(but)
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes links that cannot work any more. Returns how many.
pub async fn proofs_delete_expired(conn: &mut Conn, now: Moment) -> Result<u64, sqlx::Error> {
    // A mail may be tried for three days before its link begins to work.
    let done = query("DELETE FROM email_proofs WHERE asked_at <= $1")
        .bind(now - 2 * WORKS)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}
