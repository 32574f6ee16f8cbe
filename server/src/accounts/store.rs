//! The SQL of accounts. Functions that take a `Conn` run in the caller's transaction.

use crate::{
    db::{Conn, parse},
    outbox::{DomainEvent, EventType},
};
use app::{accounts::User, ids::UserId};
use sqlx::{AnyExecutor, Row, any::AnyRow, query};

/// Writes a new account down. False: its address is in use.
pub async fn user_insert(
    conn: &mut Conn,
    user: &User,
    email_key: &str,
    password_hash: &str,
    now_micros: i64,
) -> Result<bool, sqlx::Error> {
    let done = query(
        "INSERT INTO users (id, email, email_key, name, password_hash, version, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (email_key) DO NOTHING",
    )
    .bind(user.id.to_string())
    .bind(user.email.clone())
    .bind(email_key.to_owned())
    .bind(user.name.clone())
    .bind(password_hash.to_owned())
    .bind(user.version)
    .bind(now_micros)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The account of an address, with its password's hash.
pub async fn user_find_by_email<'e>(
    on: impl AnyExecutor<'e>,
    email_key: &str,
) -> Result<Option<(User, String)>, sqlx::Error> {
    let row =
        query("SELECT id, email, name, version, password_hash FROM users WHERE email_key = $1")
            .bind(email_key.to_owned())
            .fetch_optional(on)
            .await?;
    row.map(|row| Ok((read(&row)?, row.try_get("password_hash")?)))
        .transpose()
}

/// One account.
pub async fn user_find<'e>(
    on: impl AnyExecutor<'e>,
    id: UserId,
) -> Result<Option<User>, sqlx::Error> {
    let row = query("SELECT id, email, name, version FROM users WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(on)
        .await?;
    row.as_ref().map(read).transpose()
}

/// The operators, by address.
pub async fn operators<'e>(on: impl AnyExecutor<'e>) -> Result<Vec<User>, sqlx::Error> {
    let rows = query(
        "SELECT id, email, name, version FROM users WHERE is_operator = 1 ORDER BY email_key",
    )
    .fetch_all(on)
    .await?;
    rows.iter().map(read).collect()
}

/// Makes the account of an address an operator's, or no longer. Others see nothing of it, so its
/// version stays. None: there is no such account.
pub async fn operator_set(
    conn: &mut Conn,
    email_key: &str,
    is_operator: bool,
) -> Result<Option<User>, sqlx::Error> {
    let row = query(
        "UPDATE users SET is_operator = $2 WHERE email_key = $1 RETURNING id, email, name, version",
    )
    .bind(email_key.to_owned())
    .bind(i64::from(is_operator))
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &AnyRow) -> Result<User, sqlx::Error> {
    Ok(User {
        id: parse(row, "id")?,
        email: row.try_get("email")?,
        name: row.try_get("name")?,
        version: row.try_get("version")?,
    })
}

/// Changes what others see of a user.
pub async fn user_rename(
    conn: &mut Conn,
    id: UserId,
    name: &str,
) -> Result<Option<User>, sqlx::Error> {
    let row = query(
        "UPDATE users SET name = $2, version = version + 1 WHERE id = $1 \
         RETURNING id, email, name, version",
    )
    .bind(id.to_string())
    .bind(name.to_owned())
    .fetch_optional(conn)
    .await?;
    row.as_ref().map(read).transpose()
}

/// Whether this user may refund any order.
pub async fn user_is_operator<'e>(
    on: impl AnyExecutor<'e>,
    id: UserId,
) -> Result<bool, sqlx::Error> {
    let row = query("SELECT 1 FROM users WHERE id = $1 AND is_operator = 1")
        .bind(id.to_string())
        .fetch_optional(on)
        .await?;
    Ok(row.is_some())
}

/// The domain event that tells of a user as they are after a change.
pub fn told(kind: EventType, user: &User) -> DomainEvent {
    DomainEvent::new(kind, user.id, user.version, user)
}
