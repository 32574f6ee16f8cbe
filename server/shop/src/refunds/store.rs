//! The SQL of refunds. Functions that take a `Conn` run in the caller's transaction.

use model::{
    Moment,
    ids::{OrderId, PaymentId, RefundId, TicketId, UserId},
    money::{Currency, MinorUnits},
    refunds::{Refund, RefundStatus, TicketRefund},
};
use platform::db::{Conn, Flag, Statement};
use sqlx::{AnyExecutor, AssertSqlSafe, query, query_as, query_scalar};
use sqlx_macros::FromRow;
use std::collections::HashMap;
use strum::{Display, EnumString, IntoStaticStr};

/// The internal state of a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum State {
    /// Requested; Stripe has not answered.
    Intended,
    /// Being processed by Stripe.
    Pending,
    /// May still fail later.
    Succeeded,
    Failed,
}

impl State {
    /// Converts to the wire type.
    pub(crate) fn status(self) -> RefundStatus {
        match self {
            Self::Intended | Self::Pending => RefundStatus::Pending,
            Self::Succeeded => RefundStatus::Succeeded,
            Self::Failed => RefundStatus::Failed,
        }
    }
}

/// Why a refund was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Reason {
    /// Requested by the seller of the tickets.
    Seller,
    /// Requested by an operator.
    Operator,
    /// Money was captured without an order behind the fence.
    LateCapture,
    /// Made at the provider.
    Provider,
}

model::text_columns!(State, Reason);

const COLUMNS: &str = "refunds.id, refunds.payment_id, refunds.order_id, refunds.amount_minor, \
     refunds.currency, refunds.asked_by, refunds.state, refunds.created_at, \
     refunds.settled_at, refunds.reason";

/// A refund as stored.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct RefundRow {
    pub id: RefundId,
    #[sqlx(rename = "payment_id")]
    pub payment: PaymentId,
    #[sqlx(rename = "order_id")]
    pub order: OrderId,
    pub amount_minor: MinorUnits,
    pub currency: Currency,
    /// None unless the reason is `Seller` or `Operator`.
    pub asked_by: Option<UserId>,
    pub state: State,
    pub created_at: Moment,
    /// When it succeeded or failed.
    pub settled_at: Option<Moment>,
    pub reason: Reason,
}

impl RefundRow {
    /// Converts to the wire type.
    pub(crate) fn refund(&self, ticket_ids: Vec<TicketId>) -> Refund {
        Refund {
            id: self.id,
            order_id: self.order,
            status: self.state.status(),
            amount_minor: self.amount_minor.get(),
            currency: self.currency,
            ticket_ids,
            created_at: self.created_at.timestamp(),
        }
    }
}

/// A refund to be inserted.
#[derive(Debug)]
pub(crate) struct NewRefund {
    pub id: RefundId,
    pub payment: PaymentId,
    pub order: OrderId,
    pub amount_minor: MinorUnits,
    pub currency: Currency,
    pub reason: Reason,
    pub asked_by: Option<UserId>,
    /// Known already if it was made at the provider.
    pub stripe_id: Option<String>,
    /// The refunded tickets with their prices.
    pub lines: Vec<(TicketId, MinorUnits)>,
}

/// Inserts a refund in state `intended` and its lines. Errors: a unique violation, if a ticket has another
/// live refund line.
pub(crate) async fn insert(
    conn: &mut Conn,
    refund: &NewRefund,
    now: Moment,
) -> Result<(), sqlx::Error> {
    query(
        "INSERT INTO refunds (id, payment_id, order_id, amount_minor, currency, reason, asked_by, \
         stripe_id, state, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'intended', $9)",
    )
    .bind(refund.id)
    .bind(refund.payment)
    .bind(refund.order)
    .bind(refund.amount_minor)
    .bind(refund.currency)
    .bind(refund.reason)
    .bind(refund.asked_by)
    .bind(refund.stripe_id.clone())
    .bind(now)
    .execute(&mut *conn)
    .await?;
    insert_lines(conn, refund.id, refund.order, &refund.lines).await
}

/// Inserts live lines: the refunded tickets with their prices.
pub(crate) async fn insert_lines(
    conn: &mut Conn,
    refund: RefundId,
    order: OrderId,
    lines: &[(TicketId, MinorUnits)],
) -> Result<(), sqlx::Error> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut insert = Statement::new(
        "INSERT INTO refund_lines (refund_id, order_id, ticket_id, amount_minor, live) VALUES ",
    );
    insert.bind_rows(lines, |row, (ticket, amount_minor)| {
        row.bind(refund)
            .bind(order)
            .bind(*ticket)
            .bind(*amount_minor)
            .bind(Flag(true));
    });
    insert.query()?.execute(conn).await?;
    Ok(())
}

/// Does not check who may see it.
pub(crate) async fn find<'e>(
    on: impl AnyExecutor<'e>,
    id: RefundId,
) -> Result<Option<RefundRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM refunds WHERE id = $1");
    query_as(AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(on)
        .await
}

/// Finds a refund by Stripe's id.
pub(crate) async fn find_by_stripe_id(
    conn: &mut Conn,
    stripe_id: &str,
) -> Result<Option<RefundRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM refunds WHERE stripe_id = $1");
    query_as(AssertSqlSafe(sql))
        .bind(stripe_id.to_owned())
        .fetch_optional(conn)
        .await
}

/// Finds the newest succeeded refund of a payment that was made at the provider.
pub(crate) async fn find_newest_by_provider(
    conn: &mut Conn,
    payment: PaymentId,
) -> Result<Option<RefundRow>, sqlx::Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM refunds WHERE payment_id = $1 AND reason = 'provider' \
         AND state = 'succeeded' ORDER BY id DESC LIMIT 1"
    );
    query_as(AssertSqlSafe(sql))
        .bind(payment)
        .fetch_optional(conn)
        .await
}

/// Finds the newest refund of a payment that was made at the provider and has live lines.
pub(crate) async fn find_by_provider_with_tickets(
    conn: &mut Conn,
    payment: PaymentId,
) -> Result<Option<RefundRow>, sqlx::Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM refunds WHERE payment_id = $1 AND reason = 'provider' AND EXISTS \
         (SELECT 1 FROM refund_lines l WHERE l.refund_id = refunds.id AND l.live = 1) \
         ORDER BY id DESC LIMIT 1"
    );
    query_as(AssertSqlSafe(sql))
        .bind(payment)
        .fetch_optional(conn)
        .await
}

/// Lists the tickets of an order without a succeeded refund, with their prices.
pub(crate) async fn list_unrefunded_lines(
    conn: &mut Conn,
    order: OrderId,
) -> Result<Vec<(TicketId, MinorUnits)>, sqlx::Error> {
    query_as(
        "SELECT l.ticket_id, l.price_minor FROM order_lines l WHERE l.order_id = $1 AND NOT EXISTS \
         (SELECT 1 FROM refund_lines b JOIN refunds r ON r.id = b.refund_id \
         WHERE b.order_id = l.order_id AND b.ticket_id = l.ticket_id AND b.live = 1 \
         AND r.state = 'succeeded') ORDER BY l.ticket_id",
    )
    .bind(order)
    .fetch_all(conn)
    .await
}

/// Ends the live refund lines of these tickets of an order.
pub(crate) async fn release_tickets(
    conn: &mut Conn,
    order: OrderId,
    tickets: &[TicketId],
) -> Result<(), sqlx::Error> {
    let mut update = Statement::new("UPDATE refund_lines SET live = 0 WHERE order_id = ");
    update.bind(order).push(" AND live = 1 AND ticket_id IN (");
    update.bind_list(tickets.iter().copied()).push(")");
    update.query()?.execute(conn).await?;
    Ok(())
}

/// Lists the tickets of a refund's live lines.
pub(crate) async fn list_live_tickets(
    conn: &mut Conn,
    refund: RefundId,
) -> Result<Vec<TicketId>, sqlx::Error> {
    query_scalar(
        "SELECT ticket_id FROM refund_lines WHERE refund_id = $1 AND live = 1 ORDER BY ticket_id",
    )
    .bind(refund)
    .fetch_all(conn)
    .await
}

/// Returns the received amount of a payment less succeeded refunds.
pub(crate) async fn get_unrefunded(
    conn: &mut Conn,
    payment: PaymentId,
) -> Result<MinorUnits, sqlx::Error> {
    query_scalar("SELECT received_minor - refunded_minor AS amount FROM payments WHERE id = $1")
        .bind(payment)
        .fetch_one(conn)
        .await
}

/// Returns the received amount of a payment less succeeded and pending refunds.
pub(crate) async fn get_refundable(
    conn: &mut Conn,
    payment: PaymentId,
) -> Result<MinorUnits, sqlx::Error> {
    query_scalar(
        "SELECT CAST(p.received_minor - p.refunded_minor - COALESCE((SELECT SUM(r.amount_minor) \
         FROM refunds r WHERE r.payment_id = p.id AND r.state IN ('intended', 'pending')), 0) \
         AS BIGINT) AS amount FROM payments p WHERE p.id = $1",
    )
    .bind(payment)
    .fetch_one(conn)
    .await
}

/// Lists the refunds of an order, oldest first.
pub(crate) async fn list_for_order<'e>(
    on: impl AnyExecutor<'e>,
    order: OrderId,
) -> Result<Vec<RefundRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM refunds WHERE order_id = $1 ORDER BY id");
    query_as(AssertSqlSafe(sql)).bind(order).fetch_all(on).await
}

/// Selects refunds by their tickets.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TicketRefundFilter {
    BoughtBy(UserId),
    SoldBy(UserId),
}

/// Lists refunds with one row for each ticket, newest first.
pub(crate) async fn list_by_ticket<'e>(
    on: impl AnyExecutor<'e>,
    filter: TicketRefundFilter,
    limit: i64,
) -> Result<Vec<TicketRefund>, sqlx::Error> {
    let (condition, user) = match filter {
        TicketRefundFilter::BoughtBy(user) => (
            "r.order_id IN (SELECT o.id FROM orders o WHERE o.buyer_id = $1)",
            user,
        ),
        // The ledger has an index of a seller's payments.
        TicketRefundFilter::SoldBy(user) => (
            "r.payment_id IN (SELECT b.payment_id FROM ledger b WHERE b.seller_id = $1) \
             AND l.ticket_id IN (SELECT t.id FROM tickets t WHERE t.seller_id = $1)",
            user,
        ),
    };
    let sql = format!(
        "SELECT l.ticket_id, l.amount_minor, r.order_id, r.currency, r.state, r.created_at \
         FROM refunds r JOIN refund_lines l ON l.refund_id = r.id WHERE {condition} \
         ORDER BY r.id DESC, l.ticket_id LIMIT $2"
    );
    let rows = query_as::<_, TicketRefundRow>(AssertSqlSafe(sql))
        .bind(user)
        .bind(limit)
        .fetch_all(on)
        .await?;
    Ok(rows.into_iter().map(TicketRefund::from).collect())
}

/// Lists the newest refund of each of these tickets that this user sells.
pub(crate) async fn list_newest_for_tickets<'e>(
    on: impl AnyExecutor<'e>,
    seller: UserId,
    tickets: &[TicketId],
) -> Result<Vec<TicketRefund>, sqlx::Error> {
    if tickets.is_empty() {
        return Ok(Vec::new());
    }
    let mut select = Statement::new(
        "SELECT l.ticket_id, l.amount_minor, r.order_id, r.currency, r.state, r.created_at \
         FROM refund_lines l JOIN refunds r ON r.id = l.refund_id WHERE l.ticket_id IN (",
    );
    select
        .bind_list(tickets.iter().copied())
        .push(") AND EXISTS (SELECT 1 FROM tickets t WHERE t.id = l.ticket_id AND t.seller_id = ")
        .bind(seller)
        .push(") ORDER BY r.id DESC, l.ticket_id");
    let rows = select.query_as::<TicketRefundRow>()?.fetch_all(on).await?;
    let mut newest: Vec<TicketRefund> = Vec::new();
    for refund in rows.into_iter().map(TicketRefund::from) {
        if !newest
            .iter()
            .any(|newer| newer.ticket_id == refund.ticket_id)
        {
            newest.push(refund);
        }
    }
    Ok(newest)
}

#[derive(FromRow)]
struct TicketRefundRow {
    ticket_id: TicketId,
    amount_minor: MinorUnits,
    order_id: OrderId,
    currency: Currency,
    state: State,
    created_at: Moment,
}

impl From<TicketRefundRow> for TicketRefund {
    fn from(row: TicketRefundRow) -> Self {
        Self {
            ticket_id: row.ticket_id,
            order_id: row.order_id,
            status: row.state.status(),
            amount_minor: row.amount_minor.get(),
            currency: row.currency,
            created_at: row.created_at.timestamp(),
        }
    }
}

/// Lists the tickets of each of these refunds.
pub(crate) async fn list_tickets<'e>(
    on: impl AnyExecutor<'e>,
    refunds: &[RefundId],
) -> Result<HashMap<RefundId, Vec<TicketId>>, sqlx::Error> {
    let mut tickets: HashMap<RefundId, Vec<TicketId>> = HashMap::new();
    if refunds.is_empty() {
        return Ok(tickets);
    }
    let mut select =
        Statement::new("SELECT refund_id, ticket_id FROM refund_lines WHERE refund_id IN (");
    select
        .bind_list(refunds.iter().copied())
        .push(") ORDER BY ticket_id");
    let lines = select.query_as::<(RefundId, TicketId)>()?;
    for (refund, ticket) in lines.fetch_all(on).await? {
        tickets.entry(refund).or_default().push(ticket);
    }
    Ok(tickets)
}

/// Changes a refund's state if it is still that of `refund`. Returns false otherwise.
pub(crate) async fn update_state(
    conn: &mut Conn,
    refund: &RefundRow,
    to: State,
    stripe_id: Option<&str>,
    failure: Option<&str>,
    now: Moment,
) -> Result<bool, sqlx::Error> {
    let settled_at = matches!(to, State::Succeeded | State::Failed).then_some(now);
    let done = query(
        "UPDATE refunds SET state = $3, stripe_id = COALESCE(stripe_id, $4), failure = $5, \
         settled_at = $6 WHERE id = $1 AND state = $2",
    )
    .bind(refund.id)
    .bind(refund.state)
    .bind(to)
    .bind(stripe_id.map(str::to_owned))
    .bind(failure.map(str::to_owned))
    .bind(settled_at)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends the live lines of a failed refund, so that its tickets can be refunded again.
pub(crate) async fn release_lines(conn: &mut Conn, refund: RefundId) -> Result<(), sqlx::Error> {
    query("UPDATE refund_lines SET live = 0 WHERE refund_id = $1 AND live = 1")
        .bind(refund)
        .execute(conn)
        .await?;
    Ok(())
}

/// Records the versions of a refund's tickets. If the refund fails later, only tickets that have not
/// changed since are restored to the buyer. Must run before the order's lines end.
pub(crate) async fn record_ticket_versions(
    conn: &mut Conn,
    refund: RefundId,
) -> Result<(), sqlx::Error> {
    query(
        "UPDATE refund_lines SET ticket_version = COALESCE((SELECT t.version FROM tickets t \
         JOIN order_lines l ON l.ticket_id = t.id WHERE t.id = refund_lines.ticket_id \
         AND l.order_id = refund_lines.order_id AND l.live = 1), 0) WHERE refund_id = $1",
    )
    .bind(refund)
    .execute(conn)
    .await?;
    Ok(())
}
