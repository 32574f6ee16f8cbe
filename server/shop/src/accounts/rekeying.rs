//! Brings the keys of addresses that a version of before has written to what they are now: domains
//! beyond ASCII were kept as they were typed. The steps of two backfills (`backfills.rs`).

use super::rules::email_key;
use crate::incidents;
use model::{
    Moment,
    ids::{UserId, WaitingId},
};
use platform::db::Conn;
use sqlx::{FromRow as _, any::AnyRow, query, query_scalar};
use sqlx_macros::FromRow;

/// Accounts whose address has a key beyond ASCII.
pub fn users_with_foreign_domains() -> String {
    beyond_ascii("users")
}

/// Entries of the waiting list whose address has one.
pub fn waiting_with_foreign_domains() -> String {
    beyond_ascii("waiting")
}

fn beyond_ascii(table: &str) -> String {
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

/// Rewrites the key of an account that is not what [`email_key`] makes of its address. Of two accounts
/// with one address the older one gets the key, no address leads to the other, and an incident is
/// opened.
pub async fn user_fill_email_key(
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

/// The same for an entry of the waiting list. Where the address has another entry for the event, that
/// one stays, and both are told.
pub async fn waiting_fill_email_key(conn: &mut Conn, row: AnyRow) -> Result<(), sqlx::Error> {
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
    // An account that has the key already is the older one if its id is smaller: ids are given by time.
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
        // No address: nobody finds the account by it.
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
