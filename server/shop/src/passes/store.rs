//! The SQL of passes. Only reads.

use super::pass::Claims;
use crate::events::span::tickets_until;
use model::{
    Moment,
    ids::{EventId, OrderId, TicketId, UserId},
    money::{Currency, MinorUnits},
    tickets::label,
};
use platform::db::{Flag, Statement};
use sqlx::{AnyExecutor, query_as, query_scalar};
use sqlx_macros::FromRow;

/// A paid ticket that its buyer still has.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct HeldRow {
    #[sqlx(rename = "ticket_id")]
    pub ticket: TicketId,
    #[sqlx(rename = "event_id")]
    pub event: EventId,
    #[sqlx(rename = "order_id")]
    pub order: OrderId,
    pub version: i64,
    #[sqlx(flatten)]
    pub place: Place,
    /// The price that was paid.
    pub price_minor: MinorUnits,
    pub currency: Currency,
    pub seller_name: String,
}

/// Section, row and seat of a ticket, as far as it has them.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Place {
    section: Option<String>,
    row_label: Option<String>,
    seat: Option<String>,
}

impl Place {
    pub(crate) fn label(&self) -> String {
        let (section, line) = (self.section.as_deref(), self.row_label.as_deref());
        label(section, line, self.seat.as_deref())
    }
}

/// Selects held tickets.
#[derive(Debug, Clone, Copy)]
pub(crate) enum HeldBy {
    Order(OrderId),
    /// For events whose tickets are still shown at this time.
    Buyer(UserId, Moment),
}

/// Lists tickets that are paid, still their buyer's and not frozen: soonest event first, then by section, row
/// and seat.
pub(crate) async fn list_held<'e>(
    on: impl AnyExecutor<'e>,
    held_by: HeldBy,
    limit: i64,
) -> Result<Vec<HeldRow>, sqlx::Error> {
    let mut select = Statement::new(
        "SELECT t.id AS ticket_id, t.event_id, o.id AS order_id, t.version, t.section, \
         t.row_label, t.seat, l.price_minor, t.currency, u.name AS seller_name FROM orders o \
         JOIN order_lines l ON l.order_id = o.id AND l.live = 1 \
         JOIN tickets t ON t.id = l.ticket_id AND t.state = 'sold' AND t.frozen = 0 \
         JOIN events e ON e.id = t.event_id JOIN users u ON u.id = t.seller_id \
         WHERE ",
    );
    let shown_at = match held_by {
        HeldBy::Order(order) => {
            select.push("o.id = ").bind(order);
            Moment::MIN
        }
        HeldBy::Buyer(buyer, shown_at) => {
            select.push("o.buyer_id = ").bind(buyer);
            shown_at
        }
    };
    select
        .push(" AND o.status IN ('complete', 'refunding') AND ")
        .push(concat!(tickets_until!("e"), " > "))
        .bind(shown_at)
        .push(
            " ORDER BY e.starts_at, t.section, LENGTH(t.row_label), t.row_label, LENGTH(t.seat), \
             t.seat, t.id LIMIT ",
        )
        .bind(limit);
    select.query_as()?.fetch_all(on).await
}

/// Lists the paid orders of a buyer for events whose tickets are still shown.
pub(crate) async fn list_shown_orders<'e>(
    on: impl AnyExecutor<'e>,
    buyer: UserId,
    now: Moment,
) -> Result<Vec<OrderId>, sqlx::Error> {
    query_scalar(concat!(
        "SELECT o.id FROM orders o JOIN events e ON e.id = o.event_id WHERE o.buyer_id = $1 \
         AND o.status IN ('complete', 'refunding') AND ",
        tickets_until!("e"),
        " > $2"
    ))
    .bind(buyer)
    .bind(now)
    .fetch_all(on)
    .await
}

/// Counts the tickets of an order that are no longer its buyer's, and those that are frozen.
pub(crate) async fn count_without_pass<'e>(
    on: impl AnyExecutor<'e>,
    order: OrderId,
) -> Result<(i64, i64), sqlx::Error> {
    query_as(
        "SELECT COUNT(CASE WHEN l.live = 0 THEN 1 END) AS ended, \
         COUNT(CASE WHEN l.live = 1 AND t.frozen = 1 THEN 1 END) AS frozen \
         FROM order_lines l JOIN tickets t ON t.id = l.ticket_id WHERE l.order_id = $1",
    )
    .bind(order)
    .fetch_one(on)
    .await
}

/// The state that a pass is checked against.
#[derive(Debug, FromRow)]
pub(crate) struct CheckRow {
    #[sqlx(rename = "seller_id")]
    pub seller: UserId,
    #[sqlx(rename = "creator_id")]
    pub creator: UserId,
    #[sqlx(flatten)]
    pub place: Place,
    /// Whether the ticket still belongs to the order's buyer.
    pub held: Flag,
    pub frozen: Flag,
}

/// Finds the state of a pass's ticket. Returns `None` if the order has no such ticket.
pub(crate) async fn find_for_check<'e>(
    on: impl AnyExecutor<'e>,
    claims: &Claims,
) -> Result<Option<CheckRow>, sqlx::Error> {
    query_as(
        "SELECT t.seller_id, e.creator_id, t.section, t.row_label, t.seat, t.frozen, \
         CAST(CASE WHEN l.live = 1 AND t.state = 'sold' THEN 1 ELSE 0 END AS BIGINT) AS held \
         FROM order_lines l JOIN tickets t ON t.id = l.ticket_id \
         JOIN events e ON e.id = t.event_id WHERE l.order_id = $1 AND t.id = $2 AND e.id = $3",
    )
    .bind(claims.order)
    .bind(claims.ticket)
    .bind(claims.event)
    .fetch_optional(on)
    .await
}
