//! The SQL of payments. Functions that take a `Conn` run in the caller's transaction.

use super::{effects, gateway::Intent};
use crate::{
    clock::from_micros,
    db::{Conn, parse},
    outbox::{DomainEvent, EventType},
};
use app::payments::{Payment, PaymentStatus};
use model::{
    ids::{OrderId, PaymentId, UserId},
    money::Currency,
};
use sqlx::{AnyExecutor, AssertSqlSafe, Row, any::AnyRow, query};
use strum::EnumString;

/// Where a payment stands inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString)]
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

impl State {
    /// Whether the buyer, their bank or Stripe may still make money of it.
    pub fn is_under_way(self) -> bool {
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
#[derive(Debug, Clone)]
pub struct PaymentRow {
    /// Its id.
    pub id: PaymentId,
    /// What it is for.
    pub order: OrderId,
    /// Whose order that is.
    pub buyer: UserId,
    /// The order's first, second … attempt; below 1, one that nobody made ([`Self::is_stray`]).
    pub attempt: i64,
    /// The PaymentIntent, once Stripe has answered.
    pub stripe_id: Option<String>,
    /// Where it stands.
    pub state: State,
    /// What is charged, in minor units.
    pub amount_minor: i64,
    /// The order's currency.
    pub currency: Currency,
    /// What was taken, in minor units.
    pub received_minor: i64,
    /// What the buyer's browser needs to go on.
    pub client_secret: Option<String>,
    /// Where the bank wants to see the buyer.
    pub bank_url: Option<String>,
    /// What the buyer was told at the last decline.
    pub declined: Option<String>,
    /// How many further cards were tried.
    pub confirmations: i64,
    /// When it began, in microseconds.
    pub created_at: i64,
}

impl PaymentRow {
    fn read(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: parse(row, "id")?,
            order: parse(row, "order_id")?,
            buyer: parse(row, "buyer_id")?,
            attempt: row.try_get("attempt")?,
            stripe_id: row.try_get("stripe_id")?,
            state: parse(row, "state")?,
            amount_minor: row.try_get("amount_minor")?,
            currency: parse(row, "currency")?,
            received_minor: row.try_get("received_minor")?,
            client_secret: row.try_get("client_secret")?,
            bank_url: row.try_get("bank_url")?,
            declined: row.try_get("declined")?,
            confirmations: row.try_get("confirmations")?,
            created_at: row.try_get("created_at")?,
        })
    }

    /// Whether nobody asked for it: a second intent that one of our calls has left at Stripe.
    pub fn is_stray(&self) -> bool {
        self.attempt < 1
    }

    /// As its buyer sees it.
    pub fn payment(&self) -> Payment {
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
            amount_minor: self.amount_minor,
            currency: self.currency,
            client_secret: self.client_secret.clone().filter(|_| acting),
        }
    }

    /// The domain event that tells of money taken.
    pub fn created_event(&self, now_micros: i64) -> DomainEvent {
        let data = serde_json::json!({
            "id": self.id,
            "orderId": self.order,
            "buyerId": self.buyer,
            "stripeId": self.stripe_id,
            "amountMinor": self.received_minor,
            "currency": self.currency,
            "at": from_micros(now_micros),
        });
        DomainEvent::new(EventType::PaymentCreated, self.id, 1, &data)
    }
}

/// One payment, whoever asks. Callers check whose it is.
pub async fn payment_find<'e>(
    on: impl AnyExecutor<'e>,
    id: PaymentId,
) -> Result<Option<PaymentRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM payments WHERE id = $1");
    let row = query(AssertSqlSafe(sql))
        .bind(id.to_string())
        .fetch_optional(on)
        .await?;
    row.as_ref().map(PaymentRow::read).transpose()
}

/// The payment that a PaymentIntent belongs to.
pub async fn payment_find_by_intent<'e>(
    on: impl AnyExecutor<'e>,
    stripe_id: &str,
) -> Result<Option<PaymentRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM payments WHERE stripe_id = $1");
    let row = query(AssertSqlSafe(sql))
        .bind(stripe_id.to_owned())
        .fetch_optional(on)
        .await?;
    row.as_ref().map(PaymentRow::read).transpose()
}

/// The payment that an order was paid with.
pub async fn payment_captured(
    conn: &mut Conn,
    order: OrderId,
) -> Result<Option<PaymentRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM payments WHERE order_id = $1 AND state = 'captured'");
    let row = query(AssertSqlSafe(sql))
        .bind(order.to_string())
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(PaymentRow::read).transpose()
}

/// Payments with a refund that Stripe has not come to an end with.
pub async fn payments_with_refunds_under_way<'e>(
    on: impl AnyExecutor<'e>,
) -> Result<Vec<PaymentRow>, sqlx::Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM payments WHERE id IN \
         (SELECT payment_id FROM refunds WHERE state IN ('intended', 'pending'))"
    );
    let rows = query(AssertSqlSafe(sql)).fetch_all(on).await?;
    rows.iter().map(PaymentRow::read).collect()
}

/// Payments begun between these moments that took money.
pub async fn payments_with_money<'e>(
    on: impl AnyExecutor<'e>,
    from_micros: i64,
    before_micros: i64,
) -> Result<Vec<PaymentRow>, sqlx::Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM payments WHERE received_minor > 0 \
         AND created_at >= $1 AND created_at < $2"
    );
    let rows = query(AssertSqlSafe(sql))
        .bind(from_micros)
        .bind(before_micros)
        .fetch_all(on)
        .await?;
    rows.iter().map(PaymentRow::read).collect()
}

/// The newest payment of an order.
pub async fn payment_newest<'e>(
    on: impl AnyExecutor<'e>,
    order: OrderId,
) -> Result<Option<PaymentRow>, sqlx::Error> {
    let sql =
        format!("SELECT {COLUMNS} FROM payments WHERE order_id = $1 ORDER BY attempt DESC LIMIT 1");
    let row = query(AssertSqlSafe(sql))
        .bind(order.to_string())
        .fetch_optional(on)
        .await?;
    row.as_ref().map(PaymentRow::read).transpose()
}

/// When the provider was last asked about this payment, in microseconds.
pub async fn payment_looked_at<'e>(
    on: impl AnyExecutor<'e>,
    payment: PaymentId,
) -> Result<i64, sqlx::Error> {
    query("SELECT looked_at FROM payments WHERE id = $1")
        .bind(payment.to_string())
        .fetch_one(on)
        .await?
        .try_get("looked_at")
}

/// Claims the look at where a payment stands, if the last one was `apart_micros` ago or longer. False:
/// another has looked since.
pub async fn payment_look_claim(
    conn: &mut Conn,
    payment: PaymentId,
    now_micros: i64,
    apart_micros: i64,
) -> Result<bool, sqlx::Error> {
    let done = query(
        "UPDATE payments SET looked_at = $2 WHERE id = $1 AND (looked_at <= $3 OR looked_at > $2)",
    )
    .bind(payment.to_string())
    .bind(now_micros)
    .bind(now_micros - apart_micros)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A new attempt to pay an order.
#[derive(Debug)]
pub struct NewPayment {
    /// Its id.
    pub id: PaymentId,
    /// What it is for.
    pub order: OrderId,
    /// The order's first, second … attempt.
    pub attempt: i64,
    /// What is charged, in minor units.
    pub amount_minor: i64,
    /// The order's currency.
    pub currency: Currency,
}

/// Writes a payment down before anything is asked of Stripe. A second one under way for the same
/// order breaks the unique index.
pub async fn payment_insert(
    conn: &mut Conn,
    payment: &NewPayment,
    now_micros: i64,
) -> Result<(), sqlx::Error> {
    query(
        "INSERT INTO payments (id, order_id, attempt, state, amount_minor, currency, created_at) \
         VALUES ($1, $2, $3, 'intended', $4, $5, $6)",
    )
    .bind(payment.id.to_string())
    .bind(payment.order.to_string())
    .bind(payment.attempt)
    .bind(payment.amount_minor)
    .bind(payment.currency.code())
    .bind(now_micros)
    .execute(conn)
    .await?;
    Ok(())
}

/// Writes an intent down that stands at Stripe beside the one of `beside`, as a payment to be given
/// up. Its attempt is below all others, so that it is never the order's newest.
pub async fn payment_insert_stray(
    conn: &mut Conn,
    id: PaymentId,
    beside: &PaymentRow,
    intent: &Intent,
    now_micros: i64,
) -> Result<(), sqlx::Error> {
    query(
        "INSERT INTO payments (id, order_id, attempt, stripe_id, state, amount_minor, currency, \
         created_at) SELECT $1, $2, CASE WHEN MIN(attempt) < 1 THEN MIN(attempt) ELSE 1 END - 1, $3, 'voiding', $4, $5, $6 FROM payments \
         WHERE order_id = $2",
    )
    .bind(id.to_string())
    .bind(beside.order.to_string())
    .bind(intent.id.clone())
    .bind(intent.amount_minor)
    .bind(beside.currency.code())
    .bind(now_micros)
    .execute(conn)
    .await?;
    Ok(())
}

/// Payments to ask Stripe about: those of orders that lapse within their grace, and those that
/// should have moved on and have no call under way.
///
/// Here and below all states of the index `payments_under_way` are named: SQLite takes it for no other
/// list.
pub async fn payments_to_look_at<'e>(
    on: impl AnyExecutor<'e>,
    now_micros: i64,
    limit: i64,
) -> Result<Vec<PaymentId>, sqlx::Error> {
    let rows = query(
        "SELECT p.id FROM payments p JOIN orders o ON o.id = p.order_id \
         WHERE p.state IN ('intended', 'open', 'requires_action', 'capturing', 'voiding', \
         'refunding') AND p.state <> 'refunding' AND NOT EXISTS (SELECT 1 FROM payment_effects e WHERE e.payment_id = p.id \
         AND e.state = 'pending') AND (p.state IN ('capturing', 'voiding') \
         OR (o.status = 'awaiting_payment' AND o.expires_at <= $1 AND o.hold_until > $1)) \
         ORDER BY p.created_at LIMIT $2",
    )
    .bind(now_micros)
    .bind(limit)
    .fetch_all(on)
    .await?;
    rows.iter().map(|row| parse(row, "id")).collect()
}

/// Payments whose money has been on its way since before `since_micros`, with their orders.
pub async fn payments_capturing_since<'e>(
    on: impl AnyExecutor<'e>,
    since_micros: i64,
) -> Result<Vec<(PaymentId, OrderId)>, sqlx::Error> {
    let rows = query(
        "SELECT p.id, p.order_id FROM payments p WHERE p.state IN ('intended', 'open', \
         'requires_action', 'capturing', 'voiding', 'refunding') AND p.state = 'capturing' AND EXISTS \
         (SELECT 1 FROM payment_effects e WHERE e.payment_id = p.id AND e.kind = 'capture' \
         AND e.created_at < $1)",
    )
    .bind(since_micros)
    .fetch_all(on)
    .await?;
    rows.iter()
        .map(|row| Ok((parse(row, "id")?, parse(row, "order_id")?)))
        .collect()
}

/// Marks the order's payment, if one is under way and not behind the fence, to be given back.
/// Returns whether there was one.
pub async fn payment_void(
    conn: &mut Conn,
    order: OrderId,
    now_micros: i64,
) -> Result<bool, sqlx::Error> {
    let row = query(
        "UPDATE payments SET state = 'voiding' WHERE order_id = $1 \
         AND state IN ('intended', 'open', 'requires_action') RETURNING id",
    )
    .bind(order.to_string())
    .fetch_optional(&mut *conn)
    .await?;
    if let Some(row) = &row {
        effects::void_insert(conn, parse(row, "id")?, now_micros).await?;
    }
    Ok(row.is_some())
}

/// Adds to (or, below zero, takes from) what of a payment has gone back. False: it would be
/// more than was taken, or less than nothing.
pub async fn payment_refunded_add(
    conn: &mut Conn,
    payment: PaymentId,
    amount_minor: i64,
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
    .bind(payment.to_string())
    .bind(amount_minor)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}
