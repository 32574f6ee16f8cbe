//! The SQL of letters about orders, refunds and payments. Only reads.

use super::words::Seat;
use crate::refunds::store::{Reason, State};
use model::{
    ids::{OrderId, RefundId},
    money::{Currency, MinorUnits},
    tickets::label,
};
use sqlx::{AnyExecutor, query_as};
use sqlx_macros::FromRow;

#[derive(FromRow)]
struct SeatRow {
    section: Option<String>,
    row_label: Option<String>,
    seat: Option<String>,
    amount_minor: MinorUnits,
    currency: Currency,
}

impl From<SeatRow> for Seat {
    fn from(row: SeatRow) -> Self {
        Self {
            label: label(
                row.section.as_deref(),
                row.row_label.as_deref(),
                row.seat.as_deref(),
            ),
            price: row.amount_minor.of(row.currency),
        }
    }
}

#[derive(FromRow)]
struct OrderSeatRow {
    #[sqlx(flatten)]
    seat: SeatRow,
    refunds: i64,
}

/// Lists the tickets of an order at the price that was paid, by section, row and seat, each with whether it
/// is refunded or being refunded.
pub(crate) async fn list_order_seats<'e>(
    on: impl AnyExecutor<'e>,
    order: OrderId,
) -> Result<Vec<(Seat, bool)>, sqlx::Error> {
    let rows: Vec<OrderSeatRow> = query_as(
        "SELECT t.section, t.row_label, t.seat, l.price_minor AS amount_minor, t.currency, \
         (SELECT COUNT(*) FROM refund_lines r WHERE r.order_id = l.order_id \
         AND r.ticket_id = l.ticket_id AND r.live = 1) AS refunds \
         FROM order_lines l JOIN tickets t ON t.id = l.ticket_id WHERE l.order_id = $1 \
         ORDER BY t.section, t.row_label, t.seat, t.id",
    )
    .bind(order)
    .fetch_all(on)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.seat.into(), row.refunds > 0))
        .collect())
}

/// Lists the tickets of a refund, also of a failed one, each with its part of the amount.
pub(crate) async fn list_refund_seats<'e>(
    on: impl AnyExecutor<'e>,
    refund: RefundId,
) -> Result<Vec<Seat>, sqlx::Error> {
    let rows: Vec<SeatRow> = query_as(
        "SELECT t.section, t.row_label, t.seat, r.amount_minor, t.currency \
         FROM refund_lines r JOIN tickets t ON t.id = r.ticket_id WHERE r.refund_id = $1 \
         ORDER BY t.section, t.row_label, t.seat, t.id",
    )
    .bind(refund)
    .fetch_all(on)
    .await?;
    Ok(rows.into_iter().map(Seat::from).collect())
}

/// The data of a refund.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct RefundRow {
    #[sqlx(rename = "order_id")]
    pub order: OrderId,
    pub amount_minor: MinorUnits,
    pub currency: Currency,
    pub state: State,
    pub reason: Reason,
}

pub(crate) async fn find_refund<'e>(
    on: impl AnyExecutor<'e>,
    id: RefundId,
) -> Result<Option<RefundRow>, sqlx::Error> {
    query_as("SELECT order_id, amount_minor, currency, state, reason FROM refunds WHERE id = $1")
        .bind(id)
        .fetch_optional(on)
        .await
}

/// The payments of an order by outcome.
#[derive(Debug, Clone, Copy, FromRow)]
pub(crate) struct Charged {
    /// Payments that were captured, even if refunded since.
    pub taken: i64,
    /// Payments that are neither voided nor failed.
    pub open: i64,
}

/// Counts the payments of an order by outcome.
pub(crate) async fn count_charged<'e>(
    on: impl AnyExecutor<'e>,
    order: OrderId,
) -> Result<Charged, sqlx::Error> {
    query_as(
        "SELECT COUNT(CASE WHEN received_minor > 0 THEN 1 END) AS taken, \
         COUNT(CASE WHEN state NOT IN ('voided', 'failed') THEN 1 END) AS open \
         FROM payments WHERE order_id = $1",
    )
    .bind(order)
    .fetch_one(on)
    .await
}
