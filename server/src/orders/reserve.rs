//! One attempt to reserve: a transaction that takes all the tickets or none, or finds what stands
//! in the way. How often it is tried is the service's to say.

use super::{
    rules::{self, State},
    store::{self, NewOrder, OrderRow},
};
use crate::{
    db::Conn,
    fault::{Fault, FaultResult},
    outbox::{self, EventType},
    tickets::{
        TicketRow,
        holds::{self, Rivals, Wanted},
    },
};
use app::{
    error::{AppError, Conflict},
    ids::{EventId, OrderId, TicketId, UserId},
    orders::Reserve,
};
use sha2::{Digest, Sha256};
use sqlx::{Row, query};
use uuid::Uuid;

/// The most lapsed orders that one reservation tidies up on its way.
const LAPSED_MAX: i64 = 64;
/// How an attempt to reserve ended.
pub(super) enum Attempt {
    /// With an order: a new one, or the one that this attempt had made before.
    Done(Box<OrderRow>),
    /// Orders whose time is over stand in the way: expire them, then try again.
    Lapsed(Vec<OrderId>),
}

/// Why an attempt's transaction wrote nothing.
pub(super) enum Stop {
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
pub(super) struct Attempted {
    pub buyer: UserId,
    pub request: Reserve,
    pub key: Option<String>,
    pub hash: String,
    pub now: i64,
    pub expires_at: i64,
    pub rivals: Rivals,
}

/// What an attempt asks for, so that the same key cannot be used for something else.
pub(super) fn hash(request: &Reserve) -> String {
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
pub(super) async fn attempt_reserve(
    conn: &mut Conn,
    attempted: Attempted,
) -> Result<Attempt, Stop> {
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
    rules::check_total(&attempted.request, total_minor, first.currency)?;
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
            extended: false,
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
