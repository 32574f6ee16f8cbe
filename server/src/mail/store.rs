//! The SQL of mails, and of what letters list. Functions that take a `Conn` run in the caller's
//! transaction.

use super::{Kind, RARELY_MICROS, letters::Seat};
use crate::{
    db::{Conn, parse},
    events::span::tickets_until,
    session::hex,
};
use app::tickets::label;
use model::{
    ids::{OrderId, RefundId, UserId},
    money::{Currency, Money},
};
use sha2::{Digest, Sha256};
use sqlx::{AnyExecutor, AssertSqlSafe, Row, any::AnyRow, query};
use uuid::Uuid;

/// A mail that is to be sent.
#[derive(Debug, Clone)]
pub struct MailRow {
    /// Its id, which is also the message's.
    pub id: String,
    /// What it tells of.
    pub kind: Kind,
    /// The thing itself.
    pub subject: String,
    /// How often it was tried, this time included.
    pub tries: i64,
    /// When it was written down, in microseconds.
    pub created_at: i64,
}

/// Writes a mail down that is to be sent from `due_micros` on, once for each kind and subject.
pub async fn mail_insert(
    conn: &mut Conn,
    kind: Kind,
    subject: &str,
    now_micros: i64,
    due_micros: i64,
) -> Result<(), sqlx::Error> {
    query(
        "INSERT INTO mails (id, kind, subject, state, next_at, created_at) \
         VALUES ($1, $2, $3, 'pending', $5, $4) ON CONFLICT (kind, subject) DO NOTHING",
    )
    .bind(Uuid::now_v7().to_string())
    .bind(kind.name())
    .bind(subject.to_owned())
    .bind(now_micros)
    .bind(due_micros)
    .execute(conn)
    .await?;
    Ok(())
}

/// Whether the owner of an account has proved that the address with this key is theirs.
pub async fn is_proved(conn: &mut Conn, email_key: &str) -> Result<bool, sqlx::Error> {
    let sql = "SELECT 1 FROM users WHERE email_key = $1 AND email_verified_at IS NOT NULL";
    let row = query(sql)
        .bind(email_key.to_owned())
        .fetch_optional(conn)
        .await?;
    Ok(row.is_some())
}

/// As turns are kept: whose they are cannot be read from them.
fn hashed(email_key: &str) -> String {
    hex(&Sha256::digest(email_key))
}

/// Takes an address's turn to get a mail of this kind. False: it has had one within
/// [`RARELY_MICROS`].
pub async fn turn_take(
    conn: &mut Conn,
    email_key: &str,
    kind: Kind,
    now_micros: i64,
) -> Result<bool, sqlx::Error> {
    let done = query(
        "INSERT INTO mail_turns (address_hash, kind, due_at) VALUES ($1, $2, $3) \
         ON CONFLICT (address_hash, kind) DO UPDATE SET due_at = $3 \
         WHERE mail_turns.due_at <= $4",
    )
    .bind(hashed(email_key))
    .bind(kind.name())
    .bind(now_micros)
    .bind(now_micros - RARELY_MICROS)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Takes an address's next turn to get a mail of this kind. Returns when that is, in microseconds.
pub async fn turn_wait(
    conn: &mut Conn,
    email_key: &str,
    kind: Kind,
    now_micros: i64,
) -> Result<i64, sqlx::Error> {
    let row = query(
        "INSERT INTO mail_turns (address_hash, kind, due_at) VALUES ($1, $2, $3) \
         ON CONFLICT (address_hash, kind) DO UPDATE SET due_at = \
         CASE WHEN mail_turns.due_at + $4 > $3 THEN mail_turns.due_at + $4 ELSE $3 END \
         RETURNING due_at",
    )
    .bind(hashed(email_key))
    .bind(kind.name())
    .bind(now_micros)
    .bind(RARELY_MICROS)
    .fetch_one(conn)
    .await?;
    row.try_get("due_at")
}

/// Forgets turns that hold up no mail any more. Returns how many.
pub async fn turns_delete_old(conn: &mut Conn, now_micros: i64) -> Result<u64, sqlx::Error> {
    let done = query("DELETE FROM mail_turns WHERE due_at <= $1")
        .bind(now_micros - RARELY_MICROS)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}

/// Sends the tickets of this user's paid orders again, to the address that they have now, for events
/// whose tickets are still shown.
pub async fn tickets_send_again(
    conn: &mut Conn,
    user: UserId,
    now_micros: i64,
) -> Result<(), sqlx::Error> {
    query(concat!(
        "UPDATE mails SET state = 'pending', tries = 0, next_at = $2, last_error = NULL \
         WHERE kind = 'order_complete' AND state <> 'pending' AND subject IN \
         (SELECT o.id FROM orders o JOIN events e ON e.id = o.event_id WHERE o.buyer_id = $1 \
         AND o.status IN ('complete', 'refunding') AND ",
        tickets_until!("e"),
        " > $2)"
    ))
    .bind(user.to_string())
    .bind(now_micros)
    .execute(conn)
    .await?;
    Ok(())
}

/// Mails that are due, longest first.
pub async fn mails_due<'e>(
    on: impl AnyExecutor<'e>,
    now_micros: i64,
    limit: i64,
) -> Result<Vec<String>, sqlx::Error> {
    let rows = query(
        "SELECT id FROM mails WHERE state = 'pending' AND next_at <= $1 \
         ORDER BY next_at, id LIMIT $2",
    )
    .bind(now_micros)
    .bind(limit)
    .fetch_all(on)
    .await?;
    rows.iter().map(|row| row.try_get("id")).collect()
}

/// Takes a mail if it is still due, and leases it until `lease_micros`: whoever else looks
/// meanwhile finds it not due. A crash with it in hand counts as a try.
pub async fn mail_claim(
    conn: &mut Conn,
    id: &str,
    now_micros: i64,
    lease_micros: i64,
) -> Result<Option<MailRow>, sqlx::Error> {
    let row = query(
        "UPDATE mails SET tries = tries + 1, next_at = $3 WHERE id = $1 AND state = 'pending' \
         AND next_at <= $2 RETURNING id, kind, subject, tries, created_at",
    )
    .bind(id.to_owned())
    .bind(now_micros)
    .bind(lease_micros)
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(MailRow {
            id: row.try_get("id")?,
            kind: parse(&row, "kind")?,
            subject: row.try_get("subject")?,
            tries: row.try_get("tries")?,
            created_at: row.try_get("created_at")?,
        })
    })
    .transpose()
}

/// The mail is out, whoever else may be trying it by now.
pub async fn mail_sent(conn: &mut Conn, id: &str) -> Result<(), sqlx::Error> {
    query("UPDATE mails SET state = 'sent', last_error = NULL WHERE id = $1 AND state = 'pending'")
        .bind(id.to_owned())
        .execute(conn)
        .await?;
    Ok(())
}

/// The mail is tried again at `next_at`. `tries` is how many count so far. Nothing happens if the
/// lease ran out and another has claimed it since.
pub async fn mail_postpone(
    conn: &mut Conn,
    mail: &MailRow,
    tries: i64,
    next_at_micros: i64,
    error: &str,
) -> Result<(), sqlx::Error> {
    query(
        "UPDATE mails SET tries = $3, next_at = $4, last_error = $5 \
         WHERE id = $1 AND state = 'pending' AND tries = $2",
    )
    .bind(mail.id.clone())
    .bind(mail.tries)
    .bind(tries)
    .bind(next_at_micros)
    .bind(error.to_owned())
    .execute(conn)
    .await?;
    Ok(())
}

/// The mail will not be sent. False: another has claimed it since, and nothing happened.
pub async fn mail_fail(conn: &mut Conn, mail: &MailRow, why: &str) -> Result<bool, sqlx::Error> {
    let done = query(
        "UPDATE mails SET state = 'failed', last_error = $3 \
         WHERE id = $1 AND state = 'pending' AND tries = $2",
    )
    .bind(mail.id.clone())
    .bind(mail.tries)
    .bind(why.to_owned())
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// When the operators were last told of an incident, in microseconds.
pub async fn attention_told_at(conn: &mut Conn) -> Result<Option<i64>, sqlx::Error> {
    // Subjects begin with the incident's id, which grows with time.
    let row = query(
        "SELECT created_at FROM mails WHERE kind = 'attention' AND subject LIKE '%:%' \
         ORDER BY subject DESC LIMIT 1",
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| row.try_get("created_at")).transpose()
}

/// Takes all incidents that the operators have not been told of, oldest first. Whoever asks at the
/// same time gets none of them.
pub async fn attention_take(conn: &mut Conn) -> Result<Vec<String>, sqlx::Error> {
    let rows = query(
        "UPDATE mails SET state = 'sent', last_error = NULL WHERE kind = 'attention' \
         AND state = 'pending' AND subject NOT LIKE '%:%' RETURNING subject",
    )
    .fetch_all(conn)
    .await?;
    let mut incidents: Vec<String> = rows
        .iter()
        .map(|row| row.try_get("subject"))
        .collect::<Result<_, _>>()?;
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
            .bind(user.to_string())
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// The tickets of an order at the price that was paid, by section, row and seat; true: it has
/// been paid back, or is about to be.
pub async fn order_seats<'e>(
    on: impl AnyExecutor<'e>,
    order: OrderId,
) -> Result<Vec<(Seat, bool)>, sqlx::Error> {
    let rows = query(
        "SELECT t.section, t.row_label, t.seat, l.price_minor AS amount_minor, t.currency, \
         (SELECT COUNT(*) FROM refund_lines r WHERE r.order_id = l.order_id \
         AND r.ticket_id = l.ticket_id AND r.live = 1) AS refunds \
         FROM order_lines l JOIN tickets t ON t.id = l.ticket_id WHERE l.order_id = $1 \
         ORDER BY t.section, t.row_label, t.seat, t.id",
    )
    .bind(order.to_string())
    .fetch_all(on)
    .await?;
    rows.iter()
        .map(|row| Ok((seat(row)?, row.try_get::<i64, _>("refunds")? > 0)))
        .collect()
}

/// The tickets that a refund pays back, or would have, each with its part of the money.
pub async fn refund_seats<'e>(
    on: impl AnyExecutor<'e>,
    refund: RefundId,
) -> Result<Vec<Seat>, sqlx::Error> {
    let rows = query(
        "SELECT t.section, t.row_label, t.seat, r.amount_minor, t.currency \
         FROM refund_lines r JOIN tickets t ON t.id = r.ticket_id WHERE r.refund_id = $1 \
         ORDER BY t.section, t.row_label, t.seat, t.id",
    )
    .bind(refund.to_string())
    .fetch_all(on)
    .await?;
    rows.iter().map(seat).collect()
}

fn seat(row: &AnyRow) -> Result<Seat, sqlx::Error> {
    let (section, line, seat): (Option<String>, Option<String>, Option<String>) = (
        row.try_get("section")?,
        row.try_get("row_label")?,
        row.try_get("seat")?,
    );
    Ok(Seat {
        label: label(section.as_deref(), line.as_deref(), seat.as_deref()),
        price: Money::new(row.try_get("amount_minor")?, parse(row, "currency")?),
    })
}

/// What a letter says of a refund.
#[derive(Debug, Clone)]
pub struct RefundRow {
    /// The order that was paid.
    pub order: OrderId,
    /// What goes back.
    pub amount: Money,
    /// As it is written down.
    pub state: String,
    /// Whether it was made at the provider, by hand.
    pub by_hand: bool,
}

/// One refund.
pub async fn refund_find<'e>(
    on: impl AnyExecutor<'e>,
    id: RefundId,
) -> Result<Option<RefundRow>, sqlx::Error> {
    let row =
        query("SELECT order_id, amount_minor, currency, state, reason FROM refunds WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(on)
            .await?;
    row.map(|row| {
        Ok(RefundRow {
            order: parse(&row, "order_id")?,
            amount: Money::new(
                row.try_get("amount_minor")?,
                parse::<Currency>(&row, "currency")?,
            ),
            state: row.try_get("state")?,
            by_hand: row.try_get::<String, _>("reason")? == "provider",
        })
    })
    .transpose()
}

/// What became of the cards that were tried for an order.
#[derive(Debug, Clone, Copy)]
pub struct Charged {
    /// Payments whose money was taken, wherever it is now.
    pub taken: i64,
    /// Payments of which that is not yet certain.
    pub open: i64,
}

/// Whether any card of the order was charged after all.
pub async fn order_charged<'e>(
    on: impl AnyExecutor<'e>,
    order: OrderId,
) -> Result<Charged, sqlx::Error> {
    let row = query(
        "SELECT COUNT(CASE WHEN received_minor > 0 THEN 1 END) AS taken, \
         COUNT(CASE WHEN state NOT IN ('voided', 'failed') THEN 1 END) AS open \
         FROM payments WHERE order_id = $1",
    )
    .bind(order.to_string())
    .fetch_one(on)
    .await?;
    Ok(Charged {
        taken: row.try_get("taken")?,
        open: row.try_get("open")?,
    })
}
