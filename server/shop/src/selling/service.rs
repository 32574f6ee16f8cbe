//! What a seller sees, and changes of many listings at once.

use super::store::{self, DayRow, Filter};
use crate::{
    events, orders,
    tickets::{
        TicketRow,
        bulk::{self, Lot},
        check_section, price_is_positive, price_is_possible,
    },
};
use async_trait::async_trait;
use jiff::{SignedDuration, civil::Date, tz::TimeZone};
use model::{
    Moment,
    accounts::Viewer,
    error::{AppError, AppResult, Conflict},
    ids::{EventId, OrderId, TicketId, UserId},
    money::MinorUnits,
    selling::{
        Changed, Comparable, Counts, DaySales, GroupQuery, Reprice, Sale, SaleGroup, SaleGroups,
        SalesByDay, Selling, TakeBack, UnsoldSection,
    },
    tickets::{Ticket, TicketStatus},
};
use platform::{
    clock::SharedClock,
    db::{Conn, Db},
    fault::{Fault, FaultResult},
    outbox::{self, DomainEvent, EventType},
};
use std::collections::HashMap;

/// Events on a page.
const GROUPS_MAX: i64 = 10;
/// The last page that anybody may ask for.
const PAGE_MAX: i64 = 10_000;
const SECTIONS_MAX: i64 = 100;
/// Sales at a time.
const SALES_MAX: i64 = 1000;
/// Days that are looked back, today with them.
const DAYS: i64 = 30;

/// The rules of selling.
#[derive(Clone)]
pub struct SellingService {
    db: Db,
    clock: SharedClock,
}

impl SellingService {
    /// Selling over `db`.
    pub(crate) fn new(db: Db, clock: SharedClock) -> Self {
        Self { db, clock }
    }

    async fn page(&self, seller: UserId, asked: GroupQuery) -> FaultResult<SaleGroups> {
        let page = asked.page.unwrap_or(1);
        if !(1..=PAGE_MAX).contains(&page) {
            return Err(AppError::invalid("page", "Ask for page 1 or a later one.").into());
        }
        let filter = Filter {
            event: None,
            status: asked.status,
            limit: GROUPS_MAX + 1,
            offset: (page - 1) * GROUPS_MAX,
        };
        let now = self.clock.now();
        let mut groups = store::groups(self.db.reads(), seller, filter, now).await?;
        let more = i64::try_from(groups.len()).is_ok_and(|found| found > GROUPS_MAX);
        if more {
            groups.pop();
        }
        Ok(SaleGroups { groups, more })
    }

    async fn one(&self, seller: UserId, event: EventId) -> FaultResult<SaleGroup> {
        let filter = Filter {
            event: Some(event),
            status: None,
            limit: 1,
            offset: 0,
        };
        let now = self.clock.now();
        let groups = store::groups(self.db.reads(), seller, filter, now).await?;
        let group = groups.into_iter().next();
        group.ok_or(Fault::Refused(AppError::NotFound))
    }

    async fn reprice_lot(&self, lot: Lot, price_minor: MinorUnits) -> FaultResult<Changed> {
        let invalid = |wrong| Fault::Refused(AppError::Invalid(vec![wrong]));
        price_is_positive(price_minor).map_err(invalid)?;
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let event = known_event(conn, &lot).await?;
                    price_is_possible(price_minor, event.what.currency).map_err(invalid)?;
                    let rows = bulk::lot_reprice(conn, &lot, price_minor, now).await?;
                    if rows.is_empty() && !event.what.is_on_sale(now) {
                        return Err(Conflict::EventOver.into());
                    }
                    let held = bulk::lot_held(conn, &lot, Some(price_minor), now).await?;
                    tell(conn, &rows, held, now).await
                })
            })
            .await
    }

    async fn withdraw_lot(&self, lot: Lot) -> FaultResult<Changed> {
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    known_event(conn, &lot).await?;
                    let rows = bulk::lot_withdraw(conn, &lot, now).await?;
                    let held = bulk::lot_held(conn, &lot, None, now).await?;
                    tell(conn, &rows, held, now).await
                })
            })
            .await
    }

    async fn orders_of(
        &self,
        seller: UserId,
        tickets: &[Ticket],
    ) -> FaultResult<HashMap<TicketId, OrderId>> {
        let sold = tickets
            .iter()
            .filter(|ticket| ticket.status == TicketStatus::Sold);
        let sold: Vec<_> = sold.map(|ticket| ticket.id).collect();
        if sold.is_empty() {
            return Ok(HashMap::new());
        }
        let mut conn = self.db.reads().acquire().await?;
        let found = orders::store::list_live_orders(&mut conn, &sold).await?;
        let own = found.into_iter().filter(|found| found.seller == seller);
        Ok(own
            .filter_map(|found| Some((found.ticket, found.order?)))
            .collect())
    }

    async fn days(&self, seller: UserId) -> FaultResult<SalesByDay> {
        let to = day_of(self.clock.now());
        let from = to.saturating_sub(SignedDuration::from_hours(24 * (DAYS - 1)));
        let since = from
            .to_zoned(TimeZone::UTC)
            .map_err(|error| Fault::unexpected("a day that is too far away", error))?
            .timestamp();
        let rows = store::sales_by_day(self.db.reads(), seller, since.into()).await?;
        let days = rows.into_iter().map(DaySales::from).collect();
        Ok(SalesByDay { from, to, days })
    }
}

fn day_of(moment: Moment) -> Date {
    moment.timestamp().to_zoned(TimeZone::UTC).date()
}

impl From<DayRow> for DaySales {
    fn from(row: DayRow) -> Self {
        Self {
            day: day_of(Moment::from_seconds(row.day.saturating_mul(24 * 3600))),
            tickets: row.tickets,
            revenue_minor: row.revenue.get(),
            currency: row.currency,
        }
    }
}

/// The event of a lot. Errors: `NotFound` where the seller has listed nothing for it.
async fn known_event(conn: &mut Conn, lot: &Lot) -> FaultResult<events::store::EventRow> {
    if !store::has_listed(conn, lot.seller, lot.event).await? {
        return Err(AppError::NotFound.into());
    }
    let event = events::store::find(&mut *conn, lot.event).await?;
    Ok(event.ok_or(AppError::NotFound)?)
}

/// Writes down what was changed.
async fn tell(conn: &mut Conn, rows: &[TicketRow], held: i64, now: Moment) -> FaultResult<Changed> {
    let told: Vec<DomainEvent> = rows
        .iter()
        .map(|row| row.event(EventType::TicketUpdated, now))
        .collect();
    outbox::append(conn, now, &told).await?;
    let changed = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    Ok(Changed { changed, held })
}

#[async_trait]
impl Selling for SellingService {
    async fn totals(&self, viewer: &Viewer) -> AppResult<Counts> {
        let now = self.clock.now();
        let counts = store::seller_counts(self.db.reads(), viewer.user.id, now).await;
        Ok(counts.map_err(Fault::from)?)
    }

    async fn groups(&self, viewer: &Viewer, query: GroupQuery) -> AppResult<SaleGroups> {
        Ok(self.page(viewer.user.id, query).await?)
    }

    async fn group(&self, viewer: &Viewer, event: EventId) -> AppResult<SaleGroup> {
        Ok(self.one(viewer.user.id, event).await?)
    }

    async fn unsold(&self, viewer: &Viewer, event: EventId) -> AppResult<Vec<UnsoldSection>> {
        let found = store::unsold(self.db.reads(), viewer.user.id, event, SECTIONS_MAX).await;
        Ok(found.map_err(Fault::from)?)
    }

    async fn comparable(
        &self,
        viewer: &Viewer,
        event: EventId,
        section: &str,
    ) -> AppResult<Comparable> {
        let now = self.clock.now();
        let seller = viewer.user.id;
        let found = store::comparable(self.db.reads(), seller, event, section, now).await;
        Ok(found.map_err(Fault::from)?)
    }

    async fn reprice(&self, viewer: &Viewer, request: Reprice) -> AppResult<Changed> {
        let lot = lot_of(viewer, request.event_id, request.section)?;
        Ok(self
            .reprice_lot(lot, MinorUnits::new(request.price_minor))
            .await?)
    }

    async fn take_back(&self, viewer: &Viewer, request: TakeBack) -> AppResult<Changed> {
        let lot = lot_of(viewer, request.event_id, request.section)?;
        Ok(self.withdraw_lot(lot).await?)
    }

    async fn by_day(&self, viewer: &Viewer) -> AppResult<SalesByDay> {
        Ok(self.days(viewer.user.id).await?)
    }

    async fn bought_in(
        &self,
        viewer: &Viewer,
        tickets: &[Ticket],
    ) -> AppResult<HashMap<TicketId, OrderId>> {
        Ok(self.orders_of(viewer.user.id, tickets).await?)
    }

    async fn sales(&self, viewer: &Viewer, after: Option<&Sale>) -> AppResult<Vec<Sale>> {
        let seller = viewer.user.id;
        let sales = store::sales_after(self.db.reads(), seller, after, SALES_MAX).await;
        Ok(sales.map_err(Fault::from)?)
    }
}

fn lot_of(viewer: &Viewer, event: EventId, section: Option<String>) -> AppResult<Lot> {
    check_section(section.as_deref()).map_err(|wrong| AppError::Invalid(vec![wrong]))?;
    Ok(Lot {
        seller: viewer.user.id,
        event,
        section,
    })
}
