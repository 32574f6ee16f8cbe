//! The SQL of the keys that sign. Functions that take a `Conn` run in the caller's transaction.

use crate::db::Conn;
use model::Moment;
use sqlx::{AnyExecutor, query, query_as, query_scalar};

/// A key as it is stored. It does not show itself, so that no log has it.
pub(crate) struct KeyRow {
    /// Its name, in hex.
    pub id: String,
    /// Its public half, base64url.
    pub public: String,
    /// All of it, PKCS#8 in base64url.
    pub private: String,
}

/// All of the key that signs, PKCS#8 in base64url.
pub(crate) async fn key_signing<'e>(
    on: impl AnyExecutor<'e>,
) -> Result<Option<String>, sqlx::Error> {
    query_scalar("SELECT private_key FROM pass_keys WHERE signs = 1")
        .fetch_optional(on)
        .await
}

/// The private half of the key of this name, whether or not it signs.
pub(crate) async fn key_private<'e>(
    on: impl AnyExecutor<'e>,
    id: &str,
) -> Result<Option<String>, sqlx::Error> {
    query_scalar("SELECT private_key FROM pass_keys WHERE id = $1")
        .bind(id.to_owned())
        .fetch_optional(on)
        .await
}

/// Name and public half of every key, the one that signs first.
pub async fn keys_public<'e>(
    on: impl AnyExecutor<'e>,
) -> Result<Vec<(String, String)>, sqlx::Error> {
    query_as("SELECT id, public_key FROM pass_keys ORDER BY signs DESC, created_at DESC, id")
        .fetch_all(on)
        .await
}

/// Writes a key down that is to sign from now on, unless there is one.
pub(crate) async fn key_insert(
    conn: &mut Conn,
    key: KeyRow,
    now: Moment,
) -> Result<(), sqlx::Error> {
    query(
        "INSERT INTO pass_keys (id, public_key, private_key, signs, created_at) \
         VALUES ($1, $2, $3, 1, $4) ON CONFLICT DO NOTHING",
    )
    .bind(key.id)
    .bind(key.public)
    .bind(key.private)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}
