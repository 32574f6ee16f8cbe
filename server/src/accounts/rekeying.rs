//! Brings the keys of addresses that a version of before has written to what they are now: domains
//! beyond ASCII were kept as they were typed. It runs whenever a database is opened by a command, finds
//! nothing after the first time, and can be cut off anywhere.

use super::rules::email_key;
use crate::{db::Db, fault::FaultResult, incidents};
use sqlx::{AssertSqlSafe, Row, query};

/// So many rows are looked at in one statement.
const BATCH: i64 = 500;

/// A row whose key is to be looked at.
struct Keyed {
    id: String,
    email: String,
    key: String,
}

/// Rewrites keys that are not what [`email_key`] makes of their address. Of two accounts with one
/// address the older one gets the key, no address leads to the other, and an incident is opened.
/// Returns how many keys were rewritten.
pub async fn rekey_addresses(db: &Db, now_micros: i64) -> FaultResult<usize> {
    let mut rewritten = 0;
    for table in ["users", "waiting"] {
        let mut after = String::new();
        loop {
            let rows = beyond_ascii(db, table, &after).await?;
            let Some(last) = rows.last() else {
                break;
            };
            after.clone_from(&last.id);
            for row in rows {
                let key = email_key(&row.email);
                if key == row.key {
                    continue;
                }
                let done = match table {
                    "users" => rekey_account(db, row, key, now_micros).await?,
                    _ => rekey_entry(db, row, key).await?,
                };
                rewritten += usize::from(done);
            }
        }
    }
    Ok(rewritten)
}

async fn beyond_ascii(
    db: &Db,
    table: &'static str,
    after: &str,
) -> Result<Vec<Keyed>, sqlx::Error> {
    let sql = format!(
        "SELECT id, email, email_key FROM {table} WHERE id > $1 \
         AND octet_length(email_key) <> length(email_key) ORDER BY id LIMIT $2"
    );
    let rows = query(AssertSqlSafe(sql))
        .bind(after.to_owned())
        .bind(BATCH)
        .fetch_all(db.reads())
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Keyed {
                id: row.try_get("id")?,
                email: row.try_get("email")?,
                key: row.try_get("email_key")?,
            })
        })
        .collect()
}

/// Rewrites the key of an entry of the waiting list, unless the address has another entry for the
/// event: that one stays, and both are told.
async fn rekey_entry(db: &Db, row: Keyed, key: String) -> FaultResult<bool> {
    db.write(move |conn| {
        Box::pin(async move {
            let done = query(
                "UPDATE waiting SET email_key = $2 WHERE id = $1 AND NOT EXISTS (SELECT 1 \
                 FROM waiting o WHERE o.event_id = waiting.event_id AND o.email_key = $2)",
            )
            .bind(row.id)
            .bind(key)
            .execute(conn)
            .await?;
            Ok(done.rows_affected() == 1)
        })
    })
    .await
}

/// Returns whether the key was rewritten.
async fn rekey_account(db: &Db, row: Keyed, key: String, now_micros: i64) -> FaultResult<bool> {
    db.write(move |conn| {
        Box::pin(async move {
            let Keyed {
                id, key: before, ..
            } = row;
            // An account that has the key already is the older one if its id is smaller: ids are given
            // by time.
            let other = query("SELECT id FROM users WHERE email_key = $1")
                .bind(key.clone())
                .fetch_optional(&mut *conn)
                .await?;
            let other: Option<String> = other.map(|other| other.try_get("id")).transpose()?;
            if let Some(other) = other {
                let detail = "Two accounts have one address, since its domain was written in two \
                              ways. The older one is found by it now. Look after the other: its \
                              owner cannot sign in with the address.";
                let about = format!("{id} {other}");
                incidents::open(
                    &mut *conn,
                    incidents::Kind::SameAddress,
                    about,
                    None,
                    detail,
                    now_micros,
                )
                .await?;
                if other < id {
                    return Ok(false);
                }
                // No address: nobody finds the account by it.
                let swap = query("UPDATE users SET email_key = 'replaced:' || id WHERE id = $1");
                swap.bind(other).execute(&mut *conn).await?;
            }
            let done = query("UPDATE users SET email_key = $3 WHERE id = $1 AND email_key = $2")
                .bind(id)
                .bind(before)
                .bind(key)
                .execute(conn)
                .await?;
            Ok(done.rows_affected() == 1)
        })
    })
    .await
}
