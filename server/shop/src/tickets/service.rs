//! Browsing, editing and withdrawing tickets. Listing them is in `listing.rs`.

use super::{
    TicketRow, choosing,
    coalesce::Coalesce,
    listing::{Staging, or_seat_listed},
    rules,
    store::{self, Edit, Filter, Shelf},
};
use crate::accounts::{OperatorStatus, Operators};
use async_trait::async_trait;
use model::{
    Moment,
    accounts::Viewer,
    error::{AppError, AppResult, Conflict},
    events::when_until,
    ids::{EventId, TicketId, UserId},
    money::MinorUnits,
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

const LIMIT_DEFAULT: i64 = 20;
const LIMIT_MAX: i64 = 100;
const GROUPS_MAX: i64 = 200;
const SEATS_READ_MAX: i64 = 1000;
const SEATS_SHOWN_MAX: usize = 100;
const SECTIONS_MAX: i64 = 100;
const SHELF_MAX: i64 = 200;

/// The rules of listings.
#[derive(Clone)]
pub struct TicketsService {
    pub(super) db: Db,
    pub(super) clock: SharedClock,
    pub(super) staging: Arc<Staging>,
    pub(super) limits: Arc<Limits>,
    pub(super) listings_per_day: i64,
    looks: Arc<Coalesce<(EventId, OfferFilter), AppResult<Offers>>>,
    operators: Operators,
}

impl TicketsService {
    /// Tickets over `db`, of which each seller may list so many a day while `limits` are on.
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
            looks: Arc::default(),
        }
    }

    async fn page(&self, viewer: Option<&Viewer>, asked: TicketQuery) -> FaultResult<TicketList> {
        let limit = asked.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(AppError::invalid("limit", "Ask for 1 to 100.").into());
        }
        let me = viewer.map(|viewer| viewer.user.id);
        let seller = match asked.seller_id.as_deref() {
            None => None,
            Some("me") => Some(me.ok_or(AppError::SignInRequired)?),
            Some(id) => Some(id.parse::<UserId>().map_err(|_| {
                AppError::invalid("sellerId", "Name a seller by their id, or say me.")
            })?),
        };
        let own = seller.is_some() && seller == me;
        if asked.status == Some(TicketStatus::Withdrawn) && !own {
            // Others are not shown what a seller has taken back.
            return Ok(TicketList {
                tickets: Vec::new(),
                next: None,
            });
        }
        let filter = Filter {
            event: asked.event_id,
            seller,
            status: asked.status,
            withdrawn: own,
            behind: asked.cursor.as_deref().map(read_cursor).transpose()?,
            limit: limit + 1,
        };
        let now = self.clock.now();
        let mut rows = store::tickets_page(self.db.reads(), &filter, now).await?;
        let more = i64::try_from(rows.len()).is_ok_and(|found| found > limit);
        if more {
            rows.pop();
        }
        let next = rows
            .last()
            .filter(|_| more)
            .map(|row| format!("{}_{}", row.price_minor, row.id));
        Ok(TicketList {
            tickets: rows.iter().map(|row| row.ticket(now)).collect(),
            next,
        })
    }

    async fn on_sale(&self, event: EventId, filter: OfferFilter) -> FaultResult<Offers> {
        let now = self.clock.now();
        let reads = self.db.reads();
        let groups = store::offers_grouped(reads, event, &filter, now, GROUPS_MAX).await?;
        let seats = store::seats_on_sale(reads, event, &filter, SEATS_READ_MAX).await?;
        let seats = seats
            .into_iter()
            .map(|seat| (seat.ticket.ticket(now), seat.seller_name))
            .collect();
        let mut seats = match filter.together {
            Some(together) => choosing::neighbours(seats, together),
            None => seats,
        };
        let more_seats = seats.len() > SEATS_SHOWN_MAX;
        seats.truncate(SEATS_SHOWN_MAX);
        let sections = store::sections_on_sale(reads, event, SECTIONS_MAX).await?;
        let counts = store::event_counts(reads, event, now).await?;
        Ok(Offers {
            groups: choosing::by_section(groups),
            seats,
            more_seats,
            sections: choosing::once_each(sections),
            available: counts.available,
            reserved: counts.reserved,
            sold: counts.sold,
            reserved_seconds_left: counts
                .first_hold_ends
                .map(|ends_at| ends_at.seconds_left(now)),
        })
    }

    async fn one(&self, id: TicketId) -> FaultResult<Ticket> {
        let row = store::ticket_find(self.db.reads(), id).await?;
        let row = row.ok_or(Fault::Refused(AppError::NotFound))?;
        Ok(row.ticket(self.clock.now()))
    }

    async fn on_shelf(&self, shelf: Shelf) -> FaultResult<Vec<OwnedTicket>> {
        let now = self.clock.now();
        let rows = store::shelf(self.db.reads(), shelf, SHELF_MAX).await?;
        Ok(rows
            .into_iter()
            .map(|shelved| OwnedTicket {
                ticket: shelved.ticket.ticket(now),
                event_title: shelved.title,
                event_place: format!("{}, {}", shelved.venue, shelved.city),
                event_when: when_until(
                    shelved.starts_at.timestamp(),
                    shelved.ends_at.map(Moment::timestamp),
                    &shelved.time_zone,
                ),
            })
            .collect())
    }

    async fn edit_own(
        &self,
        seller: UserId,
        id: TicketId,
        request: EditTicket,
    ) -> FaultResult<Ticket> {
        let now = self.clock.now();
        let row = self
            .db
            .write(move |conn| {
                Box::pin(async move { edit_listing(conn, seller, id, &request, now).await })
            })
            .await?;
        Ok(row.ticket(now))
    }

    /// Takes a listing off sale: the seller's own, or for an operator anybody's.
    async fn withdraw_listing(
        &self,
        asker: UserId,
        id: TicketId,
        expected: Option<i64>,
    ) -> FaultResult<()> {
        let (now, operators) = (self.clock.now(), self.operators);
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let seller = whose_listing(conn, operators, asker, id).await?;
                    let row = store::ticket_withdraw(conn, id, seller, expected, now).await?;
                    let Some(row) = row else {
                        let found = store::ticket_find(&mut *conn, id).await?;
                        return Err(why_not(found, seller, now, || match expected {
                            Some(_) => AppError::PreconditionFailed.into(),
                            None => Conflict::TicketReserved.into(),
                        }));
                    };
                    let told = [row.event(EventType::TicketUpdated, now)];
                    Ok(outbox::append(conn, now, &told).await?)
                })
            })
            .await
    }
}

async fn edit_listing(
    conn: &mut Conn,
    seller: UserId,
    id: TicketId,
    request: &EditTicket,
    now: Moment,
) -> FaultResult<TicketRow> {
    let before = store::ticket_find(&mut *conn, id).await?;
    let before = before
        .filter(|before| before.seller_id == seller)
        .ok_or(AppError::NotFound)?;
    let (price_minor, place) = rules::check_edit((before.price_minor, before.place()), request)
        .map_err(AppError::Invalid)?;
    // A listing from before today's rules keeps the price that it has; and who may not change it at
    // all hears that first.
    if price_minor != before.price_minor && before.status(now) == TicketStatus::Available {
        rules::price_is_possible(price_minor, before.currency)
            .map_err(|wrong| AppError::Invalid(vec![wrong]))?;
    }
    if store::seat_is_listed(conn, before.event_id, seller, &place, Some(id)).await? {
        return Err(Conflict::SeatListed.into());
    }
    let edit = Edit {
        id,
        seller,
        version: request.version,
        price_minor,
        place,
    };
    let edited = store::ticket_edit(conn, &edit, now).await;
    let Some(row) = edited.map_err(or_seat_listed)? else {
        let found = store::ticket_find(&mut *conn, id).await?;
        let version = request.version;
        return Err(why_not(found.clone(), seller, now, || {
            if found.is_some_and(|row| row.version != version) {
                Conflict::VersionConflict.into()
            } else {
                Conflict::EventOver.into()
            }
        }));
    };
    outbox::append(conn, now, &[row.event(EventType::TicketUpdated, now)]).await?;
    Ok(row)
}

/// In whose name `asker` changes this listing: an operator in its seller's, everybody else in their own.
async fn whose_listing(
    conn: &mut Conn,
    operators: Operators,
    asker: UserId,
    id: TicketId,
) -> FaultResult<UserId> {
    let listed_by = store::ticket_find(&mut *conn, id).await?;
    let listed_by = listed_by.map_or(asker, |row| row.seller_id);
    if listed_by == asker {
        return Ok(asker);
    }
    match operators.status_of(&mut *conn, asker).await? {
        OperatorStatus::Operator => {}
        OperatorStatus::NotOperator => return Ok(asker),
        OperatorStatus::NeedsSecondFactor => return Err(AppError::SecondFactorSetupRequired.into()),
    }
    tracing::info!(operator = %asker, seller = %listed_by, ticket = %id, "an operator withdraws a listing");
    Ok(listed_by)
}

/// The losing side of a change to a listing: the first reason that holds, or `otherwise`.
fn why_not(
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

/// Price and id: where a page ended.
fn read_cursor(cursor: &str) -> Result<(MinorUnits, TicketId), AppError> {
    cursor
        .split_once('_')
        .and_then(|(price, id)| Some((MinorUnits::new(price.parse().ok()?), id.parse().ok()?)))
        .ok_or_else(|| AppError::invalid("cursor", "This isn't a cursor from here."))
}

#[async_trait]
impl Tickets for TicketsService {
    async fn list(&self, viewer: Option<&Viewer>, query: TicketQuery) -> AppResult<TicketList> {
        Ok(self.page(viewer, query).await?)
    }

    async fn offers_like(&self, event: EventId, filter: OfferFilter) -> AppResult<Offers> {
        let (service, like) = (self.clone(), filter.clone());
        let look = async move { Ok(service.on_sale(event, like).await?) };
        self.looks.look((event, filter), look).await
    }

    async fn get(&self, id: TicketId) -> AppResult<Ticket> {
        Ok(self.one(id).await?)
    }

    async fn bought_by(&self, viewer: &Viewer) -> AppResult<Vec<OwnedTicket>> {
        Ok(self.on_shelf(Shelf::BoughtBy(viewer.user.id)).await?)
    }

    async fn paid_back_to(&self, viewer: &Viewer) -> AppResult<Vec<OwnedTicket>> {
        Ok(self.on_shelf(Shelf::PaidBackTo(viewer.user.id)).await?)
    }

    async fn check(&self, viewer: &Viewer, request: &ListTicket, quantity: i64) -> AppResult<()> {
        Ok(self.look_over(viewer.user.id, request, quantity).await?)
    }

    async fn put_on_sale(
        &self,
        viewer: &Viewer,
        request: ListTicket,
        quantity: i64,
        attempt: Option<&str>,
    ) -> AppResult<Listed> {
        let attempt = attempt.map(str::to_owned);
        Ok(self
            .sell(viewer.user.id, request, quantity, attempt)
            .await?)
    }

    async fn edit(&self, viewer: &Viewer, id: TicketId, request: EditTicket) -> AppResult<Ticket> {
        Ok(self.edit_own(viewer.user.id, id, request).await?)
    }

    async fn withdraw(
        &self,
        viewer: &Viewer,
        id: TicketId,
        expected: Option<i64>,
    ) -> AppResult<()> {
        Ok(self.withdraw_listing(viewer.user.id, id, expected).await?)
    }
}
