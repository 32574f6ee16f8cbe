//! Hold usage: the number of unpaid tickets and orders per event that one buyer, and one network address,
//! holds.
//!
//! Owns the table `hold_usage` and the columns `counted_tickets` and `network` of `orders`. An order is
//! counted from the transaction that inserts it until the one in which it is paid or ends. Reserving
//! adds to the rows by one conditional upsert; if it affects fewer rows than it names, a limit is
//! reached and the transaction is rolled back.
//!
//! Lock order on PostgreSQL: usage rows (a buyer's before a network's), then tickets by id, then the
//! order. [`lock_usage_and_tickets`] follows it.

use super::state::State;
use crate::tickets::holds;
use model::{
    Moment,
    error::{AppError, Conflict},
    ids::{EventId, OrderId, UserId},
};
use platform::{
    db::{Conn, Db, engine_of},
    fault::{Fault, FaultResult},
};
use sqlx::{AssertSqlSafe, query, query_as, query_scalar};
use sqlx_macros::FromRow;
use std::time::Duration;
use strum::{Display, EnumString};

/// Open orders that one buyer may have for one event.
const ORDERS_PER_BUYER: i64 = 3;
/// Unpaid expiries in a row after which the buyer can reserve again at once; more impose a wait.
const LAPSES_FREE: i64 = 1;
/// The longest wait, as a multiple of the hold.
const WAIT_HOLDS_MAX: u32 = 4;
/// The most orders that one call of [`release_ended`] releases.
const RELEASE_BATCH: i64 = 500;
/// The most open orders that are read to find lapsed ones.
const LAPSED_MAX: i64 = 64;

/// Maximum numbers of unpaid tickets of one event held at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldLimits {
    pub tickets_per_buyer: i64,
    /// Per IPv4 address or IPv6 /64. `None`: unlimited, and addresses are not stored.
    pub tickets_per_network: Option<i64>,
}

impl Default for HoldLimits {
    fn default() -> Self {
        Self {
            tickets_per_buyer: 8,
            tickets_per_network: Some(64),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString)]
#[strum(serialize_all = "snake_case")]
enum Holder {
    Buyer,
    Network,
}

model::text_columns!(Holder);

/// The usage that a reservation adds.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub event: EventId,
    pub buyer: UserId,
    pub network: Option<String>,
    pub tickets: i64,
    /// `None`: the claim is counted but not limited.
    pub limits: Option<HoldLimits>,
    pub now: Moment,
}

/// Why a claim was refused.
pub(super) enum Denial {
    /// Lapsed orders of the same buyer or network still count; expire them, then retry.
    Lapsed(Vec<OrderId>),
    Fault(Fault),
}

impl From<Fault> for Denial {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<sqlx::Error> for Denial {
    fn from(error: sqlx::Error) -> Self {
        Self::Fault(error.into())
    }
}

/// Adds the claim to the rows of its buyer and its network. On any error the caller must roll back the
/// transaction, because one of the rows may have been written.
pub(super) async fn acquire(conn: &mut Conn, claim: &Claim) -> Result<(), Denial> {
    let limits = claim.limits.unwrap_or(HoldLimits {
        tickets_per_buyer: i64::MAX,
        tickets_per_network: None,
    });
    let network_row = if claim.network.is_some() {
        ", ($1, 'network', $8, $3, 1)"
    } else {
        ""
    };
    let sql = format!(
        "INSERT INTO hold_usage (event_id, kind, holder, tickets, orders) \
         VALUES ($1, 'buyer', $2, $3, 1){network_row} \
         ON CONFLICT (event_id, kind, holder) DO UPDATE SET \
         tickets = hold_usage.tickets + excluded.tickets, orders = hold_usage.orders + 1 \
         WHERE (excluded.kind = 'buyer' AND hold_usage.tickets + excluded.tickets <= $4 \
           AND hold_usage.orders < $5 AND hold_usage.wait_until <= $6) \
         OR (excluded.kind = 'network' AND hold_usage.tickets + excluded.tickets <= $7) \
         RETURNING kind"
    );
    let enforced = claim.limits.is_some();
    let mut upsert = query_scalar::<_, Holder>(AssertSqlSafe(sql))
        .bind(claim.event)
        .bind(claim.buyer)
        .bind(claim.tickets)
        .bind(limits.tickets_per_buyer)
        .bind(if enforced { ORDERS_PER_BUYER } else { i64::MAX })
        .bind(if enforced { claim.now } else { Moment::MAX })
        .bind(limits.tickets_per_network.unwrap_or(i64::MAX));
    if let Some(network) = &claim.network {
        upsert = upsert.bind(network.clone());
    }
    let granted = upsert.fetch_all(&mut *conn).await?;
    if !granted.contains(&Holder::Buyer) {
        return Err(deny_buyer(conn, claim).await);
    }
    if claim.network.is_some() && !granted.contains(&Holder::Network) {
        return Err(deny_network(conn, claim).await);
    }
    Ok(())
}

async fn deny_buyer(conn: &mut Conn, claim: &Claim) -> Denial {
    let open = open_orders(conn, claim, "buyer_id", claim.buyer.to_string()).await;
    let open = match open {
        Ok(open) => open,
        Err(error) => return error.into(),
    };
    if !open.lapsed.is_empty() {
        return Denial::Lapsed(open.lapsed);
    }
    let wait_until = query_scalar::<_, Moment>(
        "SELECT wait_until FROM hold_usage \
         WHERE event_id = $1 AND kind = 'buyer' AND holder = $2",
    )
    .bind(claim.event)
    .bind(claim.buyer)
    .fetch_one(conn)
    .await;
    match wait_until {
        Ok(until) if until > claim.now => refuse(Conflict::HoldPause, until, claim.now),
        Ok(_) => refuse(Conflict::HoldLimit, open.first_ends, claim.now),
        Err(error) => error.into(),
    }
}

async fn deny_network(conn: &mut Conn, claim: &Claim) -> Denial {
    let network = claim.network.clone().unwrap_or_default();
    match open_orders(conn, claim, "network", network).await {
        Ok(open) if !open.lapsed.is_empty() => Denial::Lapsed(open.lapsed),
        Ok(open) => refuse(Conflict::NetworkHoldLimit, open.first_ends, claim.now),
        Err(error) => error.into(),
    }
}

fn refuse(conflict: Conflict, until: Moment, now: Moment) -> Denial {
    let refused = AppError::Conflict {
        conflict,
        // During a capture the end of the order is not known, but seconds away.
        retry_after_seconds: Some(until.seconds_left(now).max(1)),
    };
    Denial::Fault(refused.into())
}

struct OpenOrders {
    lapsed: Vec<OrderId>,
    /// The earliest end of the other holds; [`Moment::EPOCH`] if there are none.
    first_ends: Moment,
}

/// The counted orders for the claim's event where `column` equals `holder`.
async fn open_orders(
    conn: &mut Conn,
    claim: &Claim,
    column: &str,
    holder: String,
) -> Result<OpenOrders, sqlx::Error> {
    let sql = format!(
        "SELECT id, status, hold_until FROM orders WHERE event_id = $1 AND {column} = $2 \
         AND counted_tickets > 0 ORDER BY hold_until, id LIMIT $3"
    );
    let rows: Vec<(OrderId, State, Moment)> = query_as(AssertSqlSafe(sql))
        .bind(claim.event)
        .bind(holder)
        .bind(LAPSED_MAX)
        .fetch_all(conn)
        .await?;
    let mut open = OpenOrders {
        lapsed: Vec::new(),
        first_ends: Moment::EPOCH,
    };
    for (order, state, hold_until) in rows {
        let expires = state != State::Capturing;
        if expires && hold_until <= claim.now {
            open.lapsed.push(order);
        } else if expires && open.first_ends == Moment::EPOCH {
            open.first_ends = hold_until;
        }
    }
    Ok(open)
}

/// Locks the usage rows and tickets of an order, in the lock order of all transactions. Call it before a
/// transition of the order.
pub async fn lock_usage_and_tickets(conn: &mut Conn, order: OrderId) -> Result<(), sqlx::Error> {
    let lock = engine_of(conn).for_update();
    if lock.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "SELECT u.kind FROM orders o JOIN hold_usage u ON u.event_id = o.event_id \
         AND ((u.kind = 'buyer' AND u.holder = o.buyer_id) \
           OR (u.kind = 'network' AND u.holder = o.network)) \
         WHERE o.id = $1 ORDER BY u.kind{lock} OF u"
    );
    query(AssertSqlSafe(sql))
        .bind(order)
        .fetch_all(&mut *conn)
        .await?;
    holds::lock_by_order(conn, order).await
}

/// How an order stopped being counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Paid,
    Cancelled,
    /// Expired unpaid. From the second in a row, the buyer has to wait before the next hold.
    Unpaid,
}

/// Subtracts an order that has ended or is paid from its usage rows. A second call changes nothing. The
/// caller has called [`lock_usage_and_tickets`].
pub async fn release(conn: &mut Conn, order: OrderId, outcome: Outcome) -> Result<(), sqlx::Error> {
    let lapses = match outcome {
        Outcome::Paid => "0",
        Outcome::Cancelled => "hold_usage.lapses",
        Outcome::Unpaid => "hold_usage.lapses + 1",
    };
    let sql = format!(
        "UPDATE hold_usage SET orders = hold_usage.orders - 1, \
         tickets = hold_usage.tickets - (SELECT o.counted_tickets FROM orders o WHERE o.id = $1), \
         lapses = CASE kind WHEN 'buyer' THEN {lapses} ELSE 0 END \
         WHERE event_id = (SELECT o.event_id FROM orders o WHERE o.id = $1) AND EXISTS \
         (SELECT 1 FROM orders o WHERE o.id = $1 AND o.counted_tickets > 0 \
           AND ((hold_usage.kind = 'buyer' AND hold_usage.holder = o.buyer_id) \
             OR (hold_usage.kind = 'network' AND hold_usage.holder = o.network))) \
         RETURNING lapses"
    );
    let released: Vec<i64> = query_scalar(AssertSqlSafe(sql))
        .bind(order)
        .fetch_all(&mut *conn)
        .await?;
    if outcome == Outcome::Unpaid {
        for lapses in released {
            if lapses > LAPSES_FREE {
                begin_wait(conn, order, lapses).await?;
            }
        }
    }
    query(
        "UPDATE orders SET counted_tickets = 0, network = NULL \
         WHERE id = $1 AND counted_tickets > 0",
    )
    .bind(order)
    .execute(conn)
    .await?;
    Ok(())
}

/// The wait after `lapses` unpaid expiries in a row: a third of the hold after the second, doubled with
/// each further one.
fn wait_after(lapses: i64, hold: Duration) -> Duration {
    let doublings = u32::try_from((lapses - LAPSES_FREE - 1).clamp(0, 16)).unwrap_or(0);
    (hold / 3)
        .saturating_mul(1 << doublings)
        .min(hold.saturating_mul(WAIT_HOLDS_MAX))
}

#[derive(FromRow)]
struct Lapsed {
    event_id: EventId,
    buyer_id: UserId,
    hold_until: Moment,
    expires_at: Moment,
    created_at: Moment,
}

/// Sets until when the order's buyer cannot reserve for this event again, counted from the end of the hold.
async fn begin_wait(conn: &mut Conn, order: OrderId, lapses: i64) -> Result<(), sqlx::Error> {
    let lapsed: Lapsed = query_as(
        "SELECT event_id, buyer_id, hold_until, expires_at, created_at FROM orders WHERE id = $1",
    )
    .bind(order)
    .fetch_one(&mut *conn)
    .await?;
    let hold = lapsed.expires_at.since(lapsed.created_at);
    query(
        "UPDATE hold_usage SET wait_until = $3 \
         WHERE event_id = $1 AND kind = 'buyer' AND holder = $2 AND wait_until < $3",
    )
    .bind(lapsed.event_id)
    .bind(lapsed.buyer_id)
    .bind(lapsed.hold_until + wait_after(lapses, hold))
    .execute(conn)
    .await?;
    Ok(())
}

/// Counts a revived order again, regardless of the limits.
pub(crate) async fn reacquire(conn: &mut Conn, order: OrderId) -> Result<(), sqlx::Error> {
    let counted = query(
        "UPDATE orders SET counted_tickets = \
         (SELECT COUNT(*) FROM order_lines l WHERE l.order_id = orders.id) \
         WHERE id = $1 AND counted_tickets = 0",
    )
    .bind(order)
    .execute(&mut *conn)
    .await?;
    if counted.rows_affected() == 1 {
        query(
            "INSERT INTO hold_usage (event_id, kind, holder, tickets, orders) \
             SELECT o.event_id, 'buyer', o.buyer_id, o.counted_tickets, 1 FROM orders o WHERE o.id = $1 \
             ON CONFLICT (event_id, kind, holder) DO UPDATE SET \
             tickets = hold_usage.tickets + excluded.tickets, orders = hold_usage.orders + 1",
        )
        .bind(order)
        .execute(conn)
        .await?;
    }
    Ok(())
}

/// Releases ended orders that are still counted (left by a process of an earlier version), and deletes the
/// rows of networks that hold nothing. Returns the number of orders released.
pub(crate) async fn release_ended(db: &Db) -> FaultResult<usize> {
    let ended: Vec<OrderId> = query_scalar(
        "SELECT id FROM orders WHERE counted_tickets > 0 \
         AND status NOT IN ('created', 'awaiting_payment', 'capturing') LIMIT $1",
    )
    .bind(RELEASE_BATCH)
    .fetch_all(db.reads())
    .await?;
    for order in ended.iter().copied() {
        db.write(move |conn| {
            Box::pin(async move {
                lock_usage_and_tickets(conn, order).await?;
                release(conn, order, Outcome::Cancelled).await
            })
        })
        .await?;
    }
    let deleted: Result<(), sqlx::Error> = db
        .write(move |conn| {
            Box::pin(async move {
                query("DELETE FROM hold_usage WHERE kind = 'network' AND orders <= 0 AND tickets <= 0")
                    .execute(conn)
                    .await
                    .map(|_| ())
            })
        })
        .await;
    deleted?;
    Ok(ended.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_and_ends_at_four_holds() {
        const HOLD: Duration = Duration::from_mins(15);
        let wait = |lapses| wait_after(lapses, HOLD).as_secs();
        let waits: Vec<u64> = (2..9).map(wait).collect();
        assert_eq!(waits, [300, 600, 1200, 2400, 3600, 3600, 3600]);
        assert_eq!(wait(i64::MAX), 3600);
    }
}
