//! The SQL of links that prove an address. Functions that take a `Conn` run in the caller's
//! transaction.
//!
//! What a link carries is made when its mail is written, and kept only as a hash. Following it works
//! once; looking at it uses nothing up.

use crate::{
    db::{Conn, parse},
    session::hex,
};
use app::accounts::ResetToken;
use model::ids::UserId;
use sha2::{Digest, Sha256};
use sqlx::{AnyExecutor, Row, any::AnyRow, query};
use uuid::Uuid;

/// How long a link works, from when its mail is written: over a weekend.
pub const WORKS_MICROS: i64 = 3 * 24 * 3600 * 1_000_000;

fn hash(token: &ResetToken) -> String {
    hex(&Sha256::digest(token.0.as_bytes()))
}

/// A link that proves an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Its id, which is the mail's subject.
    pub id: String,
    /// Whose account it is about.
    pub user: UserId,
    /// The address that it proves.
    pub email: String,
    /// The address that it has replaced, once it was followed.
    pub replaced: Option<String>,
}

impl Proof {
    fn read(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            user: parse(row, "user_id")?,
            email: row.try_get("email")?,
            replaced: row.try_get("replaced")?,
        })
    }
}

/// Writes down that an address is to be proved. Returns the mail's subject.
pub async fn proof_insert(
    conn: &mut Conn,
    user: UserId,
    email: &str,
    now_micros: i64,
) -> Result<Uuid, sqlx::Error> {
    let id = Uuid::now_v7();
    query("INSERT INTO email_proofs (id, user_id, email, asked_at) VALUES ($1, $2, $3, $4)")
        .bind(id.to_string())
        .bind(user.to_string())
        .bind(email.to_owned())
        .bind(now_micros)
        .execute(conn)
        .await?;
    Ok(id)
}

/// Gives the link its token, which replaces the one of an earlier try to send the mail. None: the
/// link is not wanted any more.
pub async fn proof_arm(
    conn: &mut Conn,
    id: &str,
    token: &ResetToken,
    now_micros: i64,
) -> Result<Option<Proof>, sqlx::Error> {
    let row = query(
        "UPDATE email_proofs SET token_hash = $2, expires_at = $3 \
         WHERE id = $1 AND replaced IS NULL RETURNING id, user_id, email, replaced",
    )
    .bind(id.to_owned())
    .bind(hash(token))
    .bind(now_micros + WORKS_MICROS)
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(Proof::read).transpose()
}

/// One link, whether or not it still works.
pub async fn proof_find<'e>(
    on: impl AnyExecutor<'e>,
    id: &str,
) -> Result<Option<Proof>, sqlx::Error> {
    let row = query("SELECT id, user_id, email, replaced FROM email_proofs WHERE id = $1")
        .bind(id.to_owned())
        .fetch_optional(on)
        .await?;
    row.as_ref().map(Proof::read).transpose()
}

/// The link with this token, if it works.
pub async fn proof_linked<'e>(
    on: impl AnyExecutor<'e>,
    token: &ResetToken,
    now_micros: i64,
) -> Result<Option<Proof>, sqlx::Error> {
    let row = query(
        "SELECT id, user_id, email, replaced FROM email_proofs \
         WHERE token_hash = $1 AND expires_at > $2",
    )
    .bind(hash(token))
    .bind(now_micros)
    .fetch_optional(on)
    .await?;
    row.as_ref().map(Proof::read).transpose()
}

/// Uses a link up. None: it does not work, or another was quicker.
pub async fn proof_take(
    conn: &mut Conn,
    token: &ResetToken,
    now_micros: i64,
) -> Result<Option<Proof>, sqlx::Error> {
    let row = query(
        "UPDATE email_proofs SET token_hash = NULL WHERE token_hash = $1 AND expires_at > $2 \
         RETURNING id, user_id, email, replaced",
    )
    .bind(hash(token))
    .bind(now_micros)
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(Proof::read).transpose()
}

/// Notes which address the link's has replaced.
pub async fn proof_note_replaced(
    conn: &mut Conn,
    id: &str,
    replaced: &str,
) -> Result<(), sqlx::Error> {
    query("UPDATE email_proofs SET replaced = $2 WHERE id = $1")
        .bind(id.to_owned())
        .bind(replaced.to_owned())
        .execute(conn)
        .await?;
    Ok(())
}

/// No link of this account's works any more. What the one named `but` has replaced is still to be
/// told, if one is named.
pub async fn proofs_end(
    conn: &mut Conn,
    user: UserId,
    but: Option<&str>,
) -> Result<(), sqlx::Error> {
    query("DELETE FROM email_proofs WHERE user_id = $1 AND ($2 IS NULL OR id <> $2)")
        .bind(user.to_string())
        .bind(but.map(str::to_owned))
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes links that cannot work any more. Returns how many.
pub async fn proofs_delete_expired(conn: &mut Conn, now_micros: i64) -> Result<u64, sqlx::Error> {
    // A mail may be tried for three days before its link begins to work.
    let done = query("DELETE FROM email_proofs WHERE asked_at <= $1")
        .bind(now_micros - 2 * WORKS_MICROS)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}
