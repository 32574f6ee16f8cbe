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

/// Where a payment stands inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum State {
    /// A call that charges a card is under way.
    Intended,
    /// The last card was refused; another may be tried.
    Open,
    /// The buyer's bank wants to hear from the buyer.
    RequiresAction,
    /// Behind the fence: the money is being taken.
    Capturing,
    /// Taken.
    Captured,
    /// To be given back before it is taken.
    Voiding,
    /// Given back; nothing was charged.
    Voided,
    /// It never came to be.
    Failed,
    /// Taken though no order stands for it, and on its way back.
    Refunding,
    /// Paid back.
    Refunded,
}

model::text_columns!(State);

impl State {
    /// Whether the buyer, their bank or Stripe may still make money of it.
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

/// What the database says of a payment.
#[derive(Debug, Clone, FromRow)]
pub struct PaymentRow {
    /// Its id.
    pub id: PaymentId,
    /// What it is for.
    #[sqlx(rename = "order_id")]
    pub order: OrderId,
    /// Whose order that is.
    #[sqlx(rename = "buyer_id")]
    pub buyer: UserId,
    /// The order's first, second … attempt; below 1, one that nobody made ([`Self::is_stray`]).
    pub attempt: i64,
    /// The PaymentIntent, once Stripe has answered.
    pub stripe_id: Option<String>,
    /// Where it stands.
    pub state: State,
    /// What is charged.
    pub amount_minor: MinorUnits,
    /// The order's currency.
    pub currency: Currency,
    /// What was taken.
    pub received_minor: MinorUnits,
    /// What the buyer's browser needs to go on.
    pub client_secret: Option<String>,
    /// Where the bank wants to see the buyer.
    pub bank_url: Option<String>,
    /// What the buyer was told at the last decline.
    pub declined: Option<String>,
    /// How many further cards were tried.
    pub confirmations: i64,
    /// When it began.
    pub created_at: Moment,
}

impl PaymentRow {
    /// Whether nobody asked for it: a second intent that one of our calls has left at Stripe.
    pub(crate) fn is_stray(&self) -> bool {
        self.attempt < 1
    }

    /// As its buyer sees it.
    pub(crate) fn payment(&self) -> Payment {
        let status = match self.state {
            State::Intended | State::Capturing => PaymentStatus::Processing,
            State::Open | State::Failed if self.declined.is_some() => PaymentStatus::Declined,
            State::RequiresAction => PaymentStatus::RequiresAction,
            State::Captured => PaymentStatus::Captured,
            // Nothing was charged, and it was not the card's doing.
            State::Open | State::Failed | State::Voiding | State::Voided => PaymentStatus::Voided,
            State::Refunding | State::Refunded => PaymentStatus::Refunded,
        };
        let acting = self.state == State::RequiresAction;
        Payment {
            id: self.id,
            order_id: self.order,
            stripe_id: self.stripe_id.clone(),
            status,
            amount_minor: self.amount_minor.get(),
            currency: self.currency,
            client_secret: self.client_secret.clone().filter(|_| acting),
        }
    }

    /// The domain event that tells of money taken.
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

/// One payment, whoever asks. Callers check whose it is.
pub(crate) async fn payment_find<'e>(
    on: impl AnyExecutor<'e>,
    id: PaymentId,
) -> Result<Option<PaymentRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM payments WHERE id = $1");
    query_as(AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(on)
        .await
}

/// The payment that a PaymentIntent belongs to.
pub(crate) async fn payment_find_by_intent<'e>(
    on: impl AnyExecutor<'e>,
    stripe_id: &str,
) -> Result<Option<PaymentRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM payments WHERE stripe_id = $1");
    query_as(AssertSqlSafe(sql))
        .bind(stripe_id.to_owned())
        .fetch_optional(on)
        .await
}

/// The payment that an order was paid with.
pub(crate) async fn payment_captured(
    conn: &mut Conn,
    order: OrderId,
) -> Result<Option<PaymentRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM payments WHERE order_id = $1 AND state = 'captured'");
    query_as(AssertSqlSafe(sql))
        .bind(order)
        .fetch_optional(conn)
        .await
}

/// Payments with a refund that Stripe has not come to an end with.
pub(crate) async fn payments_with_refunds_under_way<'e>(
    on: impl AnyExecutor<'e>,
) -> Result<Vec<PaymentRow>, sqlx::Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM payments WHERE id IN \
         (SELECT payment_id FROM refunds WHERE state IN ('intended', 'pending'))"
    );
    query_as(AssertSqlSafe(sql)).fetch_all(on).await
}

/// Payments begun between these moments that took money.
pub(crate) async fn payments_with_money<'e>(
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

/// The newest payment of an order.
pub(crate) async fn payment_newest<'e>(
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

/// When the provider was last asked about this payment.
pub(crate) async fn payment_looked_at<'e>(
    on: impl AnyExecutor<'e>,
    payment: PaymentId,
) -> Result<Moment, sqlx::Error> {
    query_scalar("SELECT looked_at FROM payments WHERE id = $1")
        .bind(payment)
        .fetch_one(on)
        .await
}

/// Claims the look at where a payment stands, if the last one was `apart` ago or longer. False:
/// another has looked since.
pub(crate) async fn payment_look_claim(
    conn: &mut Conn,
    payment: PaymentId,
    now: Moment,
    apart: Duration,
) -> Result<bool, sqlx::Error> {
    let done = query(
        "UPDATE payments SET looked_at = $2 WHERE id = $1 AND (looked_at <= $3 OR looked_at > $2)",
    )
    .bind(payment)
    .bind(now)
    .bind(now - apart)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A new attempt to pay an order.
#[derive(Debug)]
pub(crate) struct NewPayment {
    /// Its id.
    pub id: PaymentId,
    /// What it is for.
    pub order: OrderId,
    /// The order's first, second … attempt.
    pub attempt: i64,
    /// What is charged.
    pub amount_minor: MinorUnits,
    /// The order's currency.
    pub currency: Currency,
}

/// Writes a payment down before anything is asked of Stripe. A second one under way for the same
/// order breaks the unique index.
pub(crate) async fn payment_insert(
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

/// Writes an intent down that stands at Stripe beside the one of `beside`, as a payment to be given
/// up. Its attempt is below all others, so that it is never the order's newest.
pub(crate) async fn payment_insert_stray(
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

/// Payments to ask Stripe about: those of orders that lapse within their grace, and those that
/// should have moved on and have no call under way.
///
/// Here and below all states of the index `payments_under_way` are named: SQLite takes it for no other
/// list.
pub(crate) async fn payments_to_look_at<'e>(
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

/// Payments whose money has been on its way since before `since`, with their orders.
pub(crate) async fn payments_capturing_since<'e>(
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

/// Marks the order's payment as to be voided, if one is under way and not behind the fence. Returns it.
pub(crate) async fn payment_void(
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

/// Adds to (or, below zero, takes from) what of a payment has gone back. False: it would be
/// more than was taken, or less than nothing.
pub(crate) async fn payment_refunded_add(
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
