//! One attempt to reserve: a transaction that holds all the tickets, or none and says why.
//!
//! Does not retry; the service decides how often an attempt is repeated.

use super::{
    rules,
    state::State,
    store::{self, NewOrder, OrderRow},
    usage::{self, Claim, Denial, HoldLimits},
};
use crate::{
    events::span::on_sale,
    tickets::{
        State as TicketState, TicketRow,
        holds::{self, LockedRows, Wanted},
    },
};
use model::{
    Moment,
    error::{AppError, Conflict},
    ids::{EventId, OrderId, TicketId, UserId},
    money::MinorUnits,
    orders::{Reserve, ReserveAny},
};
use platform::{
    clock::SharedClock,
    db::{Conn, Flag},
    fault::{Fault, FaultResult},
    outbox::{self, EventType},
};
use sha2::{Digest, Sha256};
use sqlx::query_scalar;
use std::time::Duration;
use uuid::Uuid;

/// The most lapsed orders that one attempt reports for expiry.
const LAPSED_MAX: i64 = 64;
/// If an attempt waited longer than this for locks, its hold starts when it got the tickets, not when it
/// began.
const LOCK_WAIT_MAX: Duration = Duration::from_millis(250);

/// Why an attempt's transaction wrote nothing.
pub(super) enum AttemptError {
    /// Enough tickets are for sale, but some are locked by concurrent transactions; retry.
    Contended,
    /// Lapsed orders hold the tickets or count against a limit; expire them, then retry.
    Lapsed(Vec<OrderId>),
    Fault(Fault),
}

impl From<Denial> for AttemptError {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::Lapsed(orders) => Self::Lapsed(orders),
            Denial::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl From<Fault> for AttemptError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<sqlx::Error> for AttemptError {
    fn from(error: sqlx::Error) -> Self {
        Self::Fault(error.into())
    }
}

/// The input of one attempt.
pub(super) struct Attempt {
    pub buyer: UserId,
    pub request: Reserve,
    pub key: Option<String>,
    pub hash: String,
    /// `None`: limits are off.
    pub limits: Option<HoldLimits>,
    /// The client's network address, if holds per network are limited.
    pub network: Option<String>,
    /// Read inside the transaction, which may wait for locks.
    pub clock: SharedClock,
    pub hold: Duration,
    pub locked_rows: LockedRows,
}

/// Hashes the request, so that an idempotency key cannot be reused for a different one.
pub(super) fn hash(request: &Reserve) -> String {
    let text = serde_json::to_vec(request).unwrap_or_default();
    hex::encode(Sha256::digest(text))
}

/// Holds the tickets and inserts the order, in the caller's transaction. Returns the new order, or the
/// existing one if the idempotency key was used before.
pub(super) async fn reserve(
    conn: &mut Conn,
    attempt: Attempt,
) -> Result<Box<OrderRow>, AttemptError> {
    if let Some(key) = &attempt.key
        && let Some(row) = store::find_by_key(conn, attempt.buyer, key).await?
    {
        if row.request_hash.as_deref() != Some(attempt.hash.as_str()) {
            return Err(Fault::from(Conflict::IdempotencyMismatch).into());
        }
        return Ok(Box::new(row));
    }
    let order = OrderId(Uuid::now_v7());
    let tickets = match &attempt.request {
        Reserve::Named(named) => hold_named(conn, &attempt, order, &named.ticket_ids).await?,
        Reserve::Any(any) => {
            if any
                .offer
                .as_ref()
                .is_some_and(|offer| offer.seller_id == attempt.buyer)
            {
                return Err(Fault::from(Conflict::OwnTicket).into());
            }
            hold_cheapest(conn, &attempt, order, any).await?
        }
    };
    let row = write_order(conn, &attempt, order, tickets).await?;
    Ok(Box::new(row))
}

/// Tickets that the attempt now holds.
struct HeldTickets {
    tickets: Vec<TicketRow>,
    at: Moment,
    until: Moment,
}

/// Counts the tickets against the hold limits. Must precede locking any ticket.
async fn acquire_usage(
    conn: &mut Conn,
    attempt: &Attempt,
    event: EventId,
    tickets: i64,
) -> Result<(), AttemptError> {
    if let Some(limits) = attempt.limits
        && tickets > limits.tickets_per_buyer
    {
        let most = limits.tickets_per_buyer;
        let message = format!("You can hold at most {most} tickets for one event at a time.");
        let field = rules::quantity_field(&attempt.request);
        return Err(Fault::from(AppError::invalid(field, message)).into());
    }
    let claim = Claim {
        event,
        buyer: attempt.buyer,
        network: attempt.network.clone(),
        tickets,
        limits: attempt.limits,
        now: attempt.clock.now(),
    };
    Ok(usage::acquire(conn, &claim).await?)
}

async fn hold_named(
    conn: &mut Conn,
    attempt: &Attempt,
    order: OrderId,
    ids: &[TicketId],
) -> Result<HeldTickets, AttemptError> {
    let event = holds::find_event(conn, ids).await?;
    let event = event.ok_or(Fault::Refused(AppError::NotFound))?;
    let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    acquire_usage(conn, attempt, event, count).await?;
    let found = holds::lock(conn, ids).await?;
    let now = attempt.clock.now();
    if found.len() != ids.len() {
        return Err(Fault::Refused(AppError::NotFound).into());
    }
    if found.iter().any(|ticket| ticket.event_id != event) {
        let message = "An order is for tickets of one event.";
        return Err(Fault::from(AppError::invalid("ticketIds", message)).into());
    }
    refuse_past_event(conn, event, now).await?;
    let mut lapsed = Vec::new();
    for ticket in &found {
        if let Some(holder) = find_lapsed_holder(ticket, attempt.buyer, now)? {
            lapsed.push(holder);
        }
    }
    if !lapsed.is_empty() {
        lapsed.sort_unstable();
        lapsed.dedup();
        return Err(AttemptError::Lapsed(lapsed));
    }
    let until = now + attempt.hold;
    let taken = holds::hold(conn, ids, order, until).await?;
    if taken.len() == ids.len() {
        Ok(HeldTickets {
            tickets: taken,
            at: now,
            until,
        })
    } else {
        // Unreachable while the rows are locked; kept as a safeguard.
        Err(Fault::from(Conflict::TicketReserved).into())
    }
}

/// Checks whether the buyer can reserve this ticket. `Ok(Some)`: a lapsed order holds it and must be
/// expired first. Errors: `TicketSold`, `TicketWithdrawn`, `OwnTicket`, `TicketReserved`.
fn find_lapsed_holder(
    ticket: &TicketRow,
    buyer: UserId,
    now: Moment,
) -> FaultResult<Option<OrderId>> {
    match ticket.state {
        TicketState::Sold => return Err(Conflict::TicketSold.into()),
        TicketState::Withdrawn => return Err(Conflict::TicketWithdrawn.into()),
        TicketState::Listed => {}
    }
    if ticket.seller_id == buyer {
        return Err(Conflict::OwnTicket.into());
    }
    if ticket.held_until > now {
        return Err(AppError::Conflict {
            conflict: Conflict::TicketReserved,
            // During a capture the end is not known, but seconds away.
            retry_after_seconds: Some(ticket.reserved_seconds_left(now).unwrap_or(5)),
        }
        .into());
    }
    Ok(ticket.held_by)
}

async fn hold_cheapest(
    conn: &mut Conn,
    attempt: &Attempt,
    order: OrderId,
    any: &ReserveAny,
) -> Result<HeldTickets, AttemptError> {
    let wanted = Wanted {
        event: any.event_id,
        buyer: attempt.buyer,
        section: any.section.clone(),
        max_price_minor: any.max_price_minor.map(MinorUnits::new),
        offer: any.offer.clone(),
        quantity: any.quantity,
    };
    acquire_usage(conn, attempt, wanted.event, wanted.quantity).await?;
    let began = attempt.clock.now();
    let lapsed = holds::list_lapsed_holders(conn, wanted.event, began, LAPSED_MAX).await?;
    if !lapsed.is_empty() {
        return Err(AttemptError::Lapsed(lapsed));
    }
    let mut until = began + attempt.hold;
    let tickets =
        holds::hold_cheapest(conn, &wanted, attempt.locked_rows, order, until, began).await?;
    let now = attempt.clock.now();
    let count = i64::try_from(tickets.len()).unwrap_or(i64::MAX);
    if count != wanted.quantity {
        refuse_past_event(conn, wanted.event, now).await?;
        // Tickets locked by concurrent transactions may become free if those roll back.
        if count + holds::count_free(conn, &wanted).await? >= wanted.quantity {
            return Err(AttemptError::Contended);
        }
        return Err(Fault::from(Conflict::NotEnoughTickets).into());
    }
    if now.since(began) > LOCK_WAIT_MAX {
        // The buyer gets the whole hold.
        refuse_past_event(conn, wanted.event, now).await?;
        until = now + attempt.hold;
        holds::set_hold_end(conn, order, until).await?;
    }
    Ok(HeldTickets {
        tickets,
        at: now,
        until,
    })
}

/// Errors: `NotFound`, `EventOver`.
async fn refuse_past_event(conn: &mut Conn, event: EventId, now: Moment) -> FaultResult<()> {
    let sql = concat!(
        "SELECT CAST(CASE WHEN ",
        on_sale!("e", "$2"),
        " THEN 1 ELSE 0 END AS BIGINT) AS on_sale FROM events e WHERE e.id = $1"
    );
    let on_sale: Flag = query_scalar(sql)
        .bind(event)
        .bind(now)
        .fetch_optional(conn)
        .await?
        .ok_or(AppError::NotFound)?;
    if !on_sale.0 {
        return Err(Conflict::EventOver.into());
    }
    Ok(())
}

async fn write_order(
    conn: &mut Conn,
    attempt: &Attempt,
    id: OrderId,
    held: HeldTickets,
) -> FaultResult<OrderRow> {
    let HeldTickets { tickets, at, until } = held;
    let (Some(first), Some(total_minor)) = (
        tickets.first(),
        tickets.iter().try_fold(MinorUnits::ZERO, |sum, ticket| {
            sum.checked_add(ticket.price_minor)
        }),
    ) else {
        return Err(Fault::unexpected(
            "reserved an order without tickets",
            "no tickets held",
        ));
    };
    rules::check_total(&attempt.request, total_minor, first.currency)?;
    let order = NewOrder {
        row: OrderRow {
            id,
            buyer: attempt.buyer,
            event: first.event_id,
            state: State::Created,
            total_minor,
            currency: first.currency,
            expires_at: until,
            hold_until: until,
            extended: Flag(false),
            version: 1,
            request_hash: Some(attempt.hash.clone()),
            payment: None,
        },
        network: attempt.network.clone(),
        request_key: attempt.key.clone(),
    };
    store::insert(conn, &order, &tickets, at).await?;
    let ids: Vec<TicketId> = tickets.iter().map(|ticket| ticket.id).collect();
    let mut events = vec![order.row.event(EventType::OrderCreated, &ids, at)];
    events.extend(
        tickets
            .iter()
            .map(|ticket| ticket.event(EventType::TicketUpdated, at)),
    );
    outbox::append(conn, at, &events).await?;
    Ok(order.row)
}
