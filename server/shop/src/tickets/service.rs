//! Reads, edits and withdraws tickets. Putting them on sale is in `listing.rs`.

use super::{
    TicketRow,
    listing::{Staging, or_seat_listed},
    offers, rules,
    single_flight::SingleFlight,
    store::{self, Edit, Filter, TicketWithEvent},
};
use crate::{
    accounts::{OperatorStatus, Operators},
    paging::{Page, Position},
};
use async_trait::async_trait;
use model::{
    Moment,
    accounts::Viewer,
    error::{AppError, AppResult, Conflict},
    events::when_until,
    ids::{EventId, TicketId, UserId},
    tickets::{
        EditTicket, ListTicket, Listed, OfferFilter, Offers, OwnedTicket, Ticket, TicketList,
        TicketQuery, TicketStatus, Tickets,
    },
};
use platform::{
    clock::SharedClock,
    db::{Conn, Db},
    fault::{Fault, FaultResult},
    limits::Limits,
    outbox::{self, EventType},
};
use std::sync::Arc;

const GROUPS_MAX: i64 = 200;
const SEATS_READ_MAX: i64 = 1000;
const SEATS_SHOWN_MAX: usize = 100;
const SECTIONS_MAX: i64 = 100;
const OWNED_MAX: i64 = 200;

#[derive(Clone)]
pub struct TicketsService {
    pub(super) db: Db,
    pub(super) clock: SharedClock,
    pub(super) staging: Arc<Staging>,
    pub(super) limits: Arc<Limits>,
    pub(super) listings_per_day: i64,
    offer_reads: Arc<SingleFlight<(EventId, OfferFilter), AppResult<Offers>>>,
    operators: Operators,
}

impl TicketsService {
    /// `listings_per_day` applies to each seller while `limits` are on.
    pub fn new(
        db: Db,
        clock: SharedClock,
        limits: Arc<Limits>,
        listings_per_day: i64,
        operators: Operators,
    ) -> Self {
        Self {
            db,
            clock,
            staging: Arc::default(),
            limits,
            listings_per_day,
            operators,
            offer_reads: Arc::default(),
        }
    }

    async fn list(&self, viewer: Option<&Viewer>, query: TicketQuery) -> FaultResult<TicketList> {
        let page = Page::requested(query.limit, query.cursor.as_deref())?;
        let me = viewer.map(|viewer| viewer.user.id);
        let seller = match query.seller_id.as_deref() {
            None => None,
            Some("me") => Some(me.ok_or(AppError::SignInRequired)?),
            Some(id) => Some(id.parse::<UserId>().map_err(|_| {
                AppError::invalid("sellerId", "Name a seller by their id, or say me.")
            })?),
        };
        let own = seller.is_some() && seller == me;
        if query.status == Some(TicketStatus::Withdrawn) && !own {
            // Withdrawn tickets are visible to their seller only.
            return Ok(TicketList {
                tickets: Vec::new(),
                next: None,
            });
        }
        let filter = Filter {
            event: query.event_id,
            seller,
            status: query.status,
            include_withdrawn: own,
            after: page.after,
            limit: page.rows_to_read(),
        };
        let now = self.clock.now();
        let mut rows = store::list(self.db.reads(), &filter, now).await?;
        let next = page.end(&mut rows, |row| Position {
            number: row.price_minor.get(),
            id: row.id,
        });
        Ok(TicketList {
            tickets: rows.iter().map(|row| row.ticket(now)).collect(),
            next,
        })
    }

    async fn list_offers(&self, event: EventId, filter: OfferFilter) -> FaultResult<Offers> {
        let now = self.clock.now();
        let reads = self.db.reads();
        let groups = store::list_offers(reads, event, &filter, now, GROUPS_MAX).await?;
        let seats = store::list_seats(reads, event, &filter, SEATS_READ_MAX).await?;
        let seats = seats
            .into_iter()
            .map(|seat| (seat.ticket.ticket(now), seat.seller_name))
            .collect();
        let mut seats = match filter.together {
            Some(together) => offers::keep_adjacent_seats(seats, together),
            None => seats,
        };
        let more_seats = seats.len() > SEATS_SHOWN_MAX;
        seats.truncate(SEATS_SHOWN_MAX);
        let sections = store::list_sections(reads, event, SECTIONS_MAX).await?;
        let counts = store::count_by_status(reads, event, now).await?;
        Ok(Offers {
            groups: offers::sort_by_section(groups),
            seats,
            more_seats,
            sections: offers::deduplicate(sections),
            available: counts.available,
            reserved: counts.reserved,
            sold: counts.sold,
            reserved_seconds_left: counts
                .first_hold_ends
                .map(|ends_at| ends_at.seconds_left(now)),
        })
    }

    async fn get(&self, id: TicketId) -> FaultResult<Ticket> {
        let row = store::find(self.db.reads(), id).await?;
        let row = row.ok_or(Fault::Refused(AppError::NotFound))?;
        Ok(row.ticket(self.clock.now()))
    }

    async fn list_bought(&self, owner: UserId) -> FaultResult<Vec<OwnedTicket>> {
        let rows = store::list_bought(self.db.reads(), owner, OWNED_MAX).await?;
        Ok(owned_tickets(rows, self.clock.now()))
    }

    async fn list_refunded(&self, buyer: UserId) -> FaultResult<Vec<OwnedTicket>> {
        let rows = store::list_refunded(self.db.reads(), buyer, OWNED_MAX).await?;
        Ok(owned_tickets(rows, self.clock.now()))
    }

    async fn edit(
        &self,
        seller: UserId,
        id: TicketId,
        request: EditTicket,
        expected: Option<i64>,
    ) -> FaultResult<Ticket> {
        let now = self.clock.now();
        let row = self
            .db
            .write(move |conn| {
                Box::pin(
                    async move { edit_in_txn(conn, seller, id, &request, expected, now).await },
                )
            })
            .await?;
        Ok(row.ticket(now))
    }

    /// Withdraws a listing. Operators may withdraw those of other sellers.
    async fn withdraw(
        &self,
        asker: UserId,
        id: TicketId,
        expected: Option<i64>,
    ) -> FaultResult<()> {
        let (now, operators) = (self.clock.now(), self.operators);
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let seller = seller_to_act_for(conn, operators, asker, id).await?;
                    let row = store::withdraw(conn, id, seller, expected, now).await?;
                    let Some(row) = row else {
                        let found = store::find(&mut *conn, id).await?;
                        return Err(explain_refusal(found, seller, now, || match expected {
                            Some(_) => AppError::PreconditionFailed.into(),
                            None => Conflict::TicketReserved.into(),
                        }));
                    };
                    let event = row.event(EventType::TicketUpdated, now);
                    Ok(outbox::append(conn, now, &[event]).await?)
                })
            })
            .await
    }
}

fn owned_tickets(rows: Vec<TicketWithEvent>, now: Moment) -> Vec<OwnedTicket> {
    rows.into_iter()
        .map(|row| OwnedTicket {
            ticket: row.ticket.ticket(now),
            event_title: row.title,
            event_place: format!("{}, {}", row.venue, row.city),
            event_when: when_until(
                row.starts_at.timestamp(),
                row.ends_at.map(Moment::timestamp),
                &row.time_zone,
            ),
        })
        .collect()
}

async fn edit_in_txn(
    conn: &mut Conn,
    seller: UserId,
    id: TicketId,
    request: &EditTicket,
    expected: Option<i64>,
    now: Moment,
) -> FaultResult<TicketRow> {
    let before = store::find(&mut *conn, id).await?;
    let before = before
        .filter(|before| before.seller_id == seller)
        .ok_or(AppError::NotFound)?;
    if expected.is_some_and(|expected| expected != before.version) {
        return Err(AppError::PreconditionFailed.into());
    }
    let (price_minor, place) = rules::check_edit((before.price_minor, before.place()), request)
        .map_err(AppError::Invalid)?;
    // An unchanged price may predate today's limits. If the ticket cannot be changed at all, that
    // error comes first.
    if price_minor != before.price_minor && before.status(now) == TicketStatus::Available {
        rules::check_price(price_minor, before.currency)
            .map_err(|wrong| AppError::Invalid(vec![wrong]))?;
    }
    if store::is_seat_listed(conn, before.event_id, seller, &place, Some(id)).await? {
        return Err(Conflict::SeatListed.into());
    }
    let edit = Edit {
        id,
        seller,
        version: request.version,
        price_minor,
        place,
    };
    let edited = store::edit(conn, &edit, now).await;
    let Some(row) = edited.map_err(or_seat_listed)? else {
        let found = store::find(&mut *conn, id).await?;
        let version = request.version;
        let current = found.as_ref().map_or(version, |row| row.version);
        return Err(explain_refusal(found, seller, now, || {
            if current == version {
                return Conflict::EventOver.into();
            }
            match expected {
                Some(expected) if expected != current => AppError::PreconditionFailed.into(),
                _ => Conflict::VersionConflict.into(),
            }
        }));
    };
    outbox::append(conn, now, &[row.event(EventType::TicketUpdated, now)]).await?;
    Ok(row)
}

/// The seller that `asker` may act for on this listing: for operators the ticket's seller, otherwise
/// `asker`.
async fn seller_to_act_for(
    conn: &mut Conn,
    operators: Operators,
    asker: UserId,
    id: TicketId,
) -> FaultResult<UserId> {
    let listed_by = store::find(&mut *conn, id).await?;
    let listed_by = listed_by.map_or(asker, |row| row.seller_id);
    if listed_by == asker {
        return Ok(asker);
    }
    match operators.status_of(&mut *conn, asker).await? {
        OperatorStatus::Operator => {}
        OperatorStatus::NotOperator => return Ok(asker),
        OperatorStatus::NeedsSecondFactor => return Err(AppError::SecondFactorSetupRequired.into()),
    }
    tracing::info!(operator = %asker, seller = %listed_by, ticket = %id, "an operator is withdrawing a listing");
    Ok(listed_by)
}

/// Why a conditional update of a listing matched no row: the first reason that applies, or
/// `otherwise`.
fn explain_refusal(
    found: Option<TicketRow>,
    seller: UserId,
    now: Moment,
    otherwise: impl FnOnce() -> Fault,
) -> Fault {
    let Some(row) = found.filter(|row| row.seller_id == seller) else {
        return AppError::NotFound.into();
    };
    match row.status(now) {
        TicketStatus::Sold => Conflict::TicketSold.into(),
        TicketStatus::Withdrawn => Conflict::TicketWithdrawn.into(),
        TicketStatus::Reserved => AppError::Conflict {
            conflict: Conflict::TicketReserved,
            retry_after_seconds: row.reserved_seconds_left(now),
        }
        .into(),
        TicketStatus::Available => otherwise(),
    }
}

#[async_trait]
impl Tickets for TicketsService {
    async fn list(&self, viewer: Option<&Viewer>, query: TicketQuery) -> AppResult<TicketList> {
        Ok(self.list(viewer, query).await?)
    }

    async fn list_offers(&self, event: EventId, filter: OfferFilter) -> AppResult<Offers> {
        let (service, key) = (self.clone(), (event, filter.clone()));
        let read = async move { Ok(service.list_offers(event, filter).await?) };
        self.offer_reads.run(key, read).await
    }

    async fn get(&self, id: TicketId) -> AppResult<Ticket> {
        Ok(self.get(id).await?)
    }

    async fn list_bought(&self, viewer: &Viewer) -> AppResult<Vec<OwnedTicket>> {
        Ok(self.list_bought(viewer.user.id).await?)
    }

    async fn list_refunded(&self, viewer: &Viewer) -> AppResult<Vec<OwnedTicket>> {
        Ok(self.list_refunded(viewer.user.id).await?)
    }

    async fn check_listing(
        &self,
        viewer: &Viewer,
        request: &ListTicket,
        quantity: i64,
    ) -> AppResult<()> {
        Ok(self
            .check_listing(viewer.user.id, request, quantity)
            .await?)
    }

    async fn put_on_sale(
        &self,
        viewer: &Viewer,
        request: ListTicket,
        quantity: i64,
        attempt: Option<&str>,
    ) -> AppResult<Listed> {
        let (seller, attempt) = (viewer.user.id, attempt.map(str::to_owned));
        Ok(self.put_on_sale(seller, request, quantity, attempt).await?)
    }

    async fn edit(
        &self,
        viewer: &Viewer,
        id: TicketId,
        request: EditTicket,
        expected: Option<i64>,
    ) -> AppResult<Ticket> {
        Ok(self.edit(viewer.user.id, id, request, expected).await?)
    }

    async fn withdraw(
        &self,
        viewer: &Viewer,
        id: TicketId,
        expected: Option<i64>,
    ) -> AppResult<()> {
        Ok(self.withdraw(viewer.user.id, id, expected).await?)
    }
}
