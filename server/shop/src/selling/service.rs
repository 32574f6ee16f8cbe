//! A seller's own listings and sales, and changes of many listings at once.

use super::store::{self, DayRow, Filter};
use crate::{
    events, orders,
    tickets::{
        TicketRow,
        bulk::{self, Lot},
        check_positive_price, check_price, check_section,
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
        Changed, Counts, DaySales, GroupQuery, PriceComparison, Reprice, Sale, SaleGroup,
        SaleGroups, SalesByDay, Selling, UnsoldSection, WithdrawUnsold,
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

/// Events per page.
const GROUPS_MAX: i64 = 10;
const PAGE_MAX: i64 = 10_000;
const SECTIONS_MAX: i64 = 100;
/// Sales returned by one call.
const SALES_MAX: i64 = 1000;
/// Days of sales by day, including today.
const DAYS: i64 = 30;

#[derive(Clone)]
pub struct SellingService {
    db: Db,
    clock: SharedClock,
}

impl SellingService {
    pub(crate) fn new(db: Db, clock: SharedClock) -> Self {
        Self { db, clock }
    }

    async fn list_groups(&self, seller: UserId, query: GroupQuery) -> FaultResult<SaleGroups> {
        let page = query.page.unwrap_or(1);
        if !(1..=PAGE_MAX).contains(&page) {
            return Err(AppError::invalid("page", "Ask for page 1 or a later one.").into());
        }
        let filter = Filter {
            event: None,
            status: query.status,
            limit: GROUPS_MAX + 1,
            offset: (page - 1) * GROUPS_MAX,
        };
        let now = self.clock.now();
        let mut groups = store::list_groups(self.db.reads(), seller, filter, now).await?;
        let more = i64::try_from(groups.len()).is_ok_and(|found| found > GROUPS_MAX);
        if more {
            groups.pop();
        }
        Ok(SaleGroups { groups, more })
    }

    async fn get_group(&self, seller: UserId, event: EventId) -> FaultResult<SaleGroup> {
        let filter = Filter {
            event: Some(event),
            status: None,
            limit: 1,
            offset: 0,
        };
        let now = self.clock.now();
        let groups = store::list_groups(self.db.reads(), seller, filter, now).await?;
        let group = groups.into_iter().next();
        group.ok_or(Fault::Refused(AppError::NotFound))
    }

    async fn reprice(&self, lot: Lot, price_minor: MinorUnits) -> FaultResult<Changed> {
        let invalid = |wrong| Fault::Refused(AppError::Invalid(vec![wrong]));
        check_positive_price(price_minor).map_err(invalid)?;
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let event = find_lot_event(conn, &lot).await?;
                    check_price(price_minor, event.what.currency).map_err(invalid)?;
                    let rows = bulk::reprice(conn, &lot, price_minor, now).await?;
                    if rows.is_empty() && !event.what.is_on_sale(now) {
                        return Err(Conflict::EventOver.into());
                    }
                    let held = bulk::count_held(conn, &lot, Some(price_minor), now).await?;
                    append_events(conn, &rows, held, now).await
                })
            })
            .await
    }

    async fn withdraw_unsold(&self, lot: Lot) -> FaultResult<Changed> {
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    find_lot_event(conn, &lot).await?;
                    let rows = bulk::withdraw_unsold(conn, &lot, now).await?;
                    let held = bulk::count_held(conn, &lot, None, now).await?;
                    append_events(conn, &rows, held, now).await
                })
            })
            .await
    }

    async fn find_orders(
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

    async fn list_sales_by_day(&self, seller: UserId) -> FaultResult<SalesByDay> {
        let to = day_of(self.clock.now());
        let from = to.saturating_sub(SignedDuration::from_hours(24 * (DAYS - 1)));
        let since = from
            .to_zoned(TimeZone::UTC)
            .map_err(|error| {
                Fault::unexpected("the start of the sales period is out of range", error)
            })?
            .timestamp();
        let rows = store::list_sales_by_day(self.db.reads(), seller, since.into()).await?;
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

/// The event of a lot. Errors: `NotFound` if the seller has listed nothing for it.
async fn find_lot_event(conn: &mut Conn, lot: &Lot) -> FaultResult<events::store::EventRow> {
    if !store::has_listed(conn, lot.seller, lot.event).await? {
        return Err(AppError::NotFound.into());
    }
    let event = events::store::find(&mut *conn, lot.event).await?;
    Ok(event.ok_or(AppError::NotFound)?)
}

/// Appends an event for each changed row.
async fn append_events(
    conn: &mut Conn,
    rows: &[TicketRow],
    held: i64,
    now: Moment,
) -> FaultResult<Changed> {
    let events: Vec<DomainEvent> = rows
        .iter()
        .map(|row| row.event(EventType::TicketUpdated, now))
        .collect();
    outbox::append(conn, now, &events).await?;
    let changed = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    Ok(Changed { changed, held })
}

#[async_trait]
impl Selling for SellingService {
    async fn count_tickets(&self, viewer: &Viewer) -> AppResult<Counts> {
        let now = self.clock.now();
        let counts = store::count_tickets(self.db.reads(), viewer.user.id, now).await;
        Ok(counts.map_err(Fault::from)?)
    }

    async fn list_groups(&self, viewer: &Viewer, query: GroupQuery) -> AppResult<SaleGroups> {
        Ok(self.list_groups(viewer.user.id, query).await?)
    }

    async fn get_group(&self, viewer: &Viewer, event: EventId) -> AppResult<SaleGroup> {
        Ok(self.get_group(viewer.user.id, event).await?)
    }

    async fn list_unsold_sections(
        &self,
        viewer: &Viewer,
        event: EventId,
    ) -> AppResult<Vec<UnsoldSection>> {
        let (reads, seller) = (self.db.reads(), viewer.user.id);
        let sections = store::list_unsold_sections(reads, seller, event, SECTIONS_MAX).await;
        Ok(sections.map_err(Fault::from)?)
    }

    async fn compare_prices(
        &self,
        viewer: &Viewer,
        event: EventId,
        section: &str,
    ) -> AppResult<PriceComparison> {
        let (reads, now) = (self.db.reads(), self.clock.now());
        let comparison = store::compare_prices(reads, viewer.user.id, event, section, now).await;
        Ok(comparison.map_err(Fault::from)?)
    }

    async fn reprice(&self, viewer: &Viewer, request: Reprice) -> AppResult<Changed> {
        let lot = lot_of(viewer, request.event_id, request.section)?;
        Ok(self
            .reprice(lot, MinorUnits::new(request.price_minor))
            .await?)
    }

    async fn withdraw_unsold(
        &self,
        viewer: &Viewer,
        request: WithdrawUnsold,
    ) -> AppResult<Changed> {
        let lot = lot_of(viewer, request.event_id, request.section)?;
        Ok(self.withdraw_unsold(lot).await?)
    }

    async fn list_sales_by_day(&self, viewer: &Viewer) -> AppResult<SalesByDay> {
        Ok(self.list_sales_by_day(viewer.user.id).await?)
    }

    async fn find_orders(
        &self,
        viewer: &Viewer,
        tickets: &[Ticket],
    ) -> AppResult<HashMap<TicketId, OrderId>> {
        Ok(self.find_orders(viewer.user.id, tickets).await?)
    }

    async fn list_sales(&self, viewer: &Viewer, after: Option<&Sale>) -> AppResult<Vec<Sale>> {
        let (reads, seller) = (self.db.reads(), viewer.user.id);
        let sales = store::list_sales(reads, seller, after, SALES_MAX).await;
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
