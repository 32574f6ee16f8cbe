//! The SQL of passes.

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

/// A ticket that somebody has paid for, and still has.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct HeldRow {
    /// The ticket.
    #[sqlx(rename = "ticket_id")]
    pub ticket: TicketId,
    /// The event that it admits to.
    #[sqlx(rename = "event_id")]
    pub event: EventId,
    /// The order that bought it.
    #[sqlx(rename = "order_id")]
    pub order: OrderId,
    /// The ticket's version.
    pub version: i64,
    /// Section, row and seat.
    #[sqlx(flatten)]
    pub place: Place,
    /// What was paid for it.
    pub price_minor: MinorUnits,
    /// What that is in.
    pub currency: Currency,
    /// Who sold it.
    pub seller_name: String,
}

/// Where a ticket's place is.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Place {
    section: Option<String>,
    row_label: Option<String>,
    seat: Option<String>,
}

impl Place {
    /// Section, row and seat.
    pub(crate) fn label(&self) -> String {
        let (section, line) = (self.section.as_deref(), self.row_label.as_deref());
        label(section, line, self.seat.as_deref())
    }
}

/// Whose tickets.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Whose {
    /// Of this order.
    Order(OrderId),
    /// Of this buyer, for events whose tickets are shown at this moment.
    Buyer(UserId, Moment),
}

/// Tickets that are paid, still their buyer's and not frozen, at the price that was paid: soonest event first,
/// then by section, row and seat.
pub(crate) async fn held<'e>(
    on: impl AnyExecutor<'e>,
    whose: Whose,
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
    let shown_at = match whose {
        Whose::Order(order) => {
            select.push("o.id = ").bind(order);
            Moment::MIN
        }
        Whose::Buyer(buyer, shown_at) => {
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

/// The paid orders of a buyer for events whose tickets are still shown.
pub(crate) async fn shown_orders<'e>(
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

/// How many tickets of an order are not its buyer's any more, and how many are frozen.
pub(crate) async fn without_pass<'e>(
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

/// What a pass is checked against.
#[derive(Debug, FromRow)]
pub(crate) struct Checkable {
    /// Who sells the ticket.
    #[sqlx(rename = "seller_id")]
    pub seller: UserId,
    /// Who made the event.
    #[sqlx(rename = "creator_id")]
    pub creator: UserId,
    /// Section, row and seat.
    #[sqlx(flatten)]
    pub place: Place,
    /// Whether the ticket is still the order's buyer's.
    pub held: Flag,
    /// Whether its payment is disputed.
    pub frozen: Flag,
}

/// How the ticket of a pass stands. None: there is no such ticket in such an order.
pub(crate) async fn checkable<'e>(
    on: impl AnyExecutor<'e>,
    claims: &Claims,
) -> Result<Option<Checkable>, sqlx::Error> {
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
