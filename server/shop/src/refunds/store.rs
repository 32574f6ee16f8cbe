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

/// Where a refund stands inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum State {
    /// Written down; Stripe has not said anything of it yet.
    Intended,
    /// Stripe is at it.
    Pending,
    /// The money is back.
    Succeeded,
    /// It did not get there.
    Failed,
}

impl State {
    /// As the outside sees it.
    pub(crate) fn seen(self) -> RefundStatus {
        match self {
            Self::Intended | Self::Pending => RefundStatus::Pending,
            Self::Succeeded => RefundStatus::Succeeded,
            Self::Failed => RefundStatus::Failed,
        }
    }
}

/// Why there is a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Reason {
    /// A ticket's seller asked for it.
    Seller,
    /// An operator did.
    Operator,
    /// Money was taken that no order stood for.
    LateCapture,
    /// Somebody made it at the provider.
    Provider,
}

model::text_columns!(State, Reason);

const COLUMNS: &str = "refunds.id, refunds.payment_id, refunds.order_id, refunds.amount_minor, \
     refunds.currency, refunds.asked_by, refunds.state, refunds.created_at, \
     refunds.settled_at, refunds.reason";

/// What the database says of a refund.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct RefundRow {
    /// Its id.
    pub id: RefundId,
    /// Of which payment.
    #[sqlx(rename = "payment_id")]
    pub payment: PaymentId,
    /// Of which order.
    #[sqlx(rename = "order_id")]
    pub order: OrderId,
    /// What goes back.
    pub amount_minor: MinorUnits,
    /// The order's currency.
    pub currency: Currency,
    /// Who asked; nobody for what the shop or the provider did.
    pub asked_by: Option<UserId>,
    /// Where it stands.
    pub state: State,
    /// When it was asked for.
    pub created_at: Moment,
    /// When it ended.
    pub settled_at: Option<Moment>,
    /// Why there is one.
    pub reason: Reason,
}

impl RefundRow {
    /// As the browser sees it.
    pub(crate) fn refund(&self, ticket_ids: Vec<TicketId>) -> Refund {
        Refund {
            id: self.id,
            order_id: self.order,
            status: self.state.seen(),
            amount_minor: self.amount_minor.get(),
            currency: self.currency,
            ticket_ids,
            created_at: self.created_at.timestamp(),
        }
    }
}

/// A refund before it has a row.
#[derive(Debug)]
pub(crate) struct NewRefund {
    /// Its id.
    pub id: RefundId,
    /// Of which payment.
    pub payment: PaymentId,
    /// Of which order.
    pub order: OrderId,
    /// What goes back.
    pub amount_minor: MinorUnits,
    /// The order's currency.
    pub currency: Currency,
    /// Why.
    pub reason: Reason,
    /// Who asked.
    pub asked_by: Option<UserId>,
    /// Stripe's, where it was made there first.
    pub stripe_id: Option<String>,
    /// The tickets that it pays back, each with its price.
    pub lines: Vec<(TicketId, MinorUnits)>,
}

/// Writes a refund down. A ticket that is being refunded, or was, breaks the unique index, and
/// with it the transaction.
pub(crate) async fn refund_insert(
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
    refund_lines_insert(conn, refund.id, refund.order, &refund.lines).await
}

/// Writes down which tickets a refund pays back, each with its price.
pub(crate) async fn refund_lines_insert(
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

/// One refund, whoever asks. Callers check who may see it.
pub(crate) async fn refund_find<'e>(
    on: impl AnyExecutor<'e>,
    id: RefundId,
) -> Result<Option<RefundRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM refunds WHERE id = $1");
    query_as(AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(on)
        .await
}

/// The refund that Stripe knows by this id.
pub(crate) async fn refund_find_by_stripe(
    conn: &mut Conn,
    stripe_id: &str,
) -> Result<Option<RefundRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM refunds WHERE stripe_id = $1");
    query_as(AssertSqlSafe(sql))
        .bind(stripe_id.to_owned())
        .fetch_optional(conn)
        .await
}

/// The newest refund of a payment that was made at the provider and has succeeded.
pub(crate) async fn refund_by_provider(
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

/// The refund that was made at the provider and by which tickets were taken back, if there is one.
pub(crate) async fn refund_with_tickets_by_provider(
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

/// The tickets of an order that no refund has paid back, each with its price.
pub(crate) async fn lines_not_paid_back(
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

/// Ends the claims that refunds have on these tickets of an order: another has paid them back.
pub(crate) async fn lines_give_way(
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

/// The tickets that a refund still claims.
pub(crate) async fn live_tickets(
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

/// What of a payment has not gone back.
pub(crate) async fn not_paid_back(
    conn: &mut Conn,
    payment: PaymentId,
) -> Result<MinorUnits, sqlx::Error> {
    query_scalar("SELECT received_minor - refunded_minor AS amount FROM payments WHERE id = $1")
        .bind(payment)
        .fetch_one(conn)
        .await
}

/// What of a payment can still be asked to be paid back: less what has gone back, and what is on its
/// way.
pub(crate) async fn left_to_refund(
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

/// The refunds of an order, oldest first.
pub(crate) async fn refunds_of_order<'e>(
    on: impl AnyExecutor<'e>,
    order: OrderId,
) -> Result<Vec<RefundRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM refunds WHERE order_id = $1 ORDER BY id");
    query_as(AssertSqlSafe(sql)).bind(order).fetch_all(on).await
}

/// Whose tickets' refunds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Whose {
    /// Of tickets that this user bought.
    BoughtBy(UserId),
    /// Of tickets that this user sold.
    SoldBy(UserId),
}

/// The refunds of somebody's tickets, each ticket of a refund by itself, newest first.
pub(crate) async fn ticket_refunds<'e>(
    on: impl AnyExecutor<'e>,
    whose: Whose,
    limit: i64,
) -> Result<Vec<TicketRefund>, sqlx::Error> {
    let (theirs, user) = match whose {
        Whose::BoughtBy(user) => (
            "r.order_id IN (SELECT o.id FROM orders o WHERE o.buyer_id = $1)",
            user,
        ),
        // By way of the books, which know a seller's payments: there is an index for that.
        Whose::SoldBy(user) => (
            "r.payment_id IN (SELECT b.payment_id FROM ledger b WHERE b.seller_id = $1) \
             AND l.ticket_id IN (SELECT t.id FROM tickets t WHERE t.seller_id = $1)",
            user,
        ),
    };
    let sql = format!(
        "SELECT l.ticket_id, l.amount_minor, r.order_id, r.currency, r.state, r.created_at \
         FROM refunds r JOIN refund_lines l ON l.refund_id = r.id WHERE {theirs} \
         ORDER BY r.id DESC, l.ticket_id LIMIT $2"
    );
    let rows = query_as::<_, TicketRefundRow>(AssertSqlSafe(sql))
        .bind(user)
        .bind(limit)
        .fetch_all(on)
        .await?;
    Ok(rows.into_iter().map(TicketRefund::from).collect())
}

/// The newest refund of each of these tickets that this user sells.
pub(crate) async fn listings_refunds<'e>(
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
            status: row.state.seen(),
            amount_minor: row.amount_minor.get(),
            currency: row.currency,
            created_at: row.created_at.timestamp(),
        }
    }
}

/// The tickets of these refunds.
pub(crate) async fn refunds_tickets<'e>(
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

/// Moves a refund, if it stands where the caller believes. False: another was quicker.
pub(crate) async fn refund_move(
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

/// Frees the tickets of a refund that failed, to be refunded in another way.
pub(crate) async fn refund_lines_end(conn: &mut Conn, refund: RefundId) -> Result<(), sqlx::Error> {
    query("UPDATE refund_lines SET live = 0 WHERE refund_id = $1 AND live = 1")
        .bind(refund)
        .execute(conn)
        .await?;
    Ok(())
}

/// Notes in which version a refund's tickets left the order that they are still live in: if the money
/// comes in again, the buyer gets back those that have not changed since.
pub(crate) async fn refund_lines_note_versions(
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
