//! Reserving, reading and cancelling orders.

use super::{
    rules::{self, State},
    store::{self, NewOrder, OrderRow},
    timeline, transitions,
};
use crate::{
    clock::SharedClock,
    crash,
    db::{Conn, Db},
    fault::{Fault, FaultResult},
    outbox::{self, EventType},
    tickets::{
        TicketRow,
        holds::{self, Rivals, Wanted},
    },
};
use app::{
    accounts::Viewer,
    error::{AppError, AppResult, Conflict},
    ids::{EventId, OrderId, TicketId, UserId},
    orders::{Order, OrderList, OrderQuery, Orders, Reserve, Timeline},
};
use async_trait::async_trait;
use sha2::{Digest, Sha256};
use sqlx::{Row, query};
use std::sync::Arc;
use tokio::sync::Notify;
use uuid::Uuid;

/// How long tickets are held.
#[derive(Debug, Clone, Copy)]
pub struct Holds {
    /// From reserving, in seconds.
    pub hold_seconds: i64,
    /// Added once a payment has begun, in seconds.
    pub grace_seconds: i64,
}

impl Default for Holds {
    fn default() -> Self {
        Self {
            hold_seconds: 900,
            grace_seconds: 60,
        }
    }
}

/// Wakes somebody when an order's hold ends. Only ever a help: the hold ends by the clock.
pub trait ExpirySchedule: Send + Sync {
    /// `hold_until` in microseconds. Must not block and may forget.
    fn schedule(&self, order: OrderId, hold_until_micros: i64);
}

/// The most lapsed orders that one reservation tidies up on its way.
const LAPSED_MAX: i64 = 64;
/// How often a reservation starts again because a hold lapsed under its hands, or because rivals
/// had their hands on what it wanted.
const TRIES_MAX: usize = 16;
/// Orders on a page.
const LIMIT_DEFAULT: i64 = 20;
const LIMIT_MAX: i64 = 100;

/// The rules of orders.
#[derive(Clone)]
pub struct OrdersService {
    db: Db,
    clock: SharedClock,
    holds: Holds,
    expiry: Arc<dyn ExpirySchedule>,
    calls_wait: Arc<Notify>,
}

/// How an attempt to reserve ended.
enum Attempt {
    /// With an order: a new one, or the one that this attempt had made before.
    Done(Box<OrderRow>),
    /// Orders whose time is over stand in the way: expire them, then try again.
    Lapsed(Vec<OrderId>),
}

/// Why an attempt's transaction wrote nothing.
enum Stop {
    /// There is enough, but rivals have their hands on it: what becomes of them decides.
    Contended,
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Self::Fault(error.into())
    }
}

/// One attempt, as its transaction needs it.
struct Attempted {
    buyer: UserId,
    request: Reserve,
    key: Option<String>,
    hash: String,
    now: i64,
    expires_at: i64,
    rivals: Rivals,
}

impl OrdersService {
    /// Orders over `db`, holding tickets for `holds`. `calls_wait` is notified when an order
    /// leaves a call to Stripe behind.
    pub fn new(
        db: Db,
        clock: SharedClock,
        holds: Holds,
        expiry: Arc<dyn ExpirySchedule>,
        calls_wait: Arc<Notify>,
    ) -> Self {
        Self {
            db,
            clock,
            holds,
            expiry,
            calls_wait,
        }
    }

    async fn reserve_order(
        &self,
        buyer: UserId,
        request: Reserve,
        key: Option<&str>,
    ) -> FaultResult<Order> {
        let request = rules::check(request)?;
        let hash = hash(&request);
        let mut rivals = Rivals::PassOver;
        for _ in 0..TRIES_MAX {
            let now = self.clock.now_micros();
            let attempted = Attempted {
                buyer,
                request: request.clone(),
                key: key.map(str::to_owned),
                hash: hash.clone(),
                now,
                expires_at: now + self.holds.hold_seconds * 1_000_000,
                rivals,
            };
            let attempt = self
                .db
                .write(|conn| Box::pin(async move { attempt_reserve(conn, attempted).await }))
                .await;
            match attempt {
                Ok(Attempt::Done(row)) => {
                    crash::point("reserved").await;
                    self.expiry.schedule(row.id, row.hold_until);
                    return self.dress(*row, now).await;
                }
                Ok(Attempt::Lapsed(orders)) => self.expire_all(orders).await?,
                // Waiting and passing over in turns: who waited in vain, because a rival took
                // just that ticket, looks at all the others before waiting again.
                Err(Stop::Contended) => {
                    rivals = match rivals {
                        Rivals::PassOver => Rivals::WaitFor,
                        Rivals::WaitFor => Rivals::PassOver,
                    };
                }
                // Another won between our look and our write: look again.
                Err(Stop::Fault(Fault::Database(sqlx::Error::Database(error))))
                    if error.is_unique_violation() => {}
                Err(Stop::Fault(fault)) => return Err(fault),
            }
        }
        Err(AppError::Conflict {
            conflict: Conflict::TicketReserved,
            retry_after_seconds: Some(1),
        }
        .into())
    }

    /// Expires orders one by one, each in a transaction of its own: a transaction that held the
    /// tickets of several orders could wait in a circle with another.
    async fn expire_all(&self, orders: Vec<OrderId>) -> FaultResult<()> {
        for order in orders {
            self.expire(order).await?;
        }
        Ok(())
    }

    /// Expires one order if its time is over. Returns whether this call did it.
    pub async fn expire(&self, order: OrderId) -> FaultResult<bool> {
        let now = self.clock.now_micros();
        let expired = self
            .db
            .write(move |conn| {
                Box::pin(async move { Ok(transitions::order_expire(conn, order, now).await?) })
            })
            .await;
        crash::point("expired").await;
        expired
    }

    /// Expires what is due, at most `limit` orders. Returns how many it were.
    pub async fn expire_due(&self, limit: i64) -> FaultResult<usize> {
        let due = store::orders_due(self.db.reads(), self.clock.now_micros(), limit).await?;
        let mut expired = 0;
        for order in due {
            expired += usize::from(self.expire(order).await?);
        }
        Ok(expired)
    }

    /// Adds the tickets to an order's row.
    async fn dress(&self, row: OrderRow, now: i64) -> FaultResult<Order> {
        let mut tickets = store::orders_tickets(self.db.reads(), &[row.id], now).await?;
        Ok(row.order(tickets.remove(&row.id).unwrap_or_default(), now))
    }

    async fn page(&self, buyer: UserId, asked: OrderQuery) -> FaultResult<OrderList> {
        let limit = asked.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(AppError::invalid("limit", "Ask for 1 to 100.").into());
        }
        let before = asked
            .cursor
            .map(|cursor| cursor.parse::<OrderId>())
            .transpose()
            .map_err(|_| AppError::invalid("cursor", "This isn't a cursor from here."))?;
        let now = self.clock.now_micros();
        let mut rows = store::orders_page(self.db.reads(), buyer, before, limit + 1).await?;
        let more = i64::try_from(rows.len()).is_ok_and(|found| found > limit);
        if more {
            rows.pop();
        }
        let ids: Vec<OrderId> = rows.iter().map(|row| row.id).collect();
        let mut tickets = store::orders_tickets(self.db.reads(), &ids, now).await?;
        let next = rows.last().filter(|_| more).map(|row| row.id.to_string());
        let orders = rows
            .iter()
            .map(|row| row.order(tickets.remove(&row.id).unwrap_or_default(), now))
            .collect();
        Ok(OrderList { orders, next })
    }

    async fn find_own(&self, buyer: UserId, id: OrderId) -> FaultResult<OrderRow> {
        store::order_find(self.db.reads(), id)
            .await?
            .filter(|row| row.buyer == buyer)
            .ok_or(Fault::Refused(AppError::NotFound))
    }

    async fn cancel_own(
        &self,
        buyer: UserId,
        id: OrderId,
        expected: Option<i64>,
    ) -> FaultResult<()> {
        let now = self.clock.now_micros();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    if transitions::order_cancel(conn, id, buyer, expected, now).await? {
                        return Ok(());
                    }
                    let row = store::order_find(conn, id)
                        .await?
                        .filter(|row| row.buyer == buyer)
                        .ok_or(AppError::NotFound)?;
                    why_not_cancelled(&row, expected, now)
                })
            })
            .await
    }
}

/// The losing side of a cancellation: says what came first.
fn why_not_cancelled(row: &OrderRow, expected: Option<i64>, now: i64) -> FaultResult<()> {
    if row.state == State::Cancelled {
        return Ok(());
    }
    let status = row.state.seen(row.hold_until <= now);
    if expected.is_some_and(|expected| expected != row.version) {
        return Err(AppError::PreconditionFailed.into());
    }
    Err(rules::refusal(status).into())
}

#[async_trait]
impl Orders for OrdersService {
    async fn reserve(
        &self,
        viewer: &Viewer,
        request: Reserve,
        key: Option<&str>,
    ) -> AppResult<Order> {
        let reserved = self.reserve_order(viewer.user.id, request, key).await;
        let reserved = reserved.map_err(AppError::from);
        match &reserved {
            Ok(_) => metrics::counter!("stagedoor_reservations_total").increment(1),
            Err(error) => {
                metrics::counter!("stagedoor_refusals_total", "code" => error.code()).increment(1);
            }
        }
        reserved
    }

    async fn list(&self, viewer: &Viewer, query: OrderQuery) -> AppResult<OrderList> {
        Ok(self.page(viewer.user.id, query).await?)
    }

    async fn get(&self, viewer: &Viewer, id: OrderId) -> AppResult<Order> {
        let row = self.find_own(viewer.user.id, id).await?;
        Ok(self.dress(row, self.clock.now_micros()).await?)
    }

    async fn timeline(&self, viewer: &Viewer, id: OrderId) -> AppResult<Timeline> {
        self.find_own(viewer.user.id, id).await?;
        let moments = timeline::moments(self.db.reads(), id).await;
        Ok(Timeline {
            moments: moments.map_err(Fault::from)?,
        })
    }

    async fn cancel(&self, viewer: &Viewer, id: OrderId, expected: Option<i64>) -> AppResult<()> {
        self.cancel_own(viewer.user.id, id, expected).await?;
        self.calls_wait.notify_one();
        Ok(())
    }
}

/// What an attempt asks for, so that the same key cannot be used for something else.
fn hash(request: &Reserve) -> String {
    let text = serde_json::to_vec(request).unwrap_or_default();
    Sha256::digest(text)
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            use std::fmt::Write;
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// The transaction: take the tickets, or say why not.
async fn attempt_reserve(conn: &mut Conn, attempted: Attempted) -> Result<Attempt, Stop> {
    if let Some(key) = &attempted.key
        && let Some(row) = store::order_find_by_key(conn, attempted.buyer, key).await?
    {
        if row.request_hash.as_deref() != Some(attempted.hash.as_str()) {
            return Err(Fault::from(Conflict::IdempotencyMismatch).into());
        }
        return Ok(Attempt::Done(Box::new(row)));
    }
    let order = OrderId(Uuid::now_v7());
    let taken = match &attempted.request {
        Reserve::Named(named) => take_named(conn, &attempted, order, &named.ticket_ids).await?,
        Reserve::Any(any) => {
            if any
                .offer
                .as_ref()
                .is_some_and(|offer| offer.seller_id == attempted.buyer)
            {
                return Err(Fault::from(Conflict::OwnTicket).into());
            }
            let wanted = Wanted {
                event: any.event_id,
                buyer: attempted.buyer,
                section: any.section.clone(),
                max_price_minor: any.max_price_minor,
                offer: any.offer.clone(),
                quantity: any.quantity,
            };
            take_any(conn, &attempted, order, &wanted).await?
        }
    };
    match taken {
        Taken::Lapsed(orders) => Ok(Attempt::Lapsed(orders)),
        Taken::Contended => Err(Stop::Contended),
        Taken::Tickets(tickets) => {
            let row = write_order(conn, &attempted, order, &tickets).await?;
            Ok(Attempt::Done(Box::new(row)))
        }
    }
}

enum Taken {
    Tickets(Vec<TicketRow>),
    Lapsed(Vec<OrderId>),
    /// Some or none of them; the rest is in the hands of rivals.
    Contended,
}

async fn take_named(
    conn: &mut Conn,
    attempted: &Attempted,
    order: OrderId,
    ids: &[TicketId],
) -> FaultResult<Taken> {
    let found = holds::tickets_lock(conn, ids).await?;
    let event = match found.first() {
        Some(first) if found.len() == ids.len() => first.event_id,
        _ => return Err(AppError::NotFound.into()),
    };
    if found.iter().any(|ticket| ticket.event_id != event) {
        let message = "An order is for tickets of one event.";
        return Err(AppError::invalid("ticketIds", message).into());
    }
    refuse_past_event(conn, event, attempted.now).await?;
    let mut lapsed = Vec::new();
    for ticket in &found {
        if let Some(holder) = standing(ticket, attempted)? {
            lapsed.push(holder);
        }
    }
    if !lapsed.is_empty() {
        lapsed.sort_unstable();
        lapsed.dedup();
        return Ok(Taken::Lapsed(lapsed));
    }
    let taken = holds::tickets_hold(conn, ids, order, attempted.expires_at).await?;
    if taken.len() == ids.len() {
        Ok(Taken::Tickets(taken))
    } else {
        // The rows were locked and free a statement ago; this is the last line of defence.
        Err(Conflict::TicketReserved.into())
    }
}

/// Whether this ticket can be taken: `Ok(None)` if it can, the lapsed order that must be
/// expired first, or why not.
fn standing(ticket: &TicketRow, attempted: &Attempted) -> FaultResult<Option<OrderId>> {
    match ticket.state.as_str() {
        "sold" => return Err(Conflict::TicketSold.into()),
        "withdrawn" => return Err(Conflict::TicketWithdrawn.into()),
        _ => {}
    }
    if ticket.seller_id == attempted.buyer {
        return Err(Conflict::OwnTicket.into());
    }
    if ticket.held_until > attempted.now {
        return Err(AppError::Conflict {
            conflict: Conflict::TicketReserved,
            // While the money is being taken the end is seconds away, whichever it is.
            retry_after_seconds: Some(ticket.reserved_seconds_left(attempted.now).unwrap_or(5)),
        }
        .into());
    }
    let Some(holder) = &ticket.held_by else {
        return Ok(None);
    };
    let holder: Result<OrderId, uuid::Error> = holder.parse();
    holder
        .map(Some)
        .map_err(|error| Fault::unexpected("held_by is no id", error))
}

async fn take_any(
    conn: &mut Conn,
    attempted: &Attempted,
    order: OrderId,
    wanted: &Wanted,
) -> FaultResult<Taken> {
    let lapsed = holds::lapsed_holders(conn, wanted.event, attempted.now, LAPSED_MAX).await?;
    if !lapsed.is_empty() {
        return Ok(Taken::Lapsed(lapsed));
    }
    let taken = holds::tickets_hold_cheapest(
        conn,
        wanted,
        attempted.rivals,
        order,
        attempted.expires_at,
        attempted.now,
    )
    .await?;
    let count = i64::try_from(taken.len()).unwrap_or(i64::MAX);
    if count == wanted.quantity {
        return Ok(Taken::Tickets(taken));
    }
    refuse_past_event(conn, wanted.event, attempted.now).await?;
    // A rival may yet let go: "not enough" is said only where it is true.
    if count + holds::tickets_free(conn, wanted).await? >= wanted.quantity {
        return Ok(Taken::Contended);
    }
    Err(Conflict::NotEnoughTickets.into())
}

/// Errors: `NotFound`, `EventOver`.
async fn refuse_past_event(conn: &mut Conn, event: EventId, now: i64) -> FaultResult<()> {
    let row = query("SELECT starts_at FROM events WHERE id = $1")
        .bind(event.to_string())
        .fetch_optional(conn)
        .await?
        .ok_or(AppError::NotFound)?;
    if row.try_get::<i64, _>("starts_at")? <= now {
        return Err(Conflict::EventOver.into());
    }
    Ok(())
}

async fn write_order(
    conn: &mut Conn,
    attempted: &Attempted,
    id: OrderId,
    tickets: &[TicketRow],
) -> FaultResult<OrderRow> {
    let (Some(first), Some(total_minor)) = (
        tickets.first(),
        tickets
            .iter()
            .try_fold(0_i64, |sum, ticket| sum.checked_add(ticket.price_minor)),
    ) else {
        return Err(Fault::unexpected(
            "an order without tickets",
            "nothing was taken",
        ));
    };
    let order = NewOrder {
        row: OrderRow {
            id,
            buyer: attempted.buyer,
            event: first.event_id,
            state: State::Created,
            total_minor,
            currency: first.currency,
            expires_at: attempted.expires_at,
            hold_until: attempted.expires_at,
            version: 1,
            request_hash: Some(attempted.hash.clone()),
            payment: None,
        },
        request_key: attempted.key.clone(),
    };
    store::order_insert(conn, &order, tickets, attempted.now).await?;
    let ids: Vec<TicketId> = tickets.iter().map(|ticket| ticket.id).collect();
    let mut events = vec![
        order
            .row
            .event(EventType::OrderCreated, &ids, attempted.now),
    ];
    events.extend(
        tickets
            .iter()
            .map(|ticket| ticket.event(EventType::TicketUpdated, attempted.now)),
    );
    outbox::append(conn, attempted.now, &events).await?;
    Ok(order.row)
}
