//! The SQL of effects: calls to Stripe, each written down before it is made. Functions that take a
//! `Conn` run in the caller's transaction.

use crate::db::{Conn, parse};
use model::ids::PaymentId;
use sqlx::{AnyExecutor, Row, query};
use strum::{EnumString, IntoStaticStr};
use uuid::Uuid;

/// A kind of call to Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum EffectKind {
    /// Make and confirm an intent.
    Create,
    /// Confirm it with another card.
    Confirm,
    /// Take the money.
    Capture,
    /// Give it back before it is taken.
    Void,
    /// Give back what was taken.
    Refund,
}

impl EffectKind {
    pub(super) fn name(self) -> &'static str {
        self.into()
    }
}

/// What came of a call that has been settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Came {
    /// Stripe did what was asked.
    Made,
    /// The card was declined.
    Declined,
    /// What the buyer pays with was refused as it is written.
    BadToken,
    /// Stripe refused the call as invalid: the shop's fault.
    Refused,
}

/// How a call that a buyer waits for stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Somebody is making it for the first time.
    pub in_flight: bool,
    /// What came of it, once it is settled; none also where nobody wrote it down.
    pub came: Option<Came>,
}

/// A call to Stripe that is to be made.
#[derive(Debug, Clone)]
pub struct EffectRow {
    /// Its id.
    pub id: String,
    /// Which call.
    pub kind: EffectKind,
    /// Its idempotency key: for ever the same.
    pub key: String,
    /// Its parameters as JSON: for ever the same.
    pub params: String,
    /// How often it was tried, this time included.
    pub tries: i64,
}

/// Writes a call down; it is due at once. Returns its id.
pub async fn effect_insert(
    conn: &mut Conn,
    payment: PaymentId,
    kind: EffectKind,
    key: &str,
    params: &str,
    now_micros: i64,
) -> Result<String, sqlx::Error> {
    let id = Uuid::now_v7().to_string();
    query(
        "INSERT INTO payment_effects (id, payment_id, kind, idem_key, params, state, next_at, \
         created_at) VALUES ($1, $2, $3, $4, $5, 'pending', $6, $6)",
    )
    .bind(id.clone())
    .bind(payment.to_string())
    .bind(kind.name())
    .bind(key.to_owned())
    .bind(params.to_owned())
    .bind(now_micros)
    .execute(conn)
    .await?;
    Ok(id)
}

/// Takes the payment's oldest pending call, if it is due, and leases it until `lease_micros`:
/// whoever else looks meanwhile finds nothing due. A later call never overtakes an earlier one.
pub async fn effect_claim(
    conn: &mut Conn,
    payment: PaymentId,
    now_micros: i64,
    lease_micros: i64,
) -> Result<Option<EffectRow>, sqlx::Error> {
    let row = query(
        "UPDATE payment_effects SET tries = tries + 1, next_at = $3 WHERE id = (SELECT id FROM \
         payment_effects WHERE payment_id = $1 AND state = 'pending' ORDER BY id LIMIT 1) \
         AND state = 'pending' AND next_at <= $2 RETURNING id, kind, idem_key, params, tries",
    )
    .bind(payment.to_string())
    .bind(now_micros)
    .bind(lease_micros)
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        Ok(EffectRow {
            id: row.try_get("id")?,
            kind: parse(&row, "kind")?,
            key: row.try_get("idem_key")?,
            params: row.try_get("params")?,
            tries: row.try_get("tries")?,
        })
    })
    .transpose()
}

/// The call's outcome is known; none: it was not needed. False: another had settled it.
pub async fn effect_settle(
    conn: &mut Conn,
    effect: &str,
    came: Option<Came>,
    failed: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let done = query(
        "UPDATE payment_effects SET state = $2, last_error = $3, outcome = $4 \
         WHERE id = $1 AND state = 'pending'",
    )
    .bind(effect.to_owned())
    .bind(if failed.is_some() { "failed" } else { "done" })
    .bind(failed.map(str::to_owned))
    .bind(came.map(<&str>::from))
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The call's outcome is unknown: it is made again at `next_at`, with the same key.
pub async fn effect_postpone(
    conn: &mut Conn,
    effect: &str,
    next_at_micros: i64,
    error: &str,
) -> Result<(), sqlx::Error> {
    query(
        "UPDATE payment_effects SET next_at = $2, last_error = $3 \
         WHERE id = $1 AND state = 'pending'",
    )
    .bind(effect.to_owned())
    .bind(next_at_micros)
    .bind(error.to_owned())
    .execute(conn)
    .await?;
    Ok(())
}

/// Drops the voids of a payment whose money is now wanted after all.
pub async fn effects_drop_voids(conn: &mut Conn, payment: PaymentId) -> Result<(), sqlx::Error> {
    query(
        "UPDATE payment_effects SET state = 'done', last_error = 'dropped: the order revived' \
         WHERE payment_id = $1 AND kind = 'void' AND state = 'pending'",
    )
    .bind(payment.to_string())
    .execute(conn)
    .await?;
    Ok(())
}

/// Payments with calls that are due.
pub async fn payments_due<'e>(
    on: impl AnyExecutor<'e>,
    now_micros: i64,
    limit: i64,
) -> Result<Vec<PaymentId>, sqlx::Error> {
    let rows = query(
        "SELECT payment_id, MIN(next_at) AS due FROM payment_effects \
         WHERE state = 'pending' AND next_at <= $1 GROUP BY payment_id ORDER BY due LIMIT $2",
    )
    .bind(now_micros)
    .bind(limit)
    .fetch_all(on)
    .await?;
    rows.iter().map(|row| parse(row, "payment_id")).collect()
}

/// Writes the call down that gives an authorisation back.
pub async fn void_insert(
    conn: &mut Conn,
    payment: PaymentId,
    now_micros: i64,
) -> Result<(), sqlx::Error> {
    let number = effects_count(conn, payment, EffectKind::Void).await?;
    let key = format!("void:{payment}:{number}");
    effect_insert(conn, payment, EffectKind::Void, &key, "{}", now_micros).await?;
    Ok(())
}

/// Writes the call down that takes the money.
pub async fn capture_insert(
    conn: &mut Conn,
    payment: PaymentId,
    now_micros: i64,
) -> Result<(), sqlx::Error> {
    let number = effects_count(conn, payment, EffectKind::Capture).await?;
    let key = format!("cap:{payment}:{number}");
    effect_insert(conn, payment, EffectKind::Capture, &key, "{}", now_micros).await?;
    Ok(())
}

/// How many calls of a kind there have been for a payment: the next one's number.
async fn effects_count(
    conn: &mut Conn,
    payment: PaymentId,
    kind: EffectKind,
) -> Result<i64, sqlx::Error> {
    let row =
        query("SELECT COUNT(*) AS calls FROM payment_effects WHERE payment_id = $1 AND kind = $2")
            .bind(payment.to_string())
            .bind(kind.name())
            .fetch_one(conn)
            .await?;
    row.try_get("calls")
}

/// How this call stands.
pub async fn attempt_find<'e>(
    on: impl AnyExecutor<'e>,
    effect: &str,
) -> Result<Attempt, sqlx::Error> {
    let row = query("SELECT state, last_error, outcome FROM payment_effects WHERE id = $1")
        .bind(effect.to_owned())
        .fetch_one(on)
        .await?;
    let came: Option<String> = row.try_get("outcome")?;
    let failed: Option<String> = row.try_get("last_error")?;
    Ok(Attempt {
        in_flight: row.try_get::<String, _>("state")? == "pending" && failed.is_none(),
        came: came.map(|_| parse(&row, "outcome")).transpose()?,
    })
}

/// Whether a call for this payment is being made this moment: it waits for nothing but its answer.
pub async fn effect_in_flight<'e>(
    on: impl AnyExecutor<'e>,
    payment: PaymentId,
) -> Result<bool, sqlx::Error> {
    let row = query(
        "SELECT COUNT(*) AS calls FROM payment_effects \
         WHERE payment_id = $1 AND state = 'pending' AND last_error IS NULL",
    )
    .bind(payment.to_string())
    .fetch_one(on)
    .await?;
    Ok(row.try_get::<i64, _>("calls")? > 0)
}

/// Whether any call for this payment has not come to its end.
pub async fn effect_is_waiting<'e>(
    on: impl AnyExecutor<'e>,
    payment: PaymentId,
) -> Result<bool, sqlx::Error> {
    let row = query("SELECT 1 FROM payment_effects WHERE payment_id = $1 AND state = 'pending'")
        .bind(payment.to_string())
        .fetch_optional(on)
        .await?;
    Ok(row.is_some())
}

/// Whether the call is still to be made.
pub async fn effect_is_pending<'e>(
    on: impl AnyExecutor<'e>,
    effect: &str,
) -> Result<bool, sqlx::Error> {
    let row = query("SELECT 1 FROM payment_effects WHERE id = $1 AND state = 'pending'")
        .bind(effect.to_owned())
        .fetch_optional(on)
        .await?;
    Ok(row.is_some())
}
