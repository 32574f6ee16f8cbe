//! The transitions of orders: each is one conditional UPDATE, and what changes with it.
//!
//! Owns the columns `status`, `expires_at`, `hold_until` and `extended` of `orders` once an order exists;
//! `state.rs` has the table of states and transitions that the UPDATEs are made from. Every function
//! runs in the caller's transaction. Payments and refunds call these functions; what becomes of a card
//! or of money is theirs.
//!
//! An order that the UPDATE does not return has lost a race or does not qualify: the caller reads it
//! again and refuses. Calling a transition a second time changes nothing.
//!
//! Locks, on PostgreSQL: usage rows and tickets before the order. Callers of functions that say so
//! have taken them with [`usage::order_lock`].

use super::{
    state::{State, Transition},
    store::{self, COLUMNS, OrderRow, order_lines_end, order_ticket_ids},
    usage::{self, Ended},
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

/// The conditional UPDATE of a transition: what it needs beside the states, and what else it sets.
struct Update<'a> {
    transition: Transition,
    /// Follows `SET status = …`.
    set: &'a str,
    /// Must be true of an order that is moved.
    guard: &'a str,
    /// What the SQL of `set` and `guard` names as $1, $2 and on.
    values: Statement,
}

/// Voids the payment of an order whose hold ends. Implemented in `payments`, which `orders` does not import.
#[async_trait]
pub trait PaymentVoid: Send + Sync {
    /// Writes down, in the transaction that ends the hold, that the authorisation is to be voided.
    /// Returns whether a payment was under way.
    async fn void(&self, conn: &mut Conn, order: OrderId, now: Moment)
    -> Result<bool, sqlx::Error>;

    /// Has the voids that are written down sent to the provider soon.
    fn send_soon(&self);
}

/// A change that readers of the order can see.
const NEXT_VERSION: &str = ", version = version + 1";

/// While true of a complete order, a refund leaves it complete: some tickets stay the buyer's.
const A_TICKET_IS_NOT_BEING_REFUNDED: &str = "EXISTS (SELECT 1 FROM order_lines l \
     WHERE l.order_id = orders.id AND l.live = 1 AND NOT EXISTS (SELECT 1 FROM refund_lines r \
     WHERE r.order_id = orders.id AND r.ticket_id = l.ticket_id AND r.live = 1))";
const A_TICKET_IS_NOT_REFUNDED: &str =
    "EXISTS (SELECT 1 FROM order_lines l WHERE l.order_id = orders.id AND l.live = 1)";

impl Transition {
    /// The state that follows, as SQL.
    fn next(self) -> String {
        let to = self.edges()[0].1;
        let unless = match self {
            Self::BeginRefund => A_TICKET_IS_NOT_BEING_REFUNDED,
            Self::Refund => A_TICKET_IS_NOT_REFUNDED,
            _ => return format!("'{to}'"),
        };
        format!("CASE WHEN {unless} THEN status ELSE '{to}' END")
    }

    /// The states that it leads from, as SQL.
    fn from(self) -> String {
        let mut from: Vec<&str> = self.edges().iter().map(|(from, _)| from.into()).collect();
        from.sort_unstable();
        from.dedup();
        format!("'{}'", from.join("', '"))
    }
}

impl Update<'_> {
    /// Moves those of these orders that qualify. Returns them as they are then.
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

/// The order waits for its first payment, and its tickets are held for `grace` after the buyer's
/// time. The caller has locked the tickets, and announces the order once it has a payment.
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
    holds::tickets_hold_until(conn, order, row.hold_until).await?;
    Ok(Some(row))
}

/// Counts a change of an order that shows another payment than before. The caller has locked the
/// tickets, and announces the order.
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

/// From here on the hold cannot end until the money is captured or refused. Returns whether the hold
/// stands, by the clock and by the tickets: a process whose clock is wrong may have changed one.
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
    holds::tickets_hold_for_capture(conn, order).await?;
    Ok(true)
}

/// As [`fence`], after the hold has ended, if every ticket is still free and exactly as it was. The
/// caller announces the order.
pub async fn revive(
    conn: &mut Conn,
    order: OrderId,
    authorised: Money,
    now: Moment,
) -> Result<Option<OrderRow>, sqlx::Error> {
    // A ticket that this order's expiry released and that was not changed since is exactly one version
    // further.
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
    holds::tickets_take_back(conn, order, now).await?;
    store::order_lines_revive(conn, order).await?;
    usage::take_back(conn, order).await?;
    Ok(Some(row))
}

/// The tickets are the buyer's, if just the order's total was captured. The caller has locked them, and
/// announces the order. Errors: an unexpected fault if the order does not hold all its tickets.
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
    usage::release(conn, order, Ended::Paid).await?;
    let sold = holds::tickets_sell(conn, order, row.buyer, now).await?;
    if sold != order_ticket_ids(conn, order).await?.len() {
        let what = "paid for tickets that it does not hold";
        return Err(Fault::unexpected(what, order.to_string()));
    }
    Ok(Some(row))
}

/// The money was not captured: the hold has its old end again.
pub async fn unfence(conn: &mut Conn, order: OrderId) -> Result<(), sqlx::Error> {
    let update = Update {
        transition: Transition::Unfence,
        set: "",
        guard: "1 = 1",
        values: Statement::default(),
    };
    if let Some(row) = update.apply_to(conn, order).await? {
        holds::tickets_hold_until(conn, order, row.hold_until).await?;
    }
    Ok(())
}

/// Expires the order if its hold has ended and its money is not being captured. Returns whether this call
/// did it. Timers, the sweep and competing buyers call it; a late timer cannot free another order's tickets.
pub async fn expire(
    conn: &mut Conn,
    order: OrderId,
    payments: &dyn PaymentVoid,
    now: Moment,
) -> Result<bool, sqlx::Error> {
    usage::order_lock(conn, order).await?;
    let update = Update {
        transition: Transition::Expire,
        set: NEXT_VERSION,
        guard: "hold_until <= $1",
        values: Statement::default().with(now),
    };
    let Some(row) = update.apply_to(conn, order).await? else {
        return Ok(false);
    };
    end_hold(conn, &row, Ended::Unpaid, now).await?;
    if payments.void(conn, order, now).await? {
        let kind = mail::Kind::OrderExpired;
        links::queue_rarely_to(conn, kind, order, row.buyer, now).await?;
    }
    announce_as(conn, EventType::OrderExpired, row, now).await?;
    metrics::counter!("stagedoor_orders_expired_total").increment(1);
    Ok(true)
}

/// Cancels the buyer's order if its hold stands, no call to the provider is under way, and its version is
/// the expected one. Returns whether this call did it.
pub async fn cancel(
    conn: &mut Conn,
    order: OrderId,
    buyer: UserId,
    expected_version: Option<i64>,
    payments: &dyn PaymentVoid,
    now: Moment,
) -> Result<bool, sqlx::Error> {
    usage::order_lock(conn, order).await?;
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
    end_hold(conn, &row, Ended::Cancelled, now).await?;
    payments.void(conn, order, now).await?;
    announce_as(conn, EventType::OrderCancelled, row, now).await?;
    Ok(true)
}

/// Gives the buyer `more` time, once, if no more than that is left. The state stays. Returns
/// the order as it is then; `None`: nothing has changed.
pub(crate) async fn extend(
    conn: &mut Conn,
    order: OrderId,
    buyer: UserId,
    more: Duration,
    now: Moment,
) -> Result<Option<OrderRow>, sqlx::Error> {
    holds::order_tickets_lock(conn, order).await?;
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
        .bind(micros(more))
        .fetch_optional(&mut *conn)
        .await?;
    let Some(row) = row else { return Ok(None) };
    holds::tickets_hold_until(conn, order, row.hold_until).await?;
    announce(conn, row.clone(), now).await?;
    Ok(Some(row))
}

/// Refunds of this order's tickets have begun; it is `refunding` once none is left that is not being
/// refunded. The caller has locked the tickets. Errors: an unexpected fault if the order is not complete.
pub async fn begin_refund(conn: &mut Conn, order: OrderId, now: Moment) -> FaultResult<()> {
    of_paid(conn, Transition::BeginRefund, order, now).await
}

/// Money of this order is back; it is `refunded` once none of its tickets is left. The caller has taken
/// the tickets back. Errors: an unexpected fault if the order is not paid.
pub async fn refund(conn: &mut Conn, order: OrderId, now: Moment) -> FaultResult<()> {
    of_paid(conn, Transition::Refund, order, now).await
}

/// A refund of this order failed, or its money came in again. Errors: an unexpected fault if the order
/// was never paid.
pub async fn restore(conn: &mut Conn, order: OrderId, now: Moment) -> FaultResult<()> {
    of_paid(conn, Transition::Restore, order, now).await
}

async fn of_paid(
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
        let what = "a refund of an order that is not paid";
        return Err(Fault::unexpected(what, order.to_string()));
    };
    Ok(announce(conn, row, now).await?)
}

/// Frees what an order held, and has its authorisation voided. Returns whether a payment was under way.
async fn end_hold(
    conn: &mut Conn,
    order: &OrderRow,
    ended: Ended,
    now: Moment,
) -> Result<(), sqlx::Error> {
    usage::release(conn, order.id, ended).await?;
    order_lines_end(conn, order.id).await?;
    holds::tickets_release(conn, order.id, now).await?;
    Ok(())
}

/// Writes the domain event of an order that has changed.
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
    let tickets = order_ticket_ids(conn, order.id).await?;
    outbox::append(conn, now, &[order.event(kind, &tickets, now)]).await
}
