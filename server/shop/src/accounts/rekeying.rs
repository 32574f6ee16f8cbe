//! The steps of two backfills (`backfills.rs`) that recompute the keys of addresses: earlier versions
//! kept domains beyond ASCII as they were typed.

use super::rules::email_key;
use crate::incidents;
use model::{
    Moment,
    ids::{UserId, WaitingId},
};
use platform::db::Conn;
use sqlx::{FromRow as _, any::AnyRow, query, query_scalar};
use sqlx_macros::FromRow;

/// The query for accounts whose key has characters beyond ASCII.
pub fn select_users_with_unicode_domains() -> String {
    select_non_ascii("users")
}

/// The same for entries of the waiting list.
pub fn select_waiting_with_unicode_domains() -> String {
    select_non_ascii("waiting")
}

fn select_non_ascii(table: &str) -> String {
    format!(
        "SELECT id, email, email_key FROM {table} WHERE id > $1 \
         AND octet_length(email_key) <> length(email_key) ORDER BY id LIMIT $2"
    )
}

#[derive(FromRow)]
struct AccountRow {
    id: UserId,
    email: String,
    email_key: String,
}

#[derive(FromRow)]
struct EntryRow {
    id: WaitingId,
    email: String,
    email_key: String,
}

/// Sets an account's key to the [`email_key`] of its address. If two accounts have the same address, the
/// older one gets the key, the other one can no longer be found by address, and an incident is opened.
pub async fn fill_user_email_key(
    conn: &mut Conn,
    row: AnyRow,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let account = AccountRow::from_row(&row)?;
    let key = email_key(&account.email);
    if key == account.email_key {
        return Ok(());
    }
    rekey_account(conn, account.id, account.email_key, key, now).await
}

/// The same for an entry of the waiting list. If the address has another entry for the event, the key
/// stays, and both entries are notified.
pub async fn fill_waiting_email_key(conn: &mut Conn, row: AnyRow) -> Result<(), sqlx::Error> {
    let entry = EntryRow::from_row(&row)?;
    let key = email_key(&entry.email);
    if key == entry.email_key {
        return Ok(());
    }
    query(
        "UPDATE waiting SET email_key = $2 WHERE id = $1 AND NOT EXISTS (SELECT 1 \
         FROM waiting o WHERE o.event_id = waiting.event_id AND o.email_key = $2)",
    )
    .bind(entry.id)
    .bind(key)
    .execute(conn)
    .await?;
    Ok(())
}

async fn rekey_account(
    conn: &mut Conn,
    id: UserId,
    before: String,
    key: String,
    now: Moment,
) -> Result<(), sqlx::Error> {
    // Ids are ordered by time of creation, so the smaller id is the older account.
    let other = query_scalar::<_, UserId>("SELECT id FROM users WHERE email_key = $1")
        .bind(key.clone())
        .fetch_optional(&mut *conn)
        .await?;
    if let Some(other) = other {
        let detail = "Two accounts have the same address because its domain was written in two ways. \
                      Signing in with the address now opens the older account. The owner of the other \
                      account cannot sign in; please contact them.";
        let about = format!("{id} {other}");
        incidents::open(
            &mut *conn,
            incidents::Kind::SameAddress,
            about,
            None,
            detail,
            now,
        )
        .await?;
        if other < id {
            return Ok(());
        }
        // Not an address, so no lookup finds the account.
        query("UPDATE users SET email_key = 'replaced:' || id WHERE id = $1")
            .bind(other)
            .execute(&mut *conn)
            .await?;
    }
    query("UPDATE users SET email_key = $3 WHERE id = $1 AND email_key = $2")
        .bind(id)
        .bind(before)
        .bind(key)
        .execute(conn)
        .await?;
    Ok(())
}
