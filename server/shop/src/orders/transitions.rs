//! The transitions of orders. Each is one conditional UPDATE plus the changes that depend on it.
//!
//! Owns the columns `status`, `expires_at`, `hold_until` and `extended` of `orders` once an order exists;
//! the UPDATEs are built from the table of states and transitions in `state.rs`. Every function runs in
//! the caller's transaction. Payments and refunds call these functions; charging and refunding cards is
//! not done here.
//!
//! If the UPDATE returns no row, the order lost a race or does not qualify: the caller reads it again to
//! explain the refusal. Repeating a transition changes nothing.
//!
//! Lock order on PostgreSQL: usage rows, then tickets, then the order. Where a function says that the
//! caller holds the locks, use [`usage::lock_usage_and_tickets`].

use super::{
    state::{State, Transition},
    store::{self, COLUMNS, OrderRow},
    usage::{self, Outcome},
};
use crate::{accounts::links, events::span::on_sale, mail, tickets::holds};
use async_trait::async_trait;
use model::{
    Moment,
    ids::{OrderId, UserId},
    micros,
    money::{MinorUnits, Money},
};
use platform::{
    db::{Conn, Statement},
    fault::{Fault, FaultResult},
    outbox::{self, EventType},
};
use sqlx::{AssertSqlSafe, query_as};
use std::time::Duration;

/// The conditional UPDATE of a transition.
struct Update<'a> {
    transition: Transition,
    /// Follows `SET status = …`.
    set: &'a str,
    /// SQL condition on the order, besides its state.
    guard: &'a str,
    /// Values of the parameters $1, $2, … in `set` and `guard`.
    values: Statement,
}

/// Voids the payment of an order whose hold ends. Implemented in `payments`, which `orders` does not import.
#[async_trait]
pub trait PaymentVoid: Send + Sync {
    /// Records, in the transaction that ends the hold, that the authorisation is to be voided. Returns
    /// whether a payment was in progress.
    async fn void(&self, conn: &mut Conn, order: OrderId, now: Moment)
    -> Result<bool, sqlx::Error>;

    /// Wakes the task that sends recorded voids to the provider.
    fn send_soon(&self);
}

/// Part of every UPDATE whose effect readers of the order can see.
const NEXT_VERSION: &str = ", version = version + 1";

/// While one of these holds for an order, a refund leaves its state unchanged.
const A_TICKET_IS_NOT_BEING_REFUNDED: &str = "EXISTS (SELECT 1 FROM order_lines l \
     WHERE l.order_id = orders.id AND l.live = 1 AND NOT EXISTS (SELECT 1 FROM refund_lines r \
     WHERE r.order_id = orders.id AND r.ticket_id = l.ticket_id AND r.live = 1))";
const A_TICKET_IS_NOT_REFUNDED: &str =
    "EXISTS (SELECT 1 FROM order_lines l WHERE l.order_id = orders.id AND l.live = 1)";

impl Transition {
    /// SQL expression of the next state.
    fn next(self) -> String {
        let to = self.edges()[0].1;
        let unless = match self {
            Self::BeginRefund => A_TICKET_IS_NOT_BEING_REFUNDED,
            Self::Refund => A_TICKET_IS_NOT_REFUNDED,
            _ => return format!("'{to}'"),
        };
        format!("CASE WHEN {unless} THEN status ELSE '{to}' END")
    }

    /// SQL list of the states that the transition leads from.
    fn from(self) -> String {
        let mut from: Vec<&str> = self.edges().iter().map(|(from, _)| from.into()).collect();
        from.sort_unstable();
        from.dedup();
        format!("'{}'", from.join("', '"))
    }
}

impl Update<'_> {
    /// Updates those of the orders that qualify, and returns them.
    async fn apply(
        self,
        conn: &mut Conn,
        orders: &[OrderId],
    ) -> Result<Vec<OrderRow>, sqlx::Error> {
        let Self {
            transition,
            set,
            guard,
            values: mut update,
        } = self;
        if orders.is_empty() {
            return Ok(Vec::new());
        }
        let (next, from) = (transition.next(), transition.from());
        update
            .push(format_args!(
                "UPDATE orders SET status = {next}{set} WHERE id IN ("
            ))
            .bind_list(orders)
            .push(format_args!(
                ") AND status IN ({from}) AND {guard} RETURNING {COLUMNS}"
            ));
        update.query_as()?.fetch_all(conn).await
    }

    async fn apply_to(
        self,
        conn: &mut Conn,
        order: OrderId,
    ) -> Result<Option<OrderRow>, sqlx::Error> {
        Ok(self.apply(conn, &[order]).await?.pop())
    }
}

/// Begins the first payment of an order: extends the hold by `grace` after `expires_at`. The caller has
/// locked the tickets, and announces the order once it has a payment.
pub async fn begin_payment(
    conn: &mut Conn,
    order: OrderId,
    grace: Duration,
    now: Moment,
) -> Result<Option<OrderRow>, sqlx::Error> {
    let update = Update {
        transition: Transition::BeginPayment,
        set: ", hold_until = expires_at + $2, version = version + 1",
        guard: "expires_at > $1",
        values: Statement::default().with(now).with(micros(grace)),
    };
    let Some(row) = update.apply_to(conn, order).await? else {
        return Ok(None);
    };
    holds::set_hold_end(conn, order, row.hold_until).await?;
    Ok(Some(row))
}

/// Increments the order's version because its newest payment has changed. The caller has locked the tickets,
/// and announces the order.
pub(crate) async fn replace_payment(
    conn: &mut Conn,
    order: OrderId,
) -> Result<OrderRow, sqlx::Error> {
    let sql = format!("UPDATE orders SET version = version + 1 WHERE id = $1 RETURNING {COLUMNS}");
    query_as(AssertSqlSafe(sql))
        .bind(order)
        .fetch_one(conn)
        .await
}

/// Prevents the hold from ending until the money is captured or refused. Returns false if the hold has
/// ended, or if a ticket is no longer held unchanged (a process with a wrong clock may have released it).
pub async fn fence(
    conn: &mut Conn,
    order: OrderId,
    authorised: Money,
    now: Moment,
) -> Result<bool, sqlx::Error> {
    let update = Update {
        transition: Transition::Fence,
        set: "",
        guard: "hold_until > $1 AND total_minor = $2 AND currency = $3 \
             AND NOT EXISTS (SELECT 1 FROM order_lines l JOIN tickets t ON t.id = l.ticket_id \
               WHERE l.order_id = orders.id AND NOT (t.state = 'listed' AND t.held_by = orders.id \
                 AND t.version = l.ticket_version))",
        values: Statement::default()
            .with(now)
            .with(authorised.minor)
            .with(authorised.currency),
    };
    if update.apply_to(conn, order).await?.is_none() {
        return Ok(false);
    }
    holds::hold_for_capture(conn, order).await?;
    Ok(true)
}

/// Fences an order whose hold has ended, if every ticket is still free and unchanged. The caller announces
/// the order.
pub async fn revive(
    conn: &mut Conn,
    order: OrderId,
    authorised: Money,
    now: Moment,
) -> Result<Option<OrderRow>, sqlx::Error> {
    // The order's expiry incremented the version of each ticket by one; a greater difference means that
    // the ticket has changed since.
    let guard = format!(
        "(status = '{}' OR hold_until <= $1) AND total_minor = $2 AND currency = $3 \
         AND EXISTS (SELECT 1 FROM events e WHERE e.id = orders.event_id AND {}) \
         AND NOT EXISTS (SELECT 1 FROM order_lines l JOIN tickets t ON t.id = l.ticket_id \
           WHERE l.order_id = orders.id AND NOT (t.state = 'listed' AND \
             ((t.held_by = orders.id AND t.version = l.ticket_version) OR \
              (t.held_by IS NULL AND t.version = l.ticket_version + 1))))",
        State::Expired,
        on_sale!("e", "$1"),
    );
    let update = Update {
        transition: Transition::Revive,
        set: NEXT_VERSION,
        guard: &guard,
        values: Statement::default()
            .with(now)
            .with(authorised.minor)
            .with(authorised.currency),
    };
    let Some(row) = update.apply_to(conn, order).await? else {
        return Ok(None);
    };
    holds::revive(conn, order, now).await?;
    store::revive_lines(conn, order).await?;
    usage::reacquire(conn, order).await?;
    Ok(Some(row))
}

/// Transfers the tickets to the buyer if exactly the order's total was captured. The caller has locked the
/// tickets, and announces the order. Errors: an unexpected fault if the order does not hold all its tickets.
pub async fn complete(
    conn: &mut Conn,
    order: OrderId,
    captured_minor: MinorUnits,
    now: Moment,
) -> FaultResult<Option<OrderRow>> {
    let update = Update {
        transition: Transition::Complete,
        set: NEXT_VERSION,
        guard: "total_minor = $1",
        values: Statement::default().with(captured_minor),
    };
    let Some(row) = update.apply_to(conn, order).await? else {
        return Ok(None);
    };
    usage::release(conn, order, Outcome::Paid).await?;
    let sold = holds::sell(conn, order, row.buyer, now).await?;
    if sold != store::list_ticket_ids(conn, order).await?.len() {
        let what = "order paid for tickets that it does not hold";
        return Err(Fault::unexpected(what, order.to_string()));
    }
    Ok(Some(row))
}

/// Ends the fence after a capture that failed: the hold ends at `hold_until` again.
pub async fn unfence(conn: &mut Conn, order: OrderId) -> Result<(), sqlx::Error> {
    let update = Update {
        transition: Transition::Unfence,
        set: "",
        guard: "1 = 1",
        values: Statement::default(),
    };
    if let Some(row) = update.apply_to(conn, order).await? {
        holds::set_hold_end(conn, order, row.hold_until).await?;
    }
    Ok(())
}

/// Expires the order if its hold has ended and no capture is in progress. Returns whether this call expired
/// it. Called by jobs, the sweep and competing reservations; a late call cannot free another order's tickets.
pub async fn expire(
    conn: &mut Conn,
    order: OrderId,
    payments: &dyn PaymentVoid,
    now: Moment,
) -> Result<bool, sqlx::Error> {
    usage::lock_usage_and_tickets(conn, order).await?;
    let update = Update {
        transition: Transition::Expire,
        set: NEXT_VERSION,
        guard: "hold_until <= $1",
        values: Statement::default().with(now),
    };
    let Some(row) = update.apply_to(conn, order).await? else {
        return Ok(false);
    };
    end_hold(conn, &row, Outcome::Unpaid, now).await?;
    if payments.void(conn, order, now).await? {
        let kind = mail::Kind::OrderExpired;
        links::queue_or_skip_to(conn, kind, order, row.buyer, now).await?;
    }
    announce_as(conn, EventType::OrderExpired, row, now).await?;
    metrics::counter!("stagedoor_orders_expired_total").increment(1);
    Ok(true)
}

/// Cancels the buyer's order if its hold has not ended, no payment is being created at the provider, and its
/// version is the expected one. Returns whether this call cancelled it.
pub async fn cancel(
    conn: &mut Conn,
    order: OrderId,
    buyer: UserId,
    expected_version: Option<i64>,
    payments: &dyn PaymentVoid,
    now: Moment,
) -> Result<bool, sqlx::Error> {
    usage::lock_usage_and_tickets(conn, order).await?;
    let update = Update {
        transition: Transition::Cancel,
        set: NEXT_VERSION,
        guard: "hold_until > $1 AND buyer_id = $2 AND ($3 IS NULL OR version = $3) \
             AND NOT EXISTS (SELECT 1 FROM payments p \
               WHERE p.order_id = orders.id AND p.state = 'intended')",
        values: Statement::default()
            .with(now)
            .with(buyer)
            .with(expected_version),
    };
    let Some(row) = update.apply_to(conn, order).await? else {
        return Ok(false);
    };
    end_hold(conn, &row, Outcome::Cancelled, now).await?;
    payments.void(conn, order, now).await?;
    announce_as(conn, EventType::OrderCancelled, row, now).await?;
    Ok(true)
}

/// Extends the hold by `extension`, once per order, if no more than that is left. The state does not change.
/// Returns the changed order; `None` if it was not extended.
pub(crate) async fn extend_hold(
    conn: &mut Conn,
    order: OrderId,
    buyer: UserId,
    extension: Duration,
    now: Moment,
) -> Result<Option<OrderRow>, sqlx::Error> {
    holds::lock_by_order(conn, order).await?;
    let sql = format!(
        "UPDATE orders SET expires_at = expires_at + $4, hold_until = hold_until + $4, \
         extended = 1, version = version + 1 WHERE id = $1 AND buyer_id = $2 \
         AND status IN ('created', 'awaiting_payment') AND extended = 0 \
         AND expires_at > $3 AND expires_at <= $3 + $4 RETURNING {COLUMNS}"
    );
    let row: Option<OrderRow> = query_as(AssertSqlSafe(sql))
        .bind(order)
        .bind(buyer)
        .bind(now)
        .bind(micros(extension))
        .fetch_optional(&mut *conn)
        .await?;
    let Some(row) = row else { return Ok(None) };
    holds::set_hold_end(conn, order, row.hold_until).await?;
    announce(conn, row.clone(), now).await?;
    Ok(Some(row))
}

/// Records that refunds of this order's tickets have begun; the order becomes `refunding` once all its
/// tickets are being refunded. The caller has locked the tickets. Errors: an unexpected fault if the order
/// is not complete.
pub async fn begin_refund(conn: &mut Conn, order: OrderId, now: Moment) -> FaultResult<()> {
    update_paid(conn, Transition::BeginRefund, order, now).await
}

/// Records a refund that has succeeded; the order becomes `refunded` once none of its tickets is left. The
/// caller has taken back the tickets. Errors: an unexpected fault if the order is not paid.
pub async fn refund(conn: &mut Conn, order: OrderId, now: Moment) -> FaultResult<()> {
    update_paid(conn, Transition::Refund, order, now).await
}

/// Records a refund that failed, or was reversed after it had succeeded. Errors: an unexpected fault if the
/// order was never paid.
pub async fn restore(conn: &mut Conn, order: OrderId, now: Moment) -> FaultResult<()> {
    update_paid(conn, Transition::Restore, order, now).await
}

async fn update_paid(
    conn: &mut Conn,
    transition: Transition,
    order: OrderId,
    now: Moment,
) -> FaultResult<()> {
    let update = Update {
        transition,
        set: NEXT_VERSION,
        guard: "1 = 1",
        values: Statement::default(),
    };
    let Some(row) = update.apply_to(conn, order).await? else {
        let what = "refund of an order that is not paid";
        return Err(Fault::unexpected(what, order.to_string()));
    };
    Ok(announce(conn, row, now).await?)
}

/// Releases the order's tickets and hold usage.
async fn end_hold(
    conn: &mut Conn,
    order: &OrderRow,
    outcome: Outcome,
    now: Moment,
) -> Result<(), sqlx::Error> {
    usage::release(conn, order.id, outcome).await?;
    store::end_lines(conn, order.id).await?;
    holds::release(conn, order.id, now).await?;
    Ok(())
}

/// Appends the domain event of a changed order to the outbox.
pub(crate) async fn announce(
    conn: &mut Conn,
    order: OrderRow,
    now: Moment,
) -> Result<(), sqlx::Error> {
    announce_as(conn, EventType::OrderUpdated, order, now).await
}

async fn announce_as(
    conn: &mut Conn,
    kind: EventType,
    order: OrderRow,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let tickets = store::list_ticket_ids(conn, order.id).await?;
    outbox::append(conn, now, &[order.event(kind, &tickets, now)]).await
}
