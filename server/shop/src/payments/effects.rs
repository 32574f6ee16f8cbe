//! The SQL of effects: calls to Stripe, each stored before it is made. Functions that take a `Conn` run
//! in the caller's transaction.

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
    /// Create and confirm an intent.
    Create,
    /// Confirm the intent with another card.
    Confirm,
    Capture,
    /// Cancel an uncaptured intent.
    Void,
    Refund,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
enum EffectState {
    Pending,
    Done,
    Failed,
}

/// The outcome of a settled call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum EffectOutcome {
    /// Stripe executed the call.
    Made,
    /// The card was declined.
    Declined,
    /// Stripe rejected the buyer's token.
    BadToken,
    /// Stripe rejected the call as invalid: a fault of the shop.
    Refused,
}

model::text_columns!(EffectKind, EffectState, EffectOutcome);

/// The state of a call whose result a buyer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// The first try has not been answered.
    pub in_flight: bool,
    /// Set once settled; none also for effects that were settled without an outcome.
    pub outcome: Option<EffectOutcome>,
}

/// A claimed call to Stripe.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct EffectRow {
    pub id: EffectId,
    pub kind: EffectKind,
    /// Idempotency key; never changes.
    #[sqlx(rename = "idem_key")]
    pub key: String,
    /// Parameters as JSON; never change.
    pub params: String,
    /// Number of tries, including this one.
    pub tries: i64,
}

/// Inserts a call that is due at once. Returns its id.
pub(crate) async fn insert(
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

/// Leases the payment's oldest pending call until `leased_until`, if it is due. Until then other callers
/// get none. A later call never overtakes an earlier one.
pub(crate) async fn claim(
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

/// Ends a call; `outcome` is none if it was not needed, `failed` is the error of a refused one. Returns
/// false if it was already settled.
pub(crate) async fn settle(
    conn: &mut Conn,
    effect: EffectId,
    outcome: Option<EffectOutcome>,
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
    .bind(outcome)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Schedules a call with an unknown outcome to be repeated at `next_at`, with the same key.
pub(crate) async fn postpone(
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

/// Ends pending voids of a payment that is to be captured after all, or that has no intent.
pub(crate) async fn drop_voids(conn: &mut Conn, payment: PaymentId) -> Result<(), sqlx::Error> {
    query(
        "UPDATE payment_effects SET state = 'done', last_error = 'dropped: the order revived' \
         WHERE payment_id = $1 AND kind = 'void' AND state = 'pending'",
    )
    .bind(payment)
    .execute(conn)
    .await?;
    Ok(())
}

/// Payments with due calls, longest due first.
pub(crate) async fn list_due_payments<'e>(
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

/// Inserts the call that cancels the payment's intent.
pub(crate) async fn insert_void(
    conn: &mut Conn,
    payment: PaymentId,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let number = count(conn, payment, EffectKind::Void).await?;
    let key = format!("void:{payment}:{number}");
    insert(conn, payment, EffectKind::Void, &key, "{}", now).await?;
    Ok(())
}

/// Inserts the call that captures the payment.
pub(crate) async fn insert_capture(
    conn: &mut Conn,
    payment: PaymentId,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let number = count(conn, payment, EffectKind::Capture).await?;
    let key = format!("cap:{payment}:{number}");
    insert(conn, payment, EffectKind::Capture, &key, "{}", now).await?;
    Ok(())
}

/// Counts the payment's calls of a kind; makes the next idempotency key unique.
async fn count(conn: &mut Conn, payment: PaymentId, kind: EffectKind) -> Result<i64, sqlx::Error> {
    query_scalar("SELECT COUNT(*) FROM payment_effects WHERE payment_id = $1 AND kind = $2")
        .bind(payment)
        .bind(kind)
        .fetch_one(conn)
        .await
}

pub(crate) async fn find_attempt<'e>(
    on: impl AnyExecutor<'e>,
    effect: EffectId,
) -> Result<Attempt, sqlx::Error> {
    let (state, failed, outcome) =
        query_as::<_, (EffectState, Option<String>, Option<EffectOutcome>)>(
            "SELECT state, last_error, outcome FROM payment_effects WHERE id = $1",
        )
        .bind(effect)
        .fetch_one(on)
        .await?;
    Ok(Attempt {
        in_flight: state == EffectState::Pending && failed.is_none(),
        outcome,
    })
}

/// Whether the payment has a pending call without an error so far.
pub(crate) async fn has_in_flight<'e>(
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

/// Whether the payment has a call that is not settled.
pub(crate) async fn has_pending<'e>(
    on: impl AnyExecutor<'e>,
    payment: PaymentId,
) -> Result<bool, sqlx::Error> {
    let row = query("SELECT 1 FROM payment_effects WHERE payment_id = $1 AND state = 'pending'")
        .bind(payment)
        .fetch_optional(on)
        .await?;
    Ok(row.is_some())
}

/// Whether the call is not settled.
pub(crate) async fn is_pending<'e>(
    on: impl AnyExecutor<'e>,
    effect: EffectId,
) -> Result<bool, sqlx::Error> {
    let row = query("SELECT 1 FROM payment_effects WHERE id = $1 AND state = 'pending'")
        .bind(effect)
        .fetch_optional(on)
        .await?;
    Ok(row.is_some())
}
