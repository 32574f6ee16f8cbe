//! The hold that an order has on tickets: take, move, release, and turn into a sale.
//!
//! All functions run in the caller's transaction. Each write is one conditional UPDATE whose row
//! count decides, and appends a `TicketUpdated` event unless its comment says otherwise. Rows are
//! locked in the order of their ids, here and everywhere, so that concurrent orders cannot deadlock.

use super::{COLUMNS, HELD_FOR_CAPTURE, TicketRow, batches::PUBLISHED};
use crate::{events::span::on_sale, incidents};
use model::{
    Moment,
    ids::{EventId, OrderId, RefundId, TicketId, UserId},
    money::MinorUnits,
    orders::OfferOf,
};
use platform::{
    db::{Conn, Statement, engine_of},
    outbox::{self, DomainEvent, EventType},
};
use sqlx::{Any, AssertSqlSafe, any::AnyArguments, query, query::QueryAs, query_as, query_scalar};

/// Reads and locks these tickets, in the order of their ids. Tickets that do not exist are missing
/// from the result.
pub(crate) async fn lock(conn: &mut Conn, ids: &[TicketId]) -> Result<Vec<TicketRow>, sqlx::Error> {
    let mut select = Statement::new(format!("SELECT {COLUMNS} FROM tickets WHERE id IN ("));
    select
        .bind_list(ids)
        .push(") ORDER BY id")
        .push(engine_of(conn).for_update());
    select.query_as()?.fetch_all(conn).await
}

/// The event of the first of these tickets, without a lock: a ticket's event never changes.
pub(crate) async fn find_event(
    conn: &mut Conn,
    ids: &[TicketId],
) -> Result<Option<EventId>, sqlx::Error> {
    let Some(first) = ids.first() else {
        return Ok(None);
    };
    query_scalar("SELECT event_id FROM tickets WHERE id = $1")
        .bind(first)
        .fetch_optional(conn)
        .await
}

/// Locks the tickets of an order. Must come before any other lock on the order: reservations also
/// lock tickets first, so that the two cannot deadlock.
pub(crate) async fn lock_by_order(conn: &mut Conn, order: OrderId) -> Result<(), sqlx::Error> {
    let lock = engine_of(conn).for_update();
    if lock.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "SELECT id FROM tickets WHERE id IN (SELECT ticket_id FROM order_lines WHERE order_id = $1) \
         ORDER BY id{lock}"
    );
    query(AssertSqlSafe(sql))
        .bind(order)
        .fetch_all(conn)
        .await?;
    Ok(())
}

type AnyQueryAs<'q, T> = QueryAs<'q, Any, T, AnyArguments>;

/// Which tickets a buyer accepts, and how many.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub event: EventId,
    /// Tickets that this user sells are excluded.
    pub buyer: UserId,
    pub section: Option<String>,
    pub max_price_minor: Option<MinorUnits>,
    /// Only unnumbered tickets of this seller with exactly this section and price.
    pub offer: Option<OfferOf>,
    pub quantity: i64,
}

/// The condition for the rows that a [`Wanted`] matches; [`Wanted::bind`] binds its parameters.
const WANTED: &str = "event_id = $1 AND held_until = 0 AND state = 'listed' \
     AND seller_id <> $2 AND ($3 IS NULL OR section = $3) AND price_minor <= $4 \
     AND ($5 IS NULL OR (seller_id = $5 AND price_minor = $6 AND row_label IS NULL \
     AND seat IS NULL AND COALESCE(section, '') = COALESCE($3, '') \
     AND COALESCE(face_value_minor, 0) = $7))";

const CHEAPEST: &str = "ORDER BY price_minor, id LIMIT $8";

impl Wanted {
    /// Binds $1 to $8 of [`WANTED`] and [`CHEAPEST`].
    fn bind<'q, T>(&self, query: AnyQueryAs<'q, T>) -> AnyQueryAs<'q, T> {
        let offer = self.offer.as_ref();
        query
            .bind(self.event)
            .bind(self.buyer)
            .bind(self.section.clone())
            .bind(self.max_price_minor.unwrap_or(MinorUnits::new(i64::MAX)))
            .bind(offer.map(|offer| offer.seller_id))
            .bind(offer.map_or(0, |offer| offer.price_minor))
            .bind(offer.and_then(|offer| offer.face_value_minor).unwrap_or(0))
            .bind(self.quantity)
    }
}

/// What to do about tickets that a concurrent transaction has locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockedRows {
    /// Take others, so that many buyers do not queue for the same cheapest ticket.
    Skip,
    /// Wait until the other transaction has ended.
    Wait,
}

/// Holds the cheapest free tickets, up to the quantity wanted, if the event is still on sale. If it
/// returns fewer, there are not enough, or concurrent transactions have locked some (see
/// [`count_free`]). The caller appends the events.
pub(crate) async fn hold_cheapest(
    conn: &mut Conn,
    wanted: &Wanted,
    locked_rows: LockedRows,
    order: OrderId,
    until: Moment,
    now: Moment,
) -> Result<Vec<TicketRow>, sqlx::Error> {
    let engine = engine_of(conn);
    // Without MATERIALIZED, PostgreSQL may run it more than once and lock more than it returns.
    let picked = match locked_rows {
        LockedRows::Skip => format!(
            "WITH picked AS MATERIALIZED (SELECT id FROM tickets WHERE {WANTED} AND {PUBLISHED} {CHEAPEST}{})",
            engine.for_update_skip_locked()
        ),
        LockedRows::Wait => format!(
            "WITH cheapest AS MATERIALIZED (SELECT id FROM tickets WHERE {WANTED} AND {PUBLISHED} {CHEAPEST}), \
             picked AS MATERIALIZED (SELECT id FROM tickets WHERE id IN (SELECT id FROM cheapest) \
             AND held_until = 0 AND state = 'listed' ORDER BY id{})",
            engine.for_update()
        ),
    };
    let sql = format!(
        "{picked} UPDATE tickets SET held_by = $9, held_until = $10, version = version + 1 \
         WHERE id IN (SELECT id FROM picked) \
         AND EXISTS (SELECT 1 FROM events e WHERE e.id = $1 AND {}) \
         RETURNING {COLUMNS}",
        on_sale!("e", "$11")
    );
    wanted
        .bind(query_as(AssertSqlSafe(sql)))
        .bind(order)
        .bind(until)
        .bind(now)
        .fetch_all(conn)
        .await
}

/// The number of free tickets that match, up to the quantity wanted, as last committed: includes
/// rows that a concurrent transaction has locked.
pub(crate) async fn count_free(conn: &mut Conn, wanted: &Wanted) -> Result<i64, sqlx::Error> {
    let sql = format!(
        "SELECT COUNT(*) AS free FROM (SELECT id FROM tickets WHERE {WANTED} AND {PUBLISHED} {CHEAPEST}) matching"
    );
    let (free,) = wanted
        .bind(query_as(AssertSqlSafe(sql)))
        .fetch_one(conn)
        .await?;
    Ok(free)
}

/// Orders whose hold on tickets of this event has lapsed but which have not been expired yet.
pub(crate) async fn list_lapsed_holders(
    conn: &mut Conn,
    event: EventId,
    now: Moment,
    limit: i64,
) -> Result<Vec<OrderId>, sqlx::Error> {
    query_scalar(
        "SELECT DISTINCT held_by FROM tickets WHERE event_id = $1 AND state = 'listed' \
         AND held_until > 0 AND held_until <= $2 ORDER BY held_by LIMIT $3",
    )
    .bind(event)
    .bind(now)
    .bind(limit)
    .fetch_all(conn)
    .await
}

/// Holds those of these tickets that are listed and free. If it returns fewer rows than ids, others
/// were faster. The caller has locked the rows and appends the events.
pub(crate) async fn hold(
    conn: &mut Conn,
    ids: &[TicketId],
    order: OrderId,
    until: Moment,
) -> Result<Vec<TicketRow>, sqlx::Error> {
    let mut update = Statement::new("UPDATE tickets SET held_by = ");
    update.bind(order).push(", held_until = ").bind(until);
    update
        .push(", version = version + 1 WHERE id IN (")
        .bind_list(ids)
        .push(format_args!(
            ") AND state = 'listed' AND held_until = 0 AND {PUBLISHED} RETURNING {COLUMNS}"
        ));
    update.query_as()?.fetch_all(conn).await
}

/// Moves the end of an order's hold. Returns the number of tickets. Changes no version and appends no
/// event, since only the remaining seconds change for others.
pub(crate) async fn set_hold_end(
    conn: &mut Conn,
    order: OrderId,
    until: Moment,
) -> Result<u64, sqlx::Error> {
    let done = query("UPDATE tickets SET held_until = $2 WHERE held_by = $1 AND state = 'listed'")
        .bind(order)
        .bind(until)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}

/// Keeps the hold without an end, until the money is captured or refused.
pub(crate) async fn hold_for_capture(conn: &mut Conn, order: OrderId) -> Result<u64, sqlx::Error> {
    set_hold_end(conn, order, HELD_FOR_CAPTURE).await
}

/// Frees what this order holds, and only that: a stale timer cannot release another order's hold.
pub(crate) async fn release(
    conn: &mut Conn,
    order: OrderId,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let sql = format!(
        "UPDATE tickets SET held_by = NULL, held_until = 0, version = version + 1 \
         WHERE held_by = $1 AND state = 'listed' RETURNING {COLUMNS}"
    );
    update_and_append(conn, query_as(AssertSqlSafe(sql)).bind(order), now).await?;
    Ok(())
}

/// Marks the tickets that this order holds as sold to the buyer. Returns the number of tickets.
pub(crate) async fn sell(
    conn: &mut Conn,
    order: OrderId,
    buyer: UserId,
    now: Moment,
) -> Result<usize, sqlx::Error> {
    let sql = format!(
        "UPDATE tickets SET state = 'sold', owner_id = $2, held_by = NULL, held_until = 0, \
         version = version + 1 WHERE held_by = $1 AND state = 'listed' RETURNING {COLUMNS}"
    );
    let update = query_as(AssertSqlSafe(sql)).bind(order).bind(buyer);
    update_and_append(conn, update, now).await
}

/// Runs `update` and appends an event for each row that it returns. Returns the number of rows.
async fn update_and_append(
    conn: &mut Conn,
    update: AnyQueryAs<'_, TicketRow>,
    now: Moment,
) -> Result<usize, sqlx::Error> {
    let events: Vec<DomainEvent> = update
        .fetch_all(&mut *conn)
        .await?
        .iter()
        .map(|row| row.event(EventType::TicketUpdated, now))
        .collect();
    outbox::append(conn, now, &events).await?;
    Ok(events.len())
}

/// Holds an expired order's tickets for its capture again: those that are free, and those that the
/// order still holds. The caller has checked that they are unchanged.
pub(crate) async fn revive(
    conn: &mut Conn,
    order: OrderId,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let sql = format!(
        "UPDATE tickets SET held_by = $1, held_until = $2, version = version + 1 \
         WHERE held_by IS NULL AND state = 'listed' AND id IN \
         (SELECT ticket_id FROM order_lines WHERE order_id = $1) RETURNING {COLUMNS}"
    );
    let update = query_as(AssertSqlSafe(sql))
        .bind(order)
        .bind(HELD_FOR_CAPTURE);
    update_and_append(conn, update, now).await?;
    hold_for_capture(conn, order).await?;
    Ok(())
}

/// Withdraws all listings of a seller, except those with a current hold. Returns the number of
/// tickets.
pub(crate) async fn withdraw_all(
    conn: &mut Conn,
    seller: UserId,
    now: Moment,
) -> Result<usize, sqlx::Error> {
    let lock = engine_of(conn).for_update();
    if !lock.is_empty() {
        let sql = format!(
            "SELECT id FROM tickets WHERE seller_id = $1 AND state = 'listed' AND {PUBLISHED} \
             ORDER BY id{lock}"
        );
        query(AssertSqlSafe(sql))
            .bind(seller)
            .fetch_all(&mut *conn)
            .await?;
    }
    let sql = format!(
        "UPDATE tickets SET state = 'withdrawn', held_by = NULL, held_until = 0, \
         version = version + 1 WHERE seller_id = $1 AND state = 'listed' AND held_until <= $2 \
         AND {PUBLISHED} RETURNING {COLUMNS}"
    );
    let update = query_as(AssertSqlSafe(sql)).bind(seller).bind(now);
    update_and_append(conn, update, now).await
}

/// Returns the tickets of a refund that its order still owns to their sellers, as withdrawn. Returns
/// the number of tickets.
pub(crate) async fn return_to_sellers(
    conn: &mut Conn,
    refund: RefundId,
    now: Moment,
) -> Result<usize, sqlx::Error> {
    let sql = format!(
        "UPDATE tickets SET state = 'withdrawn', owner_id = NULL, frozen = 0, version = version + 1 \
         WHERE state = 'sold' AND id IN (SELECT r.ticket_id FROM refund_lines r \
         JOIN order_lines l ON l.order_id = r.order_id AND l.ticket_id = r.ticket_id AND l.live = 1 \
         WHERE r.refund_id = $1 AND r.live = 1) RETURNING {COLUMNS}"
    );
    let update = query_as(AssertSqlSafe(sql)).bind(refund);
    update_and_append(conn, update, now).await
}

/// Returns the tickets of a failed refund to the buyer, unless they have been changed since. If the
/// seat has been listed again, the buyer still gets it, and an incident is opened. Returns the number of
/// tickets.
pub(crate) async fn restore_to_buyer(
    conn: &mut Conn,
    refund: RefundId,
    buyer: UserId,
    now: Moment,
) -> Result<usize, sqlx::Error> {
    let sql = format!(
        "UPDATE tickets SET state = 'sold', owner_id = $2, version = version + 1, \
         seat_key = CASE WHEN EXISTS (SELECT 1 FROM tickets o WHERE o.event_id = tickets.event_id \
           AND o.seat_key = tickets.seat_key AND o.state <> 'withdrawn') THEN NULL ELSE seat_key END \
         WHERE state = 'withdrawn' AND id IN (SELECT r.ticket_id FROM refund_lines r \
         WHERE r.refund_id = $1 AND r.live = 1 AND r.ticket_version = tickets.version) RETURNING {COLUMNS}"
    );
    let update = query_as(AssertSqlSafe(sql)).bind(refund).bind(buyer);
    let restored = update_and_append(conn, update, now).await?;
    open_incidents_for_seats_listed_twice(conn, refund, now).await?;
    Ok(restored)
}

/// Freezes the sold tickets of an order if it has an open or lost dispute; otherwise unfreezes them.
/// Appends no event.
pub(crate) async fn update_frozen(conn: &mut Conn, order: OrderId) -> Result<(), sqlx::Error> {
    query(
        "UPDATE tickets SET frozen = (SELECT CASE WHEN COUNT(*) > 0 THEN 1 ELSE 0 END FROM disputes d \
         WHERE d.order_id = $1 AND d.state IN ('open', 'lost')) \
         WHERE state = 'sold' AND id IN (SELECT l.ticket_id FROM order_lines l \
         WHERE l.order_id = $1 AND l.live = 1)",
    )
    .bind(order)
    .execute(conn)
    .await?;
    Ok(())
}

/// Opens an incident for each ticket of a refund whose seat has another listing.
async fn open_incidents_for_seats_listed_twice(
    conn: &mut Conn,
    refund: RefundId,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let sql = format!(
        "SELECT {COLUMNS} FROM tickets WHERE state = 'sold' AND seat IS NOT NULL \
         AND seat_key IS NULL AND id IN (SELECT ticket_id FROM refund_lines WHERE refund_id = $1)"
    );
    let tickets: Vec<TicketRow> = query_as(AssertSqlSafe(sql))
        .bind(refund)
        .fetch_all(&mut *conn)
        .await?;
    for ticket in tickets {
        let detail = format!(
            "{} of event {} was returned to its buyer after a failed refund, but has been listed again",
            ticket.label(),
            ticket.event_id
        );
        let kind = incidents::Kind::SeatListedTwice;
        incidents::open(conn, kind, ticket.id, None, &detail, now).await?;
    }
    Ok(())
}
