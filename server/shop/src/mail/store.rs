//! The SQL of `mails` and `mail_turns`. Functions that take a `Conn` run in the caller's transaction.

use super::{Kind, RARELY};
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

/// A mail that is to be sent.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct MailRow {
    /// Its id, which is also the message's.
    pub id: MailId,
    /// What it tells of.
    pub kind: Kind,
    /// The thing itself.
    pub subject: String,
    /// How often it was tried, this time included.
    pub tries: i64,
    /// When it was written down.
    pub created_at: Moment,
}

/// Writes a mail down that is to be sent from `due` on, once for each kind and subject.
pub(crate) async fn mail_insert(
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

/// Whether the owner of an account has proved that the address with this key is theirs.
pub(crate) async fn is_proved(conn: &mut Conn, email_key: &str) -> Result<bool, sqlx::Error> {
    let sql = "SELECT 1 FROM users WHERE email_key = $1 AND email_verified_at IS NOT NULL";
    let row = query(sql).bind(email_key).fetch_optional(conn).await?;
    Ok(row.is_some())
}

/// As turns are kept: whose they are cannot be read from them.
fn hashed(email_key: &str) -> String {
    hex::encode(Sha256::digest(email_key))
}

/// Takes an address's turn to get a mail of this kind. False: it has had one within
/// [`RARELY`].
pub(crate) async fn turn_take(
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
    .bind(now - RARELY)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes an address's next turn to get a mail of this kind. Returns when that is.
pub(crate) async fn turn_wait(
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
    .bind(micros(RARELY))
    .fetch_one(conn)
    .await
}

/// Forgets turns that hold up no mail any more. Returns how many.
pub async fn turns_delete_old(conn: &mut Conn, now: Moment) -> Result<u64, sqlx::Error> {
    let done = query("DELETE FROM mail_turns WHERE due_at <= $1")
        .bind(now - RARELY)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}

/// Sends the mails of this kind about these subjects again.
pub async fn mails_send_again(
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

/// Mails that are due, longest first.
pub(crate) async fn mails_due<'e>(
    on: impl AnyExecutor<'e>,
    now: Moment,
    limit: i64,
) -> Result<Vec<MailId>, sqlx::Error> {
    // A mail of a kind that a newer version has added is left to a process of that version.
    let mut select = Statement::new("SELECT id FROM mails WHERE state = 'pending' AND next_at <= ");
    select
        .bind(now)
        .push(" AND kind IN (")
        .bind_list(Kind::VARIANTS)
        .push(") ORDER BY next_at, id LIMIT ")
        .bind(limit);
    select.query_scalar()?.fetch_all(on).await
}

/// Takes a mail if it is still due, and leases it until `leased_until`: until then
/// it is not due. A crash with it in hand counts as a try.
pub(crate) async fn mail_claim(
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

/// The mail is sent, even if another process has claimed it since.
pub(crate) async fn mail_sent(conn: &mut Conn, id: MailId) -> Result<(), sqlx::Error> {
    query("UPDATE mails SET state = 'sent', last_error = NULL WHERE id = $1 AND state = 'pending'")
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

/// The mail is tried again at `next_at`. `tries` is how many count so far. Nothing happens if the
/// lease ran out and another has claimed it since.
pub(crate) async fn mail_postpone(
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

/// The mail will not be sent. False: another has claimed it since, and nothing happened.
pub(crate) async fn mail_fail(
    conn: &mut Conn,
    mail: &MailRow,
    why: &str,
) -> Result<bool, sqlx::Error> {
    let done = query(
        "UPDATE mails SET state = 'failed', last_error = $3 \
         WHERE id = $1 AND state = 'pending' AND tries = $2",
    )
    .bind(mail.id)
    .bind(mail.tries)
    .bind(why)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// When a mail about incidents was last addressed to the operators.
pub(crate) async fn attention_told_at(conn: &mut Conn) -> Result<Option<Moment>, sqlx::Error> {
    // Subjects begin with the incident's id, which grows with time.
    query_scalar(
        "SELECT created_at FROM mails WHERE kind = 'attention' AND subject LIKE '%:%' \
         ORDER BY subject DESC LIMIT 1",
    )
    .fetch_optional(conn)
    .await
}

/// Takes all incidents that no operator has had a mail about, oldest first. A concurrent call gets none
/// of them.
pub(crate) async fn attention_take(conn: &mut Conn) -> Result<Vec<IncidentId>, sqlx::Error> {
    let mut incidents: Vec<IncidentId> = query_scalar(
        "UPDATE mails SET state = 'sent', last_error = NULL WHERE kind = 'attention' \
         AND state = 'pending' AND subject NOT LIKE '%:%' RETURNING subject",
    )
    .fetch_all(conn)
    .await?;
    incidents.sort_unstable();
    Ok(incidents)
}

/// Mails to this user that wait are not sent, and what mail servers said of others is forgotten:
/// it often names the address.
pub async fn mails_drop_to(conn: &mut Conn, user: UserId) -> Result<(), sqlx::Error> {
    const TO_THEM: &str = "(kind IN ('order_complete', 'order_expired') \
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
        format!("DELETE FROM mails WHERE state = 'pending' AND ({TO_THEM})"),
        format!("UPDATE mails SET last_error = NULL WHERE last_error IS NOT NULL AND ({TO_THEM})"),
    ] {
        query(AssertSqlSafe(sql))
            .bind(user)
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}
