//! The SQL of orders. Functions that take a `Conn` run in the caller's transaction.

use super::state::State;
use crate::tickets::{COLUMNS as TICKET_COLUMNS, TicketRow};
use model::{
    Moment,
    ids::{EventId, OrderId, PaymentId, RefundId, TicketId, UserId},
    money::{Currency, MinorUnits},
    orders::{OpenOrder, Order},
    tickets::Ticket,
};
use platform::{
    db::{Conn, Flag, Statement},
    outbox::{DomainEvent, EventType},
};
use sqlx::{AnyExecutor, AssertSqlSafe, query, query_as, query_scalar};
use sqlx_macros::FromRow;
use std::collections::HashMap;

/// The columns of [`OrderRow`].
pub const COLUMNS: &str = "id, buyer_id, event_id, status, total_minor, currency, expires_at, \
     hold_until, extended, version, created_at, request_hash, \
     (SELECT p.id FROM payments p WHERE p.order_id = orders.id ORDER BY p.attempt DESC LIMIT 1) \
     AS payment_id";

/// A row of the table `orders`.
#[derive(Debug, Clone, FromRow)]
pub struct OrderRow {
    pub id: OrderId,
    #[sqlx(rename = "buyer_id")]
    pub buyer: UserId,
    /// All tickets of an order are for one event.
    #[sqlx(rename = "event_id")]
    pub event: EventId,
    #[sqlx(rename = "status")]
    pub state: State,
    pub total_minor: MinorUnits,
    /// The event's currency.
    pub currency: Currency,
    /// End of the buyer's time to pay.
    pub expires_at: Moment,
    /// End of the hold: `expires_at`, plus the grace once a payment has begun.
    pub hold_until: Moment,
    /// Whether the buyer has extended the hold.
    pub extended: Flag,
    /// Incremented by every change that readers can see; starts at 1.
    pub version: i64,
    /// SHA-256 of the reservation request, if it had an idempotency key.
    pub request_hash: Option<String>,
    /// The newest payment.
    #[sqlx(rename = "payment_id")]
    pub payment: Option<PaymentId>,
}

impl OrderRow {
    /// The order as its buyer sees it at `now`. `more_time_seconds` is the length of an extension.
    pub(crate) fn order(&self, tickets: Vec<Ticket>, more_time_seconds: i64, now: Moment) -> Order {
        let seconds_left = match self.state {
            State::Created | State::AwaitingPayment => self.expires_at.seconds_left(now),
            _ => 0,
        };
        let may_extend = seconds_left > 0 && !self.extended.0;
        Order {
            id: self.id,
            status: self.state.status(self.hold_until <= now),
            expires_at: self.expires_at.timestamp(),
            seconds_left,
            more_time_seconds: if may_extend { more_time_seconds } else { 0 },
            total_minor: self.total_minor.get(),
            currency: self.currency,
            tickets,
            payment_id: self.payment,
            version: self.version,
        }
    }

    /// The domain event with the state of this row after a change.
    pub(crate) fn event(&self, kind: EventType, tickets: &[TicketId], now: Moment) -> DomainEvent {
        let data = serde_json::json!({
            "id": self.id,
            "buyerId": self.buyer,
            "eventId": self.event,
            "status": self.state.status(false),
            "expiresAt": self.expires_at,
            "totalMinor": self.total_minor,
            "currency": self.currency,
            "ticketIds": tickets,
            "paymentId": self.payment,
            "version": self.version,
            "at": now,
        });
        DomainEvent::new(kind, self.id, self.version, &data)
    }
}

/// Does not check whose order it is; callers do.
pub(crate) async fn find<'e>(
    on: impl AnyExecutor<'e>,
    id: OrderId,
) -> Result<Option<OrderRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM orders WHERE id = $1");
    query_as(AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(on)
        .await
}

/// The order that this buyer has already made with the idempotency key.
pub(crate) async fn find_by_key(
    conn: &mut Conn,
    buyer: UserId,
    key: &str,
) -> Result<Option<OrderRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM orders WHERE buyer_id = $1 AND request_key = $2");
    query_as(AssertSqlSafe(sql))
        .bind(buyer)
        .bind(key.to_owned())
        .fetch_optional(conn)
        .await
}

/// A buyer's orders with ids below `before`, newest first.
pub(crate) async fn list<'e>(
    on: impl AnyExecutor<'e>,
    buyer: UserId,
    before: Option<OrderId>,
    limit: i64,
) -> Result<Vec<OrderRow>, sqlx::Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM orders WHERE buyer_id = $1 AND ($2 IS NULL OR id < $2) \
         ORDER BY id DESC LIMIT $3"
    );
    query_as(AssertSqlSafe(sql))
        .bind(buyer)
        .bind(before)
        .bind(limit)
        .fetch_all(on)
        .await
}

#[derive(FromRow)]
struct OpenRow {
    id: OrderId,
    event_id: EventId,
    title: String,
    counted_tickets: i64,
    expires_at: Moment,
}

/// A buyer's orders that can still be paid, soonest to expire first.
pub(crate) async fn list_open<'e>(
    on: impl AnyExecutor<'e>,
    buyer: UserId,
    now: Moment,
    limit: i64,
) -> Result<Vec<OpenOrder>, sqlx::Error> {
    let rows: Vec<OpenRow> = query_as(
        "SELECT o.id, o.event_id, e.title, o.counted_tickets, o.expires_at FROM orders o \
         JOIN events e ON e.id = o.event_id WHERE o.buyer_id = $1 AND o.counted_tickets > 0 \
         AND o.status IN ('created', 'awaiting_payment') AND o.expires_at > $2 \
         ORDER BY o.expires_at LIMIT $3",
    )
    .bind(buyer)
    .bind(now)
    .bind(limit)
    .fetch_all(on)
    .await?;
    let open = rows.into_iter().map(|row| OpenOrder {
        id: row.id,
        event_id: row.event_id,
        event_title: row.title,
        tickets: row.counted_tickets,
        seconds_left: row.expires_at.seconds_left(now),
    });
    Ok(open.collect())
}

/// A ticket of an order, at the price it was reserved at.
#[derive(FromRow)]
struct LineRow {
    order_id: OrderId,
    line_price_minor: MinorUnits,
    #[sqlx(flatten)]
    ticket: TicketRow,
}

/// The tickets of each order at the prices they were reserved at, sorted by section, row and seat.
pub(crate) async fn list_tickets<'e>(
    on: impl AnyExecutor<'e>,
    orders: &[OrderId],
    now: Moment,
) -> Result<HashMap<OrderId, Vec<Ticket>>, sqlx::Error> {
    let mut tickets: HashMap<OrderId, Vec<Ticket>> = HashMap::new();
    if orders.is_empty() {
        return Ok(tickets);
    }
    let ticket_columns = TICKET_COLUMNS
        .split(", ")
        .map(|column| format!("t.{}", column.trim()))
        .collect::<Vec<_>>()
        .join(", ");
    let mut select = Statement::new(format!(
        "SELECT l.order_id, l.price_minor AS line_price_minor, {ticket_columns} \
         FROM order_lines l JOIN tickets t ON t.id = l.ticket_id WHERE l.order_id IN ("
    ));
    select.bind_list(orders).push(
        ") ORDER BY t.section, LENGTH(t.row_label), t.row_label, LENGTH(t.seat), t.seat, t.id",
    );
    for line in select.query_as::<LineRow>()?.fetch_all(on).await? {
        let mut ticket = line.ticket.ticket(now);
        ticket.price_minor = line.line_price_minor.get();
        tickets.entry(line.order_id).or_default().push(ticket);
    }
    Ok(tickets)
}

/// The tickets of one order, sorted by id.
pub(crate) async fn list_ticket_ids(
    conn: &mut Conn,
    order: OrderId,
) -> Result<Vec<TicketId>, sqlx::Error> {
    query_scalar("SELECT ticket_id FROM order_lines WHERE order_id = $1 ORDER BY ticket_id")
        .bind(order)
        .fetch_all(conn)
        .await
}

/// A ticket, its seller, and the order in which it is live.
#[derive(Debug, FromRow)]
pub(crate) struct TicketInOrder {
    #[sqlx(rename = "id")]
    pub ticket: TicketId,
    #[sqlx(rename = "seller_id")]
    pub seller: UserId,
    /// `None`: neither held nor sold.
    #[sqlx(rename = "order_id")]
    pub order: Option<OrderId>,
}

/// The orders in which these tickets are live, sorted by order. Tickets that do not exist are left out.
pub(crate) async fn list_live_orders(
    conn: &mut Conn,
    tickets: &[TicketId],
) -> Result<Vec<TicketInOrder>, sqlx::Error> {
    let mut select = Statement::new(
        "SELECT t.id, t.seller_id, l.order_id FROM tickets t LEFT JOIN order_lines l \
         ON l.ticket_id = t.id AND l.live = 1 WHERE t.id IN (",
    );
    select.bind_list(tickets).push(") ORDER BY l.order_id");
    select.query_as()?.fetch_all(conn).await
}

/// What is inserted for a new order.
#[derive(Debug)]
pub(crate) struct NewOrder {
    pub row: OrderRow,
    /// The network address whose hold usage the order counts towards.
    pub network: Option<String>,
    /// The idempotency key of the reservation.
    pub request_key: Option<String>,
}

/// Inserts an order and its lines. A ticket that is live in another order violates the unique index
/// `one_live_line`, which fails the transaction.
pub(crate) async fn insert(
    conn: &mut Conn,
    order: &NewOrder,
    tickets: &[TicketRow],
    now: Moment,
) -> Result<(), sqlx::Error> {
    let row = &order.row;
    query(
        "INSERT INTO orders (id, buyer_id, event_id, status, total_minor, currency, expires_at, \
         hold_until, request_key, request_hash, version, created_at, counted_tickets, \
         network) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind(row.id)
    .bind(row.buyer)
    .bind(row.event)
    .bind(row.state)
    .bind(row.total_minor)
    .bind(row.currency)
    .bind(row.expires_at)
    .bind(row.hold_until)
    .bind(order.request_key.clone())
    .bind(row.request_hash.clone())
    .bind(row.version)
    .bind(now)
    .bind(i64::try_from(tickets.len()).unwrap_or(i64::MAX))
    .bind(order.network.clone())
    .execute(&mut *conn)
    .await?;
    let mut insert = Statement::new(
        "INSERT INTO order_lines (order_id, ticket_id, price_minor, ticket_version, live) VALUES ",
    );
    insert.bind_rows(tickets, |line, ticket| {
        line.bind(row.id)
            .bind(ticket.id)
            .bind(ticket.price_minor)
            .bind(ticket.version)
            .bind(Flag(true));
    });
    insert.query()?.execute(conn).await?;
    Ok(())
}

/// Makes all lines of the order not live.
pub(crate) async fn end_lines(conn: &mut Conn, order: OrderId) -> Result<(), sqlx::Error> {
    query("UPDATE order_lines SET live = 0 WHERE order_id = $1 AND live = 1")
        .bind(order)
        .execute(conn)
        .await?;
    Ok(())
}

/// Unpaid orders whose hold has ended, oldest first.
pub(crate) async fn list_due<'e>(
    on: impl AnyExecutor<'e>,
    now: Moment,
    limit: i64,
) -> Result<Vec<OrderId>, sqlx::Error> {
    query_scalar(
        "SELECT id FROM orders WHERE status IN ('created', 'awaiting_payment') \
         AND hold_until <= $1 ORDER BY hold_until, id LIMIT $2",
    )
    .bind(now)
    .bind(limit)
    .fetch_all(on)
    .await
}

/// Unpaid orders with the end of their hold, soonest first.
pub(crate) async fn list_hold_ends<'e>(
    on: impl AnyExecutor<'e>,
) -> Result<Vec<(OrderId, Moment)>, sqlx::Error> {
    query_as(
        "SELECT id, hold_until FROM orders WHERE status IN ('created', 'awaiting_payment') \
         ORDER BY hold_until",
    )
    .fetch_all(on)
    .await
}

/// Makes all lines live again, at the current versions of their tickets. A ticket that is live in another
/// order violates the unique index `one_live_line`, which fails the transaction.
pub(crate) async fn revive_lines(conn: &mut Conn, order: OrderId) -> Result<(), sqlx::Error> {
    query(
        "UPDATE order_lines SET live = 1, ticket_version = (SELECT t.version FROM tickets t \
         WHERE t.id = order_lines.ticket_id) WHERE order_id = $1",
    )
    .bind(order)
    .execute(conn)
    .await?;
    Ok(())
}

/// Makes the lines of the refunded tickets not live.
pub(crate) async fn end_refunded_lines(
    conn: &mut Conn,
    order: OrderId,
    refund: RefundId,
) -> Result<(), sqlx::Error> {
    query(
        "UPDATE order_lines SET live = 0 WHERE order_id = $1 AND live = 1 AND ticket_id IN \
         (SELECT ticket_id FROM refund_lines WHERE refund_id = $2)",
    )
    .bind(order)
    .bind(refund)
    .execute(conn)
    .await?;
    Ok(())
}

/// Makes lines live again whose tickets [`restore_to_buyer`](crate::tickets::holds::restore_to_buyer) gave back
/// to the buyer. A ticket that has changed since has a later version and is left out.
pub(crate) async fn restore_lines(
    conn: &mut Conn,
    order: OrderId,
    refund: RefundId,
) -> Result<(), sqlx::Error> {
    query(
        "UPDATE order_lines SET live = 1 WHERE order_id = $1 AND ticket_id IN \
         (SELECT r.ticket_id FROM refund_lines r JOIN tickets t ON t.id = r.ticket_id \
         WHERE r.refund_id = $2 AND r.live = 1 AND t.state = 'sold' \
         AND t.version = r.ticket_version + 1)",
    )
    .bind(order)
    .bind(refund)
    .execute(conn)
    .await?;
    Ok(())
}
