//! The SQL of `mails` and `mail_turns`. Functions that take a `Conn` run in the caller's transaction. Does
//! not compose or send mails.

use super::{Kind, UNVERIFIED_INTERVAL};
use model::{
    Moment,
    ids::{IncidentId, MailId, UserId},
    micros,
};
use platform::db::{Conn, Statement};
use sha2::{Digest, Sha256};
use sqlx::{AnyExecutor, AssertSqlSafe, query, query_as, query_scalar};
use sqlx_macros::FromRow;
use strum::VariantArray;
use uuid::Uuid;

/// A queued mail.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct MailRow {
    /// Also the local part of the Message-ID.
    pub id: MailId,
    pub kind: Kind,
    /// Identifies what the mail is about, in a format that depends on the kind.
    pub subject: String,
    /// The number of attempts, including the current one.
    pub tries: i64,
    pub created_at: Moment,
}

/// Inserts a mail to be sent at `due`. Does nothing if a mail of this kind and subject exists.
pub(crate) async fn insert(
    conn: &mut Conn,
    kind: Kind,
    subject: &str,
    now: Moment,
    due: Moment,
) -> Result<(), sqlx::Error> {
    query(
        "INSERT INTO mails (id, kind, subject, state, next_at, created_at) \
         VALUES ($1, $2, $3, 'pending', $5, $4) ON CONFLICT (kind, subject) DO NOTHING",
    )
    .bind(MailId(Uuid::now_v7()))
    .bind(kind)
    .bind(subject)
    .bind(now)
    .bind(due)
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether an account has verified the address with this key.
pub(crate) async fn is_verified(conn: &mut Conn, email_key: &str) -> Result<bool, sqlx::Error> {
    let sql = "SELECT 1 FROM users WHERE email_key = $1 AND email_verified_at IS NOT NULL";
    let row = query(sql).bind(email_key).fetch_optional(conn).await?;
    Ok(row.is_some())
}

/// The key of an address in `mail_turns`, from which the address cannot be recovered.
fn hashed(email_key: &str) -> String {
    hex::encode(Sha256::digest(email_key))
}

/// Records a mail of this kind to an address. Returns false, and records nothing, if one was recorded
/// within [`UNVERIFIED_INTERVAL`].
pub(crate) async fn take_turn(
    conn: &mut Conn,
    email_key: &str,
    kind: Kind,
    now: Moment,
) -> Result<bool, sqlx::Error> {
    let done = query(
        "INSERT INTO mail_turns (address_hash, kind, due_at) VALUES ($1, $2, $3) \
         ON CONFLICT (address_hash, kind) DO UPDATE SET due_at = $3 \
         WHERE mail_turns.due_at <= $4",
    )
    .bind(hashed(email_key))
    .bind(kind)
    .bind(now)
    .bind(now - UNVERIFIED_INTERVAL)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Records the next permitted mail of this kind to an address. Returns its time.
pub(crate) async fn schedule_turn(
    conn: &mut Conn,
    email_key: &str,
    kind: Kind,
    now: Moment,
) -> Result<Moment, sqlx::Error> {
    query_scalar(
        "INSERT INTO mail_turns (address_hash, kind, due_at) VALUES ($1, $2, $3) \
         ON CONFLICT (address_hash, kind) DO UPDATE SET due_at = \
         CASE WHEN mail_turns.due_at + $4 > $3 THEN mail_turns.due_at + $4 ELSE $3 END \
         RETURNING due_at",
    )
    .bind(hashed(email_key))
    .bind(kind)
    .bind(now)
    .bind(micros(UNVERIFIED_INTERVAL))
    .fetch_one(conn)
    .await
}

/// Deletes the rows of `mail_turns` that no longer delay a mail. Returns how many.
pub async fn delete_old_turns(conn: &mut Conn, now: Moment) -> Result<u64, sqlx::Error> {
    let done = query("DELETE FROM mail_turns WHERE due_at <= $1")
        .bind(now - UNVERIFIED_INTERVAL)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}

/// Queues the mails of this kind and these subjects again if they were sent or have failed.
pub(crate) async fn queue_again(
    conn: &mut Conn,
    kind: Kind,
    subjects: &[impl ToString],
    now: Moment,
) -> Result<(), sqlx::Error> {
    // PostgreSQL accepts no empty list.
    if subjects.is_empty() {
        return Ok(());
    }
    let mut update = Statement::new("UPDATE mails SET state = 'pending', tries = 0, next_at = ");
    update
        .bind(now)
        .push(", last_error = NULL WHERE kind = ")
        .bind(kind)
        .push(" AND state <> 'pending' AND subject IN (")
        .bind_list(subjects.iter().map(ToString::to_string))
        .push(")");
    update.query()?.execute(conn).await?;
    Ok(())
}

/// Returns the due mails, the longest overdue first.
pub(crate) async fn list_due<'e>(
    on: impl AnyExecutor<'e>,
    now: Moment,
    limit: i64,
) -> Result<Vec<MailId>, sqlx::Error> {
    // Mails of kinds added by a newer version are left to processes of that version.
    let mut select = Statement::new("SELECT id FROM mails WHERE state = 'pending' AND next_at <= ");
    select
        .bind(now)
        .push(" AND kind IN (")
        .bind_list(Kind::VARIANTS)
        .push(") ORDER BY next_at, id LIMIT ")
        .bind(limit);
    select.query_scalar()?.fetch_all(on).await
}

/// Claims a mail that is still due, with a lease until `leased_until`, and counts the attempt. Returns
/// `None` if it is not due.
pub(crate) async fn claim(
    conn: &mut Conn,
    id: MailId,
    now: Moment,
    leased_until: Moment,
) -> Result<Option<MailRow>, sqlx::Error> {
    query_as(
        "UPDATE mails SET tries = tries + 1, next_at = $3 WHERE id = $1 AND state = 'pending' \
         AND next_at <= $2 RETURNING id, kind, subject, tries, created_at",
    )
    .bind(id)
    .bind(now)
    .bind(leased_until)
    .fetch_optional(conn)
    .await
}

/// Marks a mail as sent, even if another process has claimed it meanwhile.
pub(crate) async fn mark_sent(conn: &mut Conn, id: MailId) -> Result<(), sqlx::Error> {
    query("UPDATE mails SET state = 'sent', last_error = NULL WHERE id = $1 AND state = 'pending'")
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

/// Schedules the next attempt at `next_at` and sets the number of attempts to `tries`. Does nothing if
/// another process has claimed the mail since the lease ended.
pub(crate) async fn postpone(
    conn: &mut Conn,
    mail: &MailRow,
    tries: i64,
    next_at: Moment,
    error: &str,
) -> Result<(), sqlx::Error> {
    query(
        "UPDATE mails SET tries = $3, next_at = $4, last_error = $5 \
         WHERE id = $1 AND state = 'pending' AND tries = $2",
    )
    .bind(mail.id)
    .bind(mail.tries)
    .bind(tries)
    .bind(next_at)
    .bind(error)
    .execute(conn)
    .await?;
    Ok(())
}

/// Marks a mail as failed, which ends its attempts. Returns false, and changes nothing, if another process
/// has claimed it meanwhile.
pub(crate) async fn mark_failed(
    conn: &mut Conn,
    mail: &MailRow,
    reason: &str,
) -> Result<bool, sqlx::Error> {
    let done = query(
        "UPDATE mails SET state = 'failed', last_error = $3 \
         WHERE id = $1 AND state = 'pending' AND tries = $2",
    )
    .bind(mail.id)
    .bind(mail.tries)
    .bind(reason)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The time of the last mail about incidents that was addressed to operators.
pub(crate) async fn last_attention_at(conn: &mut Conn) -> Result<Option<Moment>, sqlx::Error> {
    // Subjects begin with the incident's id, which grows with time.
    query_scalar(
        "SELECT created_at FROM mails WHERE kind = 'attention' AND subject LIKE '%:%' \
         ORDER BY subject DESC LIMIT 1",
    )
    .fetch_optional(conn)
    .await
}

/// Takes the incidents that no operator has been mailed about, oldest first. A concurrent call gets none
/// of them.
pub(crate) async fn take_attention(conn: &mut Conn) -> Result<Vec<IncidentId>, sqlx::Error> {
    let mut incidents: Vec<IncidentId> = query_scalar(
        "UPDATE mails SET state = 'sent', last_error = NULL WHERE kind = 'attention' \
         AND state = 'pending' AND subject NOT LIKE '%:%' RETURNING subject",
    )
    .fetch_all(conn)
    .await?;
    incidents.sort_unstable();
    Ok(incidents)
}

/// Deletes the pending mails to a user, and clears the last errors of their other mails: mail servers'
/// replies often contain the address.
pub(crate) async fn erase_for_user(conn: &mut Conn, user: UserId) -> Result<(), sqlx::Error> {
    const TO_USER: &str = "(kind IN ('order_complete', 'order_expired') \
         AND subject IN (SELECT o.id FROM orders o WHERE o.buyer_id = $1)) \
         OR (kind = 'event_changed' AND subject IN (SELECT o.id || ':' || c.id FROM orders o \
         JOIN event_changes c ON c.event_id = o.event_id WHERE o.buyer_id = $1)) \
         OR (kind IN ('order_refunded', 'refund_failed') AND subject IN (SELECT r.id FROM refunds r \
         JOIN orders o ON o.id = r.order_id WHERE o.buyer_id = $1)) \
         OR (kind = 'password_reset' AND subject IN \
         (SELECT p.id FROM password_resets p WHERE p.user_id = $1)) \
         OR (kind IN ('email_proof', 'email_changed') AND subject IN \
         (SELECT p.id FROM email_proofs p WHERE p.user_id = $1)) \
         OR (kind IN ('password_changed', 'second_factor_changed', 'attention') \
         AND subject LIKE '%' || $1 || '%')";
    for sql in [
        format!("DELETE FROM mails WHERE state = 'pending' AND ({TO_USER})"),
        format!("UPDATE mails SET last_error = NULL WHERE last_error IS NOT NULL AND ({TO_USER})"),
    ] {
        query(AssertSqlSafe(sql))
            .bind(user)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}
