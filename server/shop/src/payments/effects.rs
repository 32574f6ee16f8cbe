//! The SQL of effects: calls to Stripe, each written down before it is made. Functions that take a
//! `Conn` run in the caller's transaction.

use model::{
    Moment,
    ids::{EffectId, PaymentId},
};
use platform::db::Conn;
use sqlx::{AnyExecutor, query, query_as, query_scalar};
use sqlx_macros::FromRow;
use strum::{Display, EnumString, IntoStaticStr};
use uuid::Uuid;

/// A kind of call to Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum EffectKind {
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

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
enum EffectState {
    Pending,
    Done,
    Failed,
}

/// What came of a call that has been settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Came {
    /// Stripe did what was asked.
    Made,
    /// The card was declined.
    Declined,
    /// What the buyer pays with was refused as it is written.
    BadToken,
    /// Stripe refused the call as invalid: the shop's fault.
    Refused,
}

model::text_columns!(EffectKind, EffectState, Came);

/// How a call that a buyer waits for stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// Somebody is making it for the first time.
    pub in_flight: bool,
    /// What came of it, once it is settled; none also where nobody wrote it down.
    pub came: Option<Came>,
}

/// A call to Stripe that is to be made.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct EffectRow {
    /// Its id.
    pub id: EffectId,
    /// Which call.
    pub kind: EffectKind,
    /// Its idempotency key: for ever the same.
    #[sqlx(rename = "idem_key")]
    pub key: String,
    /// Its parameters as JSON: for ever the same.
    pub params: String,
    /// How often it was tried, this time included.
    pub tries: i64,
}

/// Writes a call down; it is due at once. Returns its id.
pub(crate) async fn effect_insert(
    conn: &mut Conn,
    payment: PaymentId,
    kind: EffectKind,
    key: &str,
    params: &str,
    now: Moment,
) -> Result<EffectId, sqlx::Error> {
    let id = EffectId(Uuid::now_v7());
    query(
        "INSERT INTO payment_effects (id, payment_id, kind, idem_key, params, state, next_at, \
         created_at) VALUES ($1, $2, $3, $4, $5, 'pending', $6, $6)",
    )
    .bind(id)
    .bind(payment)
    .bind(kind)
    .bind(key.to_owned())
    .bind(params.to_owned())
    .bind(now)
    .execute(conn)
    .await?;
    Ok(id)
}

/// Takes the payment's oldest pending call, if it is due, and leases it until `leased_until`:
/// whoever else looks meanwhile finds nothing due. A later call never overtakes an earlier one.
pub(crate) async fn effect_claim(
    conn: &mut Conn,
    payment: PaymentId,
    now: Moment,
    leased_until: Moment,
) -> Result<Option<EffectRow>, sqlx::Error> {
    query_as(
        "UPDATE payment_effects SET tries = tries + 1, next_at = $3 WHERE id = (SELECT id FROM \
         payment_effects WHERE payment_id = $1 AND state = 'pending' ORDER BY id LIMIT 1) \
         AND state = 'pending' AND next_at <= $2 RETURNING id, kind, idem_key, params, tries",
    )
    .bind(payment)
    .bind(now)
    .bind(leased_until)
    .fetch_optional(conn)
    .await
}

/// The call's outcome is known; none: it was not needed. False: another had settled it.
pub(crate) async fn effect_settle(
    conn: &mut Conn,
    effect: EffectId,
    came: Option<Came>,
    failed: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let done = query(
        "UPDATE payment_effects SET state = $2, last_error = $3, outcome = $4 \
         WHERE id = $1 AND state = 'pending'",
    )
    .bind(effect)
    .bind(if failed.is_some() {
        EffectState::Failed
    } else {
        EffectState::Done
    })
    .bind(failed.map(str::to_owned))
    .bind(came)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The call's outcome is unknown: it is made again at `next_at`, with the same key.
pub(crate) async fn effect_postpone(
    conn: &mut Conn,
    effect: EffectId,
    next_at: Moment,
    error: &str,
) -> Result<(), sqlx::Error> {
    query(
        "UPDATE payment_effects SET next_at = $2, last_error = $3 \
         WHERE id = $1 AND state = 'pending'",
    )
    .bind(effect)
    .bind(next_at)
    .bind(error.to_owned())
    .execute(conn)
    .await?;
    Ok(())
}

/// Drops the voids of a payment whose money is now wanted after all.
pub(crate) async fn effects_drop_voids(
    conn: &mut Conn,
    payment: PaymentId,
) -> Result<(), sqlx::Error> {
    query(
        "UPDATE payment_effects SET state = 'done', last_error = 'dropped: the order revived' \
         WHERE payment_id = $1 AND kind = 'void' AND state = 'pending'",
    )
    .bind(payment)
    .execute(conn)
    .await?;
    Ok(())
}

/// Payments with calls that are due.
pub(crate) async fn payments_due<'e>(
    on: impl AnyExecutor<'e>,
    now: Moment,
    limit: i64,
) -> Result<Vec<PaymentId>, sqlx::Error> {
    query_scalar(
        "SELECT payment_id, MIN(next_at) AS due FROM payment_effects \
         WHERE state = 'pending' AND next_at <= $1 GROUP BY payment_id ORDER BY due LIMIT $2",
    )
    .bind(now)
    .bind(limit)
    .fetch_all(on)
    .await
}

/// Writes the call down that gives an authorisation back.
pub(crate) async fn void_insert(
    conn: &mut Conn,
    payment: PaymentId,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let number = effects_count(conn, payment, EffectKind::Void).await?;
    let key = format!("void:{payment}:{number}");
    effect_insert(conn, payment, EffectKind::Void, &key, "{}", now).await?;
    Ok(())
}

/// Writes the call down that takes the money.
pub(crate) async fn capture_insert(
    conn: &mut Conn,
    payment: PaymentId,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let number = effects_count(conn, payment, EffectKind::Capture).await?;
    let key = format!("cap:{payment}:{number}");
    effect_insert(conn, payment, EffectKind::Capture, &key, "{}", now).await?;
    Ok(())
}

/// How many calls of a kind there have been for a payment: the next one's number.
async fn effects_count(
    conn: &mut Conn,
    payment: PaymentId,
    kind: EffectKind,
) -> Result<i64, sqlx::Error> {
    query_scalar("SELECT COUNT(*) FROM payment_effects WHERE payment_id = $1 AND kind = $2")
        .bind(payment)
        .bind(kind)
        .fetch_one(conn)
        .await
}

/// How this call stands.
pub(crate) async fn attempt_find<'e>(
    on: impl AnyExecutor<'e>,
    effect: EffectId,
) -> Result<Attempt, sqlx::Error> {
    let (state, failed, came) = query_as::<_, (EffectState, Option<String>, Option<Came>)>(
        "SELECT state, last_error, outcome FROM payment_effects WHERE id = $1",
    )
    .bind(effect)
    .fetch_one(on)
    .await?;
    Ok(Attempt {
        in_flight: state == EffectState::Pending && failed.is_none(),
        came,
    })
}

/// Whether a call for this payment is being made this moment: it waits for nothing but its answer.
pub(crate) async fn effect_in_flight<'e>(
    on: impl AnyExecutor<'e>,
    payment: PaymentId,
) -> Result<bool, sqlx::Error> {
    let calls: i64 = query_scalar(
        "SELECT COUNT(*) FROM payment_effects \
         WHERE payment_id = $1 AND state = 'pending' AND last_error IS NULL",
    )
    .bind(payment)
    .fetch_one(on)
    .await?;
    Ok(calls > 0)
}

/// Whether any call for this payment has not come to its end.
pub(crate) async fn effect_is_waiting<'e>(
    on: impl AnyExecutor<'e>,
    payment: PaymentId,
) -> Result<bool, sqlx::Error> {
    let row = query("SELECT 1 FROM payment_effects WHERE payment_id = $1 AND state = 'pending'")
        .bind(payment)
        .fetch_optional(on)
        .await?;
    Ok(row.is_some())
}

/// Whether the call is still to be made.
pub(crate) async fn effect_is_pending<'e>(
    on: impl AnyExecutor<'e>,
    effect: EffectId,
) -> Result<bool, sqlx::Error> {
    let row = query("SELECT 1 FROM payment_effects WHERE id = $1 AND state = 'pending'")
        .bind(effect)
        .fetch_optional(on)
        .await?;
    Ok(row.is_some())
}
