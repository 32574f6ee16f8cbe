//! One attempt to reserve: a transaction that takes all the tickets or none, or finds what stands
//! in the way. How often it is tried is the service's to say.

use super::{
    rules,
    state::State,
    store::{self, NewOrder, OrderRow},
    usage::{self, Claim, Denied, HoldLimits},
};
use crate::{
    events::span::on_sale,
    tickets::{
        State as TicketState, TicketRow,
        holds::{self, Rivals, Wanted},
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

/// The most lapsed orders that one reservation tidies up on its way.
const LAPSED_MAX: i64 = 64;
/// How much later than the start of its transaction an attempt may get its tickets until its hold
/// is counted from then.
const LATE: Duration = Duration::from_millis(250);

/// Why an attempt's transaction wrote nothing.
pub(super) enum Stop {
    /// There is enough, but concurrent transactions have locked it: their outcome decides.
    Contended,
    /// Orders whose time is over stand in the way: expire them, then try again.
    Lapsed(Vec<OrderId>),
    Fault(Fault),
}

impl From<Denied> for Stop {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Lapsed(orders) => Self::Lapsed(orders),
            Denied::Fault(fault) => Self::Fault(fault),
        }
    }
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
pub(super) struct Attempted {
    pub buyer: UserId,
    pub request: Reserve,
    pub key: Option<String>,
    pub hash: String,
    /// `None`: limits are off.
    pub limits: Option<HoldLimits>,
    /// Where the request comes from, as far as it is limited.
    pub network: Option<String>,
    /// Read inside the transaction, since it may wait for locks.
    pub clock: SharedClock,
    pub hold: Duration,
    pub rivals: Rivals,
}

/// What an attempt asks for, so that the same key cannot be used for something else.
pub(super) fn hash(request: &Reserve) -> String {
    let text = serde_json::to_vec(request).unwrap_or_default();
    hex::encode(Sha256::digest(text))
}

/// The transaction: take the tickets, or say why not. Returns the new order, or the one that an
/// attempt with the same key has made before.
pub(super) async fn attempt_reserve(
    conn: &mut Conn,
    attempted: Attempted,
) -> Result<Box<OrderRow>, Stop> {
    if let Some(key) = &attempted.key
        && let Some(row) = store::order_find_by_key(conn, attempted.buyer, key).await?
    {
        if row.request_hash.as_deref() != Some(attempted.hash.as_str()) {
            return Err(Fault::from(Conflict::IdempotencyMismatch).into());
        }
        return Ok(Box::new(row));
    }
    let order = OrderId(Uuid::now_v7());
    let tickets = match &attempted.request {
        Reserve::Named(named) => take_named(conn, &attempted, order, &named.ticket_ids).await?,
        Reserve::Any(any) => {
            if any
                .offer
                .as_ref()
                .is_some_and(|offer| offer.seller_id == attempted.buyer)
            {
                return Err(Fault::from(Conflict::OwnTicket).into());
            }
            take_any(conn, &attempted, order, any).await?
        }
    };
    let row = write_order(conn, &attempted, order, tickets).await?;
    Ok(Box::new(row))
}

/// Tickets that were taken, when, and until when they are held.
struct Taken {
    tickets: Vec<TicketRow>,
    at: Moment,
    until: Moment,
}

/// Counts the attempt against its limits, before any ticket is locked.
async fn claim(
    conn: &mut Conn,
    attempted: &Attempted,
    event: EventId,
    tickets: i64,
) -> Result<(), Stop> {
    if let Some(limits) = attempted.limits
        && tickets > limits.tickets_per_buyer
    {
        let most = limits.tickets_per_buyer;
        let message = format!("You can hold at most {most} tickets for one event at a time.");
        let field = rules::field_of_size(&attempted.request);
        return Err(Fault::from(AppError::invalid(field, message)).into());
    }
    let claim = Claim {
        event,
        buyer: attempted.buyer,
        network: attempted.network.clone(),
        tickets,
        limits: attempted.limits,
        now: attempted.clock.now(),
    };
    Ok(usage::take(conn, &claim).await?)
}

async fn take_named(
    conn: &mut Conn,
    attempted: &Attempted,
    order: OrderId,
    ids: &[TicketId],
) -> Result<Taken, Stop> {
    let event = holds::event_of(conn, ids).await?;
    let event = event.ok_or(Fault::Refused(AppError::NotFound))?;
    let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    claim(conn, attempted, event, count).await?;
    let found = holds::tickets_lock(conn, ids).await?;
    let now = attempted.clock.now();
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
        if let Some(holder) = standing(ticket, attempted.buyer, now)? {
            lapsed.push(holder);
        }
    }
    if !lapsed.is_empty() {
        lapsed.sort_unstable();
        lapsed.dedup();
        return Err(Stop::Lapsed(lapsed));
    }
    let until = now + attempted.hold;
    let taken = holds::tickets_hold(conn, ids, order, until).await?;
    if taken.len() == ids.len() {
        Ok(Taken {
            tickets: taken,
            at: now,
            until,
        })
    } else {
        // The rows were locked and free a statement ago; this is the last line of defence.
        Err(Fault::from(Conflict::TicketReserved).into())
    }
}

/// Whether this ticket can be taken: `Ok(None)` if it can, the lapsed order that must be
/// expired first, or why not.
fn standing(ticket: &TicketRow, buyer: UserId, now: Moment) -> FaultResult<Option<OrderId>> {
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
            // While the money is being taken the end is seconds away, whichever it is.
            retry_after_seconds: Some(ticket.reserved_seconds_left(now).unwrap_or(5)),
        }
        .into());
    }
    Ok(ticket.held_by)
}

async fn take_any(
    conn: &mut Conn,
    attempted: &Attempted,
    order: OrderId,
    any: &ReserveAny,
) -> Result<Taken, Stop> {
    let wanted = Wanted {
        event: any.event_id,
        buyer: attempted.buyer,
        section: any.section.clone(),
        max_price_minor: any.max_price_minor.map(MinorUnits::new),
        offer: any.offer.clone(),
        quantity: any.quantity,
    };
    claim(conn, attempted, wanted.event, wanted.quantity).await?;
    let began = attempted.clock.now();
    let lapsed = holds::lapsed_holders(conn, wanted.event, began, LAPSED_MAX).await?;
    if !lapsed.is_empty() {
        return Err(Stop::Lapsed(lapsed));
    }
    let mut until = began + attempted.hold;
    let tickets =
        holds::tickets_hold_cheapest(conn, &wanted, attempted.rivals, order, until, began).await?;
    let now = attempted.clock.now();
    let count = i64::try_from(tickets.len()).unwrap_or(i64::MAX);
    if count != wanted.quantity {
        refuse_past_event(conn, wanted.event, now).await?;
        // A concurrent transaction may yet roll back: "not enough" is said only where it is true.
        if count + holds::tickets_free(conn, &wanted).await? >= wanted.quantity {
            return Err(Stop::Contended);
        }
        return Err(Fault::from(Conflict::NotEnoughTickets).into());
    }
    if now.since(began) > LATE {
        // It waited for a lock, and the buyer is owed the whole hold.
        refuse_past_event(conn, wanted.event, now).await?;
        until = now + attempted.hold;
        holds::tickets_hold_until(conn, order, until).await?;
    }
    Ok(Taken {
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
    attempted: &Attempted,
    id: OrderId,
    taken: Taken,
) -> FaultResult<OrderRow> {
    let Taken { tickets, at, until } = taken;
    let (Some(first), Some(total_minor)) = (
        tickets.first(),
        tickets.iter().try_fold(MinorUnits::ZERO, |sum, ticket| {
            sum.checked_add(ticket.price_minor)
        }),
    ) else {
        return Err(Fault::unexpected(
            "an order without tickets",
            "nothing was taken",
        ));
    };
    rules::check_total(&attempted.request, total_minor, first.currency)?;
    let order = NewOrder {
        row: OrderRow {
            id,
            buyer: attempted.buyer,
            event: first.event_id,
            state: State::Created,
            total_minor,
            currency: first.currency,
            expires_at: until,
            hold_until: until,
            extended: Flag(false),
            version: 1,
            request_hash: Some(attempted.hash.clone()),
            payment: None,
        },
        network: attempted.network.clone(),
        request_key: attempted.key.clone(),
    };
    store::order_insert(conn, &order, &tickets, at).await?;
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
