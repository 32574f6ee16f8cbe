//! The SQL of payments. Functions that take a `Conn` run in the caller's transaction.

use super::gateway::Intent;
use model::{
    Moment,
    ids::{OrderId, PaymentId, UserId},
    money::{Currency, MinorUnits},
    payments::{Payment, PaymentStatus},
};
use platform::{
    db::Conn,
    outbox::{DomainEvent, EventType},
};
use sqlx::{AnyExecutor, AssertSqlSafe, query, query_as, query_scalar};
use sqlx_macros::FromRow;
use std::time::Duration;
use strum::{Display, EnumString};

/// The internal state of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum State {
    /// A call that charges a card is under way.
    Intended,
    /// The last card was declined; another may be tried.
    Open,
    /// The buyer must confirm with their bank.
    RequiresAction,
    /// Behind the fence, being captured.
    Capturing,
    Captured,
    /// To be cancelled before it is captured.
    Voiding,
    /// Cancelled; nothing was charged.
    Voided,
    /// The intent was never created.
    Failed,
    /// Captured without an order behind the fence, and being refunded.
    Refunding,
    /// Refunded in full.
    Refunded,
}

model::text_columns!(State);

impl State {
    /// Whether it is, or may still be, captured.
    pub(crate) fn is_under_way(self) -> bool {
        matches!(
            self,
            Self::Intended | Self::RequiresAction | Self::Capturing | Self::Captured
        )
    }
}

const COLUMNS: &str = "payments.id, payments.order_id, payments.attempt, payments.stripe_id, \
     payments.state, payments.amount_minor, payments.currency, payments.received_minor, \
     payments.client_secret, payments.bank_url, payments.declined, payments.confirmations, \
     payments.created_at, (SELECT o.buyer_id FROM orders o WHERE o.id = payments.order_id) \
     AS buyer_id";

/// A payment as stored, with the buyer of its order.
#[derive(Debug, Clone, FromRow)]
pub struct PaymentRow {
    pub id: PaymentId,
    #[sqlx(rename = "order_id")]
    pub order: OrderId,
    #[sqlx(rename = "buyer_id")]
    pub buyer: UserId,
    /// Number within the order, from 1; below 1 for a stray ([`Self::is_stray`]).
    pub attempt: i64,
    /// The PaymentIntent, once known.
    pub stripe_id: Option<String>,
    pub state: State,
    /// Amount to be charged.
    pub amount_minor: MinorUnits,
    pub currency: Currency,
    /// Captured amount.
    pub received_minor: MinorUnits,
    /// For Stripe.js in the buyer's browser.
    pub client_secret: Option<String>,
    /// The bank's page on which the buyer confirms.
    pub bank_url: Option<String>,
    /// Message to the buyer about the last decline.
    pub declined: Option<String>,
    /// Number of further cards tried.
    pub confirmations: i64,
    pub created_at: Moment,
}

impl PaymentRow {
    /// Whether this is the row of a second intent that a repeated call has created at Stripe.
    pub(crate) fn is_stray(&self) -> bool {
        self.attempt < 1
    }

    /// Converts to the wire type.
    pub(crate) fn payment(&self) -> Payment {
        let status = match self.state {
            State::Intended | State::Capturing => PaymentStatus::Processing,
            State::Open | State::Failed if self.declined.is_some() => PaymentStatus::Declined,
            State::RequiresAction => PaymentStatus::RequiresAction,
            State::Captured => PaymentStatus::Captured,
            // Not charged, for another reason than a decline.
            State::Open | State::Failed | State::Voiding | State::Voided => PaymentStatus::Voided,
            State::Refunding | State::Refunded => PaymentStatus::Refunded,
        };
        let requires_action = self.state == State::RequiresAction;
        Payment {
            id: self.id,
            order_id: self.order,
            stripe_id: self.stripe_id.clone(),
            status,
            amount_minor: self.amount_minor.get(),
            currency: self.currency,
            client_secret: self.client_secret.clone().filter(|_| requires_action),
        }
    }

    /// The domain event of a captured payment.
    pub(crate) fn created_event(&self, now: Moment) -> DomainEvent {
        let data = serde_json::json!({
            "id": self.id,
            "orderId": self.order,
            "buyerId": self.buyer,
            "stripeId": self.stripe_id,
            "amountMinor": self.received_minor,
            "currency": self.currency,
            "at": now,
        });
        DomainEvent::new(EventType::PaymentCreated, self.id, 1, &data)
    }
}

/// Does not check who may see it.
pub(crate) async fn find<'e>(
    on: impl AnyExecutor<'e>,
    id: PaymentId,
) -> Result<Option<PaymentRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM payments WHERE id = $1");
    query_as(AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(on)
        .await
}

/// Finds the payment of a PaymentIntent.
pub(crate) async fn find_by_intent<'e>(
    on: impl AnyExecutor<'e>,
    stripe_id: &str,
) -> Result<Option<PaymentRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM payments WHERE stripe_id = $1");
    query_as(AssertSqlSafe(sql))
        .bind(stripe_id.to_owned())
        .fetch_optional(on)
        .await
}

/// Finds the captured payment of an order.
pub(crate) async fn find_captured(
    conn: &mut Conn,
    order: OrderId,
) -> Result<Option<PaymentRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM payments WHERE order_id = $1 AND state = 'captured'");
    query_as(AssertSqlSafe(sql))
        .bind(order)
        .fetch_optional(conn)
        .await
}

/// Lists payments with a refund that has neither succeeded nor failed.
pub(crate) async fn list_with_open_refunds<'e>(
    on: impl AnyExecutor<'e>,
) -> Result<Vec<PaymentRow>, sqlx::Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM payments WHERE id IN \
         (SELECT payment_id FROM refunds WHERE state IN ('intended', 'pending'))"
    );
    query_as(AssertSqlSafe(sql)).fetch_all(on).await
}

/// Lists payments created in `from..before` that received money.
pub(crate) async fn list_charged<'e>(
    on: impl AnyExecutor<'e>,
    from: Moment,
    before: Moment,
) -> Result<Vec<PaymentRow>, sqlx::Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM payments WHERE received_minor > 0 \
         AND created_at >= $1 AND created_at < $2"
    );
    query_as(AssertSqlSafe(sql))
        .bind(from)
        .bind(before)
        .fetch_all(on)
        .await
}

/// Finds the newest payment of an order.
pub(crate) async fn find_newest<'e>(
    on: impl AnyExecutor<'e>,
    order: OrderId,
) -> Result<Option<PaymentRow>, sqlx::Error> {
    let sql =
        format!("SELECT {COLUMNS} FROM payments WHERE order_id = $1 ORDER BY attempt DESC LIMIT 1");
    query_as(AssertSqlSafe(sql))
        .bind(order)
        .fetch_optional(on)
        .await
}

/// Returns when the provider was last asked about this payment.
pub(crate) async fn find_looked_at<'e>(
    on: impl AnyExecutor<'e>,
    payment: PaymentId,
) -> Result<Moment, sqlx::Error> {
    query_scalar("SELECT looked_at FROM payments WHERE id = $1")
        .bind(payment)
        .fetch_one(on)
        .await
}

/// Claims a lookup at the provider, if the last one was at least `interval` ago. Returns false otherwise.
pub(crate) async fn claim_lookup(
    conn: &mut Conn,
    payment: PaymentId,
    now: Moment,
    interval: Duration,
) -> Result<bool, sqlx::Error> {
    let done = query(
        "UPDATE payments SET looked_at = $2 WHERE id = $1 AND (looked_at <= $3 OR looked_at > $2)",
    )
    .bind(payment)
    .bind(now)
    .bind(now - interval)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A payment to be inserted.
#[derive(Debug)]
pub(crate) struct NewPayment {
    pub id: PaymentId,
    pub order: OrderId,
    /// Number within the order, from 1.
    pub attempt: i64,
    pub amount_minor: MinorUnits,
    pub currency: Currency,
}

/// Inserts a payment in state `intended`. Errors: a unique violation, if another one of the order is under
/// way.
pub(crate) async fn insert(
    conn: &mut Conn,
    payment: &NewPayment,
    now: Moment,
) -> Result<(), sqlx::Error> {
    query(
        "INSERT INTO payments (id, order_id, attempt, state, amount_minor, currency, created_at) \
         VALUES ($1, $2, $3, 'intended', $4, $5, $6)",
    )
    .bind(payment.id)
    .bind(payment.order)
    .bind(payment.attempt)
    .bind(payment.amount_minor)
    .bind(payment.currency)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Inserts a second intent of the payment `beside` as a payment to be voided. Its attempt is below all
/// others, so that it is never the order's newest.
pub(crate) async fn insert_stray(
    conn: &mut Conn,
    id: PaymentId,
    beside: &PaymentRow,
    intent: &Intent,
    now: Moment,
) -> Result<(), sqlx::Error> {
    query(
        "INSERT INTO payments (id, order_id, attempt, stripe_id, state, amount_minor, currency, \
         created_at) SELECT $1, $2, CASE WHEN MIN(attempt) < 1 THEN MIN(attempt) ELSE 1 END - 1, $3, 'voiding', $4, $5, $6 FROM payments \
         WHERE order_id = $2",
    )
    .bind(id)
    .bind(beside.order)
    .bind(intent.id.clone())
    .bind(intent.amount_minor)
    .bind(beside.currency)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// Lists payments to refresh from Stripe: those of orders in their grace period, and stalled ones without a
/// pending call.
///
/// Here and below, all states of the index `payments_under_way` are listed because SQLite would not use it
/// otherwise.
pub(crate) async fn list_to_refresh<'e>(
    on: impl AnyExecutor<'e>,
    now: Moment,
    limit: i64,
) -> Result<Vec<PaymentId>, sqlx::Error> {
    query_scalar(
        "SELECT p.id FROM payments p JOIN orders o ON o.id = p.order_id \
         WHERE p.state IN ('intended', 'open', 'requires_action', 'capturing', 'voiding', \
         'refunding') AND p.state <> 'refunding' AND NOT EXISTS (SELECT 1 FROM payment_effects e WHERE e.payment_id = p.id \
         AND e.state = 'pending') AND (p.state IN ('capturing', 'voiding') \
         OR (o.status = 'awaiting_payment' AND o.expires_at <= $1 AND o.hold_until > $1)) \
         ORDER BY p.created_at LIMIT $2",
    )
    .bind(now)
    .bind(limit)
    .fetch_all(on)
    .await
}

/// Lists payments, with their orders, whose capture was requested before `since`.
pub(crate) async fn list_capturing_since<'e>(
    on: impl AnyExecutor<'e>,
    since: Moment,
) -> Result<Vec<(PaymentId, OrderId)>, sqlx::Error> {
    query_as(
        "SELECT p.id, p.order_id FROM payments p WHERE p.state IN ('intended', 'open', \
         'requires_action', 'capturing', 'voiding', 'refunding') AND p.state = 'capturing' AND EXISTS \
         (SELECT 1 FROM payment_effects e WHERE e.payment_id = p.id AND e.kind = 'capture' \
         AND e.created_at < $1)",
    )
    .bind(since)
    .fetch_all(on)
    .await
}

/// Moves the order's payment to `voiding` if one is under way and not behind the fence. Returns its id.
pub(crate) async fn mark_voiding(
    conn: &mut Conn,
    order: OrderId,
) -> Result<Option<PaymentId>, sqlx::Error> {
    query_scalar(
        "UPDATE payments SET state = 'voiding' WHERE order_id = $1 \
         AND state IN ('intended', 'open', 'requires_action') RETURNING id",
    )
    .bind(order)
    .fetch_optional(conn)
    .await
}

/// Adds to the refunded amount of a payment; a negative amount reverses a refund. Returns false if the
/// result would be below zero or above the received amount.
pub(crate) async fn add_refunded(
    conn: &mut Conn,
    payment: PaymentId,
    amount_minor: MinorUnits,
) -> Result<bool, sqlx::Error> {
    let done = query(
        "UPDATE payments SET refunded_minor = refunded_minor + $2, \
         state = CASE WHEN refunded_minor + $2 = received_minor THEN 'refunded' \
           WHEN state = 'refunded' AND EXISTS (SELECT 1 FROM ledger l WHERE l.payment_id = payments.id \
             AND l.account = 'unallocated' AND l.kind = 'capture') THEN 'refunding' \
           WHEN state = 'refunded' THEN 'captured' ELSE state END \
         WHERE id = $1 AND state IN ('captured', 'refunding', 'refunded') \
         AND refunded_minor + $2 BETWEEN 0 AND received_minor",
    )
    .bind(payment)
    .bind(amount_minor)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}
