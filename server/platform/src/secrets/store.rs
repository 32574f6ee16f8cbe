//! The SQL of signing keys. Functions that take a `Conn` run in the caller's transaction.

use crate::db::Conn;
use model::Moment;
use sqlx::{AnyExecutor, query, query_as, query_scalar};

/// A stored key. It has no `Debug`, so that the key cannot be logged.
pub(crate) struct KeyRow {
    /// In hexadecimal.
    pub id: String,
    /// In base64url.
    pub public: String,
    /// PKCS#8 in base64url.
    pub private: String,
}

/// Finds the private signing key, PKCS#8 in base64url.
pub(crate) async fn find_signing<'e>(
    on: impl AnyExecutor<'e>,
) -> Result<Option<String>, sqlx::Error> {
    query_scalar("SELECT private_key FROM pass_keys WHERE signs = 1")
        .fetch_optional(on)
        .await
}

/// Finds a private key by its id, whether or not it is the signing key. PKCS#8 in base64url.
pub(crate) async fn find_private<'e>(
    on: impl AnyExecutor<'e>,
    id: &str,
) -> Result<Option<String>, sqlx::Error> {
    query_scalar("SELECT private_key FROM pass_keys WHERE id = $1")
        .bind(id.to_owned())
        .fetch_optional(on)
        .await
}

/// Id and public key (base64url) of every key, the signing key first.
pub async fn list_public_keys<'e>(
    on: impl AnyExecutor<'e>,
) -> Result<Vec<(String, String)>, sqlx::Error> {
    query_as("SELECT id, public_key FROM pass_keys ORDER BY signs DESC, created_at DESC, id")
        .fetch_all(on)
        .await
}

/// Inserts the signing key, unless there is one.
pub(crate) async fn insert(conn: &mut Conn, key: KeyRow, now: Moment) -> Result<(), sqlx::Error> {
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
