//! The SQL of payments, of their effects and of the inbox. Functions that take a `Conn` run in
//! the caller's transaction.

use crate::{
    clock::from_micros,
    db::{Conn, parse},
    outbox::{DomainEvent, EventType},
};
use app::{
    ids::{OrderId, PaymentId, UserId},
    money::Currency,
    payments::{Payment, PaymentStatus},
};
use sqlx::{AnyExecutor, AssertSqlSafe, Row, any::AnyRow, query};
use std::str::FromStr;
use uuid::Uuid;

/// Where a payment stands inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

const STATES: [(State, &str); 10] = [
    (State::Intended, "intended"),
    (State::Open, "open"),
    (State::RequiresAction, "requires_action"),
    (State::Capturing, "capturing"),
    (State::Captured, "captured"),
    (State::Voiding, "voiding"),
    (State::Voided, "voided"),
    (State::Failed, "failed"),
    (State::Refunding, "refunding"),
    (State::Refunded, "refunded"),
];

/// Not a state's name.
#[derive(Debug, thiserror::Error)]
#[error("not the state of a payment")]
pub struct UnknownState;

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = STATES.iter().find(|(_, known)| *known == name);
        found.map(|(state, _)| *state).ok_or(UnknownState)
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
    /// The order's first, second … attempt.
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

    /// As its buyer sees it.
    pub fn payment(&self) -> Payment {
        let status = match self.state {
            State::Intended | State::Capturing => PaymentStatus::Processing,
            State::Open | State::Failed => PaymentStatus::Declined,
            State::RequiresAction => PaymentStatus::RequiresAction,
            State::Captured => PaymentStatus::Captured,
            State::Voiding | State::Voided => PaymentStatus::Voided,
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

/// A kind of call to Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

const KINDS: [(EffectKind, &str); 5] = [
    (EffectKind::Create, "create"),
    (EffectKind::Confirm, "confirm"),
    (EffectKind::Capture, "capture"),
    (EffectKind::Void, "void"),
    (EffectKind::Refund, "refund"),
];

impl EffectKind {
    fn name(self) -> &'static str {
        KINDS
            .iter()
            .find(|(kind, _)| *kind == self)
            .map_or("", |(_, name)| *name)
    }
}

impl FromStr for EffectKind {
    type Err = UnknownState;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        KINDS
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(kind, _)| *kind)
            .ok_or(UnknownState)
    }
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

/// Writes a call down; it is due at once.
pub async fn effect_insert(
    conn: &mut Conn,
    payment: PaymentId,
    kind: EffectKind,
    key: &str,
    params: &str,
    now_micros: i64,
) -> Result<(), sqlx::Error> {
    query(
        "INSERT INTO payment_effects (id, payment_id, kind, idem_key, params, state, next_at, \
         created_at) VALUES ($1, $2, $3, $4, $5, 'pending', $6, $6)",
    )
    .bind(Uuid::now_v7().to_string())
    .bind(payment.to_string())
    .bind(kind.name())
    .bind(key.to_owned())
    .bind(params.to_owned())
    .bind(now_micros)
    .execute(conn)
    .await?;
    Ok(())
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

/// The call's outcome is known. False: another had settled it.
pub async fn effect_settle(
    conn: &mut Conn,
    effect: &str,
    failed: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let done = query(
        "UPDATE payment_effects SET state = $2, last_error = $3 WHERE id = $1 AND state = 'pending'",
    )
    .bind(effect.to_owned())
    .bind(if failed.is_some() { "failed" } else { "done" })
    .bind(failed.map(str::to_owned))
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

/// Payments to ask Stripe about: those of orders that lapse within their grace, and those that
/// should have moved on and have no call under way.
pub async fn payments_to_look_at<'e>(
    on: impl AnyExecutor<'e>,
    now_micros: i64,
    limit: i64,
) -> Result<Vec<PaymentId>, sqlx::Error> {
    let rows = query(
        "SELECT p.id FROM payments p JOIN orders o ON o.id = p.order_id \
         WHERE p.state IN ('intended', 'open', 'requires_action', 'capturing', 'voiding') \
         AND NOT EXISTS (SELECT 1 FROM payment_effects e WHERE e.payment_id = p.id \
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
pub async fn payments_capturing_since(
    conn: &mut Conn,
    since_micros: i64,
) -> Result<Vec<(PaymentId, OrderId)>, sqlx::Error> {
    let rows = query(
        "SELECT p.id, p.order_id FROM payments p WHERE p.state = 'capturing' AND EXISTS \
         (SELECT 1 FROM payment_effects e WHERE e.payment_id = p.id AND e.kind = 'capture' \
         AND e.created_at < $1)",
    )
    .bind(since_micros)
    .fetch_all(conn)
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
        void_insert(conn, parse(row, "id")?, now_micros).await?;
    }
    Ok(row.is_some())
}

/// Writes the call down that gives up an intent which should not be there, once.
pub async fn void_stray_insert(
    conn: &mut Conn,
    payment: PaymentId,
    intent: &str,
    params: &str,
    now_micros: i64,
) -> Result<(), sqlx::Error> {
    let key = format!("void-stray:{intent}");
    let known = query("SELECT 1 FROM payment_effects WHERE idem_key = $1")
        .bind(key.clone())
        .fetch_optional(&mut *conn)
        .await?;
    if known.is_some() {
        return Ok(());
    }
    effect_insert(conn, payment, EffectKind::Void, &key, params, now_micros).await
}

/// Writes the call down that gives an authorisation back.
pub async fn void_insert(
    conn: &mut Conn,
    payment: PaymentId,
    now_micros: i64,
) -> Result<(), sqlx::Error> {
    let number = effects_count(conn, payment, EffectKind::Void).await?;
    let key = format!("void:{payment}:{number}");
    effect_insert(conn, payment, EffectKind::Void, &key, "{}", now_micros).await
}

/// Writes the call down that takes the money.
pub async fn capture_insert(
    conn: &mut Conn,
    payment: PaymentId,
    now_micros: i64,
) -> Result<(), sqlx::Error> {
    let number = effects_count(conn, payment, EffectKind::Capture).await?;
    let key = format!("cap:{payment}:{number}");
    effect_insert(conn, payment, EffectKind::Capture, &key, "{}", now_micros).await
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

/// Stores a webhook, once. False: it was there already.
pub async fn inbox_insert(
    conn: &mut Conn,
    event: &InboxEvent,
    now_micros: i64,
) -> Result<bool, sqlx::Error> {
    let done = query(
        "INSERT INTO stripe_inbox (event_id, type, stripe_id, payload, received_at) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (event_id) DO NOTHING",
    )
    .bind(event.id.clone())
    .bind(event.kind.clone())
    .bind(event.stripe_id.clone())
    .bind(event.payload.clone())
    .bind(now_micros)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What of a webhook is stored.
#[derive(Debug, Clone)]
pub struct InboxEvent {
    /// `evt_…`
    pub id: String,
    /// `payment_intent.succeeded`, for one.
    pub kind: String,
    /// The PaymentIntent that it concerns.
    pub stripe_id: Option<String>,
    /// All of it, as it came.
    pub payload: String,
}

/// A webhook that nobody has acted on yet.
#[derive(Debug)]
pub struct Waiting {
    /// `evt_…`
    pub event_id: String,
    /// The PaymentIntent that it concerns.
    pub stripe_id: Option<String>,
    kind: String,
}

impl Waiting {
    /// Whether it says something of money that goes back.
    pub fn is_about_refunds(&self) -> bool {
        self.kind.starts_with("refund.") || self.kind.starts_with("charge.refund")
    }
}

/// Webhooks that nobody has acted on yet, oldest first.
pub async fn inbox_waiting<'e>(
    on: impl AnyExecutor<'e>,
    limit: i64,
) -> Result<Vec<Waiting>, sqlx::Error> {
    let rows = query(
        "SELECT event_id, stripe_id, type FROM stripe_inbox WHERE processed_at IS NULL \
         ORDER BY received_at LIMIT $1",
    )
    .bind(limit)
    .fetch_all(on)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Waiting {
                event_id: row.try_get("event_id")?,
                stripe_id: row.try_get("stripe_id")?,
                kind: row.try_get("type")?,
            })
        })
        .collect()
}

/// The webhook has been acted on.
pub async fn inbox_processed(
    conn: &mut Conn,
    event_id: &str,
    now_micros: i64,
) -> Result<(), sqlx::Error> {
    query("UPDATE stripe_inbox SET processed_at = $2 WHERE event_id = $1 AND processed_at IS NULL")
        .bind(event_id.to_owned())
        .bind(now_micros)
        .execute(conn)
        .await?;
    Ok(())
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
