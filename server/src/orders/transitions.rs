//! The moves of an order that change when its hold ends: more time, expiry and cancellation.
//!
//! Each runs in the caller's transaction, locks the order's usage rows and tickets first, and is decided by one
//! conditional UPDATE of the order. Jobs, the sweeper and rivals all call [`order_expire`]; it is
//! keyed by the order, so a stale timer cannot touch another's lock, and calling it again is
//! harmless.

use super::{
    store::{COLUMNS, OrderRow, order_lines_end, order_ticket_ids},
    usage::{self, Ended},
};
use crate::{
    db::Conn,
    mail,
    outbox::{self, EventType},
    payments,
    tickets::holds,
};
use app::ids::{OrderId, UserId};
use sqlx::{AssertSqlSafe, query};

/// Expires the order if its hold has run out and it is neither paid nor being paid. Returns
/// whether this call did it.
pub async fn order_expire(
    conn: &mut Conn,
    order: OrderId,
    now_micros: i64,
) -> Result<bool, sqlx::Error> {
    usage::order_lock(conn, order).await?;
    let sql = format!(
        "UPDATE orders SET status = 'expired', version = version + 1 WHERE id = $1 \
         AND status IN ('created', 'awaiting_payment') AND hold_until <= $2 RETURNING {COLUMNS}"
    );
    let row = query(AssertSqlSafe(sql))
        .bind(order.to_string())
        .bind(now_micros)
        .fetch_optional(&mut *conn)
        .await?;
    let Some(row) = row else { return Ok(false) };
    give_back(
        conn,
        &OrderRow::read(&row)?,
        EventType::OrderExpired,
        now_micros,
    )
    .await?;
    metrics::counter!("stagedoor_orders_expired_total").increment(1);
    Ok(true)
}

/// Cancels the buyer's order if its hold still stands and no call to Stripe is under way.
/// Returns whether this call did it.
pub async fn order_cancel(
    conn: &mut Conn,
    order: OrderId,
    buyer: UserId,
    expected_version: Option<i64>,
    now_micros: i64,
) -> Result<bool, sqlx::Error> {
    usage::order_lock(conn, order).await?;
    let sql = format!(
        "UPDATE orders SET status = 'cancelled', version = version + 1 \
         WHERE id = $1 AND buyer_id = $2 AND hold_until > $3 AND ($4 IS NULL OR version = $4) \
         AND (status = 'created' OR (status = 'awaiting_payment' AND NOT EXISTS \
         (SELECT 1 FROM payments p WHERE p.order_id = orders.id AND p.state = 'intended'))) \
         RETURNING {COLUMNS}"
    );
    let row = query(AssertSqlSafe(sql))
        .bind(order.to_string())
        .bind(buyer.to_string())
        .bind(now_micros)
        .bind(expected_version)
        .fetch_optional(&mut *conn)
        .await?;
    let Some(row) = row else { return Ok(false) };
    give_back(
        conn,
        &OrderRow::read(&row)?,
        EventType::OrderCancelled,
        now_micros,
    )
    .await?;
    Ok(true)
}

/// Gives the buyer `more_micros` more, if they have not had them and no more than so much is left.
/// Returns the order as it is then; `None`: nothing has changed.
pub async fn order_more_time(
    conn: &mut Conn,
    order: OrderId,
    buyer: UserId,
    more_micros: i64,
    now_micros: i64,
) -> Result<Option<OrderRow>, sqlx::Error> {
    holds::order_tickets_lock(conn, order).await?;
    let sql = format!(
        "UPDATE orders SET expires_at = expires_at + $4, hold_until = hold_until + $4, \
         extended = 1, version = version + 1 WHERE id = $1 AND buyer_id = $2 \
         AND status IN ('created', 'awaiting_payment') AND extended = 0 \
         AND expires_at > $3 AND expires_at <= $3 + $4 RETURNING {COLUMNS}"
    );
    let row = query(AssertSqlSafe(sql))
        .bind(order.to_string())
        .bind(buyer.to_string())
        .bind(now_micros)
        .bind(more_micros)
        .fetch_optional(&mut *conn)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let row = OrderRow::read(&row)?;
    holds::tickets_hold_until(conn, order, row.hold_until).await?;
    let tickets = order_ticket_ids(conn, order).await?;
    let told = row.event(EventType::OrderUpdated, &tickets, now_micros);
    outbox::append(conn, now_micros, &[told]).await?;
    Ok(Some(row))
}

/// What both ends have in common: the lines no longer live, the tickets are free, an
/// authorisation is to be voided, and the world is told.
async fn give_back(
    conn: &mut Conn,
    order: &OrderRow,
    kind: EventType,
    now_micros: i64,
) -> Result<(), sqlx::Error> {
    let ended = match kind {
        EventType::OrderExpired => Ended::Unpaid,
        _ => Ended::Cancelled,
    };
    usage::release(conn, order.id, ended).await?;
    order_lines_end(conn, order.id).await?;
    holds::tickets_release(conn, order.id, now_micros).await?;
    let was_paying = payments::store::payment_void(conn, order.id, now_micros).await?;
    if was_paying && kind == EventType::OrderExpired {
        let kind = mail::Kind::OrderExpired;
        mail::queue_rarely_to(conn, kind, order.id, order.buyer, now_micros).await?;
    }
    let tickets = order_ticket_ids(conn, order.id).await?;
    outbox::append(conn, now_micros, &[order.event(kind, &tickets, now_micros)]).await
}
