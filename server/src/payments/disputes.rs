//! Disputes: a cardholder has asked their bank for the money back.
//!
//! Owns the table `disputes` and the flag `tickets.frozen`. [`apply`] takes whatever Stripe says of a
//! dispute, in any order and any number of times. A person is told when one is opened and when one is
//! lost; what becomes of its money is decided at Stripe, and is not booked here.

use super::{
    gateway::{Disputed, Standing},
    store::PaymentRow,
};
use crate::{
    db::Conn,
    fault::FaultResult,
    incidents::{self, Kind},
};
use app::ids::OrderId;
use sqlx::{AnyExecutor, Row, query};

/// Brings our side up to what Stripe says of a dispute of this payment. The caller has locked the
/// order's tickets.
pub async fn apply(
    conn: &mut Conn,
    payment: &PaymentRow,
    said: &Disputed,
    now: i64,
) -> FaultResult<()> {
    let before = dispute_state(&mut *conn, &said.id).await?;
    let state: &'static str = said.standing.into();
    if before.as_deref() == Some(state) {
        return Ok(());
    }
    let settled_at = (said.standing != Standing::Open).then_some(now);
    query(
        "INSERT INTO disputes (id, payment_id, order_id, state, amount_minor, currency, reason, \
         found_at, settled_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (id) DO UPDATE SET state = $4, settled_at = $9",
    )
    .bind(said.id.clone())
    .bind(payment.id.to_string())
    .bind(payment.order.to_string())
    .bind(state)
    .bind(said.amount_minor)
    .bind(payment.currency.code())
    .bind(said.reason.clone())
    .bind(now)
    .bind(settled_at)
    .execute(&mut *conn)
    .await?;
    freeze_or_thaw(conn, payment.order).await?;
    let kind = match said.standing {
        Standing::Open => Kind::DisputeOpened,
        Standing::Lost => Kind::DisputeLost,
        Standing::Won => return Ok(()),
    };
    let detail = format!(
        "{} of {} {} ({}): the tickets are frozen. Answer it at Stripe.",
        said.id, said.amount_minor, payment.currency, said.reason
    );
    incidents::open(conn, kind, &said.id, Some(payment.order), &detail, now).await?;
    Ok(())
}

/// Freezes what of an order's tickets is sold, if a dispute of it is open or lost; otherwise they are
/// free again.
pub async fn freeze_or_thaw(conn: &mut Conn, order: OrderId) -> Result<(), sqlx::Error> {
    query(
        "UPDATE tickets SET frozen = (SELECT CASE WHEN COUNT(*) > 0 THEN 1 ELSE 0 END FROM disputes d \
         WHERE d.order_id = $1 AND d.state IN ('open', 'lost')) \
         WHERE state = 'sold' AND id IN (SELECT l.ticket_id FROM order_lines l \
         WHERE l.order_id = $1 AND l.live = 1)",
    )
    .bind(order.to_string())
    .execute(conn)
    .await?;
    Ok(())
}

/// How a dispute stands here; none if we have not heard of it.
pub async fn dispute_state<'e>(
    on: impl AnyExecutor<'e>,
    dispute: &str,
) -> Result<Option<String>, sqlx::Error> {
    let row = query("SELECT state FROM disputes WHERE id = $1")
        .bind(dispute.to_owned())
        .fetch_optional(on)
        .await?;
    row.map(|row| row.try_get("state")).transpose()
}
