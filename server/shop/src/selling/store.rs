//! The SQL of a seller's listings and sales. Only reads.

use crate::{
    events::span::on_sale,
    refunds,
    tickets::{batches::PUBLISHED, store::TALLY},
};
use model::{
    Moment,
    ids::{EventId, OrderId, TicketId, UserId},
    money::{Currency, MinorUnits},
    refunds::RefundStatus,
    selling::{Counts, PriceComparison, Sale, SaleGroup, SaleStatus, UnsoldSection, payout},
    tickets::TicketStatus,
};
use platform::db::{Conn, Flag};
use sqlx::{AnyExecutor, AssertSqlSafe, query, query_as};
use sqlx_macros::FromRow;

/// The columns of [`TALLY`].
#[derive(FromRow)]
struct CountsRow {
    available: i64,
    reserved: i64,
    sold: i64,
    withdrawn: i64,
}

impl From<CountsRow> for Counts {
    fn from(row: CountsRow) -> Self {
        Self {
            available: row.available,
            reserved: row.reserved,
            sold: row.sold,
            withdrawn: row.withdrawn,
        }
    }
}

pub(crate) async fn count_tickets<'e>(
    on: impl AnyExecutor<'e>,
    seller: UserId,
    now: Moment,
) -> Result<Counts, sqlx::Error> {
    let sql = format!("SELECT {TALLY} FROM tickets WHERE seller_id = $1 AND {PUBLISHED}");
    let counts: CountsRow = query_as(AssertSqlSafe(sql))
        .bind(seller)
        .bind(now)
        .fetch_one(on)
        .await?;
    Ok(counts.into())
}

/// Which of a seller's events to list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filter {
    pub event: Option<EventId>,
    /// Only events with a ticket of this status.
    pub status: Option<TicketStatus>,
    pub limit: i64,
    pub offset: i64,
}

/// A seller's tickets by event: events still on sale, soonest first, then past ones, latest first.
pub(crate) async fn list_groups<'e>(
    on: impl AnyExecutor<'e>,
    seller: UserId,
    filter: Filter,
    now: Moment,
) -> Result<Vec<SaleGroup>, sqlx::Error> {
    let of_event = match filter.event {
        Some(_) => "event_id = $3",
        None => "$3 IS NULL",
    };
    let has_status = match filter.status {
        None => "1 = 1",
        Some(TicketStatus::Available) => "g.available > 0",
        Some(TicketStatus::Reserved) => "g.reserved > 0",
        Some(TicketStatus::Sold) => "g.sold > 0",
        Some(TicketStatus::Withdrawn) => "g.withdrawn > 0",
    };
    let sql = format!(
        "SELECT e.id, e.title, e.venue, e.city, e.starts_at, e.ends_at, e.time_zone, e.currency, \
         CAST(CASE WHEN e.creator_id = $1 THEN 1 ELSE 0 END AS BIGINT) AS created, \
         g.available, g.reserved, g.sold, g.withdrawn, g.revenue \
         FROM (SELECT event_id, {TALLY}, \
           COALESCE(CAST(SUM(CASE WHEN state = 'sold' THEN price_minor ELSE 0 END) AS BIGINT), 0) \
           AS revenue FROM tickets WHERE seller_id = $1 AND {of_event} AND {PUBLISHED} \
           GROUP BY event_id) g \
         JOIN events e ON e.id = g.event_id WHERE {has_status} \
         ORDER BY CASE WHEN {} THEN 0 ELSE 1 END, ABS(e.starts_at - $2), e.id \
         LIMIT $4 OFFSET $5",
        on_sale!("e", "$2")
    );
    let groups: Vec<GroupRow> = query_as(AssertSqlSafe(sql))
        .bind(seller)
        .bind(now)
        .bind(filter.event)
        .bind(filter.limit)
        .bind(filter.offset)
        .fetch_all(on)
        .await?;
    Ok(groups.into_iter().map(SaleGroup::from).collect())
}

#[derive(FromRow)]
struct GroupRow {
    id: EventId,
    title: String,
    venue: String,
    city: String,
    starts_at: Moment,
    ends_at: Option<Moment>,
    time_zone: String,
    currency: Currency,
    created: Flag,
    #[sqlx(flatten)]
    counts: CountsRow,
    revenue: MinorUnits,
}

impl From<GroupRow> for SaleGroup {
    fn from(row: GroupRow) -> Self {
        Self {
            event_id: row.id,
            title: row.title,
            place: format!("{}, {}", row.venue, row.city),
            starts_at: row.starts_at.timestamp(),
            ends_at: row.ends_at.map(Moment::timestamp),
            time_zone: row.time_zone,
            created: row.created.0,
            counts: row.counts.into(),
            revenue_minor: row.revenue.get(),
            currency: row.currency,
        }
    }
}

/// Whether this seller has ever listed a ticket for this event.
pub(crate) async fn has_listed(
    conn: &mut Conn,
    seller: UserId,
    event: EventId,
) -> Result<bool, sqlx::Error> {
    let row = query("SELECT 1 FROM tickets WHERE seller_id = $1 AND event_id = $2 LIMIT 1")
        .bind(seller)
        .bind(event)
        .fetch_optional(conn)
        .await?;
    Ok(row.is_some())
}

/// The number of a seller's unsold tickets for an event, by section.
pub(crate) async fn list_unsold_sections<'e>(
    on: impl AnyExecutor<'e>,
    seller: UserId,
    event: EventId,
    limit: i64,
) -> Result<Vec<UnsoldSection>, sqlx::Error> {
    let sql = format!(
        "SELECT COALESCE(section, '') AS name, COUNT(*) AS unsold FROM tickets \
         WHERE seller_id = $1 AND event_id = $2 AND state = 'listed' AND {PUBLISHED} \
         GROUP BY COALESCE(section, '') ORDER BY COALESCE(section, '') LIMIT $3"
    );
    let sections = query_as::<_, (String, i64)>(AssertSqlSafe(sql))
        .bind(seller)
        .bind(event)
        .bind(limit)
        .fetch_all(on)
        .await?;
    Ok(sections
        .into_iter()
        .map(|(section, unsold)| UnsoldSection { section, unsold })
        .collect())
}

/// The number and lowest prices of other sellers' available tickets for an event, also in one section.
pub(crate) async fn compare_prices<'e>(
    on: impl AnyExecutor<'e>,
    seller: UserId,
    event: EventId,
    section: &str,
    now: Moment,
) -> Result<PriceComparison, sqlx::Error> {
    let sql = format!(
        "SELECT COUNT(*) AS available, MIN(price_minor) AS cheapest, \
         MIN(CASE WHEN LOWER(COALESCE(section, '')) = LOWER($3) THEN price_minor END) \
         AS cheapest_in_section \
         FROM tickets WHERE event_id = $1 AND seller_id <> $2 AND state = 'listed' \
         AND held_until <= $4 AND {PUBLISHED}"
    );
    let (available, cheapest, cheapest_in_section) =
        query_as::<_, (i64, Option<MinorUnits>, Option<MinorUnits>)>(AssertSqlSafe(sql))
            .bind(event)
            .bind(seller)
            .bind(section.to_owned())
            .bind(now)
            .fetch_one(on)
            .await?;
    Ok(PriceComparison {
        available,
        cheapest_minor: cheapest.map(MinorUnits::get),
        cheapest_in_section_minor: cheapest_in_section.map(MinorUnits::get),
    })
}

/// A seller's sales: the time is from the ledger, tickets and prices are from order lines.
const SALES: &str = "FROM ledger b JOIN payments p ON p.id = b.payment_id \
     JOIN order_lines l ON l.order_id = p.order_id \
     JOIN tickets t ON t.id = l.ticket_id AND t.seller_id = b.seller_id \
     LEFT JOIN refund_lines x ON x.order_id = l.order_id AND x.ticket_id = l.ticket_id AND x.live = 1 \
     LEFT JOIN refunds r ON r.id = x.refund_id";

/// The sales of one day in one currency.
#[derive(Debug, Clone, Copy, FromRow)]
pub(crate) struct DayRow {
    /// Days since 1970, UTC.
    pub day: i64,
    pub tickets: i64,
    pub revenue: MinorUnits,
    pub currency: Currency,
}

/// A seller's sales since then by day and currency, without refunded ones.
pub(crate) async fn list_sales_by_day<'e>(
    on: impl AnyExecutor<'e>,
    seller: UserId,
    since: Moment,
) -> Result<Vec<DayRow>, sqlx::Error> {
    let sql = format!(
        "SELECT b.created_at / 86400000000 AS day, COUNT(*) AS tickets, \
         CAST(SUM(l.price_minor) AS BIGINT) AS revenue, b.currency AS currency {SALES} \
         WHERE b.seller_id = $1 AND b.kind = 'capture' AND b.created_at >= $2 \
         AND (r.state IS NULL OR r.state <> 'succeeded') \
         GROUP BY b.created_at / 86400000000, b.currency \
         ORDER BY b.created_at / 86400000000, b.currency"
    );
    query_as(AssertSqlSafe(sql))
        .bind(seller)
        .bind(since)
        .fetch_all(on)
        .await
}

/// The sales after this one, oldest first.
pub(crate) async fn list_sales<'e>(
    on: impl AnyExecutor<'e>,
    seller: UserId,
    after: Option<&Sale>,
    limit: i64,
) -> Result<Vec<Sale>, sqlx::Error> {
    let sql = format!(
        "SELECT l.ticket_id, l.order_id, l.price_minor, b.currency, b.created_at, t.section, \
         t.row_label, t.seat, r.state AS refund_state, r.settled_at, \
         (SELECT e.title FROM events e WHERE e.id = t.event_id) AS title {SALES} \
         WHERE b.seller_id = $1 AND b.kind = 'capture' AND b.created_at >= $2 \
         AND (b.created_at > $2 OR (l.ticket_id > $3 OR (l.ticket_id = $3 AND l.order_id > $4))) \
         ORDER BY b.created_at, l.ticket_id, l.order_id LIMIT $5"
    );
    let start = (Moment::EPOCH, String::new(), String::new());
    let (at, ticket, order) = after.map_or(start, |sale| {
        (
            sale.sold_at.into(),
            sale.ticket_id.to_string(),
            sale.order_id.to_string(),
        )
    });
    let sales: Vec<SaleRow> = query_as(AssertSqlSafe(sql))
        .bind(seller)
        .bind(at)
        .bind(ticket)
        .bind(order)
        .bind(limit)
        .fetch_all(on)
        .await?;
    Ok(sales.into_iter().map(Sale::from).collect())
}

#[derive(FromRow)]
struct SaleRow {
    ticket_id: TicketId,
    order_id: OrderId,
    price_minor: MinorUnits,
    currency: Currency,
    created_at: Moment,
    section: Option<String>,
    row_label: Option<String>,
    seat: Option<String>,
    refund_state: Option<refunds::store::State>,
    settled_at: Option<Moment>,
    title: String,
}

impl From<SaleRow> for Sale {
    fn from(row: SaleRow) -> Self {
        let status = match row.refund_state.map(refunds::store::State::status) {
            None | Some(RefundStatus::Failed) => SaleStatus::Sold,
            Some(RefundStatus::Pending) => SaleStatus::Refunding,
            Some(RefundStatus::Succeeded) => SaleStatus::Refunded,
        };
        let refunded = status == SaleStatus::Refunded;
        let settled_at = row.settled_at.filter(|_| refunded);
        let price = row.price_minor.of(row.currency);
        Self {
            ticket_id: row.ticket_id,
            order_id: row.order_id,
            event: row.title,
            section: row.section,
            row: row.row_label,
            seat: row.seat,
            price,
            status,
            sold_at: row.created_at.timestamp(),
            refunded_at: settled_at.map(Moment::timestamp),
            payout: if refunded {
                MinorUnits::ZERO.of(row.currency)
            } else {
                payout(price)
            },
        }
    }
}
