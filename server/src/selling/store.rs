//! The SQL of what a seller sees.

use crate::{
    clock::from_micros,
    db::{Conn, parse},
    events::span::on_sale,
    tickets::{batches::PUBLISHED, store::TALLY},
};
use app::{
    refunds::RefundStatus,
    selling::{Comparable, Counts, Sale, SaleGroup, SaleStatus, UnsoldSection, payout},
    tickets::TicketStatus,
};
use model::{
    ids::{EventId, UserId},
    money::Money,
};
use sqlx::{AnyExecutor, AssertSqlSafe, Row, any::AnyRow, query};

fn read_counts(row: &AnyRow) -> Result<Counts, sqlx::Error> {
    Ok(Counts {
        available: row.try_get("available")?,
        reserved: row.try_get("reserved")?,
        sold: row.try_get("sold")?,
        withdrawn: row.try_get("withdrawn")?,
    })
}

/// How all tickets of a seller stand.
pub async fn seller_counts<'e>(
    on: impl AnyExecutor<'e>,
    seller: UserId,
    now_micros: i64,
) -> Result<Counts, sqlx::Error> {
    let sql = format!("SELECT {TALLY} FROM tickets WHERE seller_id = $1 AND {PUBLISHED}");
    let row = query(AssertSqlSafe(sql))
        .bind(seller.to_string())
        .bind(now_micros)
        .fetch_one(on)
        .await?;
    read_counts(&row)
}

/// Which of a seller's events.
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    /// Only this one.
    pub event: Option<EventId>,
    /// Only those with a ticket that stands so.
    pub status: Option<TicketStatus>,
    /// At most so many.
    pub limit: i64,
    /// Past so many.
    pub offset: i64,
}

/// A seller's tickets by event: events to come first, soonest first, then the latest of the past.
pub async fn groups<'e>(
    on: impl AnyExecutor<'e>,
    seller: UserId,
    filter: Filter,
    now_micros: i64,
) -> Result<Vec<SaleGroup>, sqlx::Error> {
    let of_event = match filter.event {
        Some(_) => "event_id = $3",
        None => "$3 IS NULL",
    };
    let standing = match filter.status {
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
         JOIN events e ON e.id = g.event_id WHERE {standing} \
         ORDER BY CASE WHEN {} THEN 0 ELSE 1 END, ABS(e.starts_at - $2), e.id \
         LIMIT $4 OFFSET $5",
        on_sale!("e", "$2")
    );
    let rows = query(AssertSqlSafe(sql))
        .bind(seller.to_string())
        .bind(now_micros)
        .bind(filter.event.map(|event| event.to_string()))
        .bind(filter.limit)
        .bind(filter.offset)
        .fetch_all(on)
        .await?;
    rows.iter().map(read_group).collect()
}

fn read_group(row: &AnyRow) -> Result<SaleGroup, sqlx::Error> {
    let (venue, city): (String, String) = (row.try_get("venue")?, row.try_get("city")?);
    Ok(SaleGroup {
        event_id: parse(row, "id")?,
        title: row.try_get("title")?,
        place: format!("{venue}, {city}"),
        starts_at: from_micros(row.try_get("starts_at")?),
        ends_at: row.try_get::<Option<i64>, _>("ends_at")?.map(from_micros),
        time_zone: row.try_get("time_zone")?,
        created: row.try_get::<i64, _>("created")? == 1,
        counts: read_counts(row)?,
        revenue_minor: row.try_get("revenue")?,
        currency: parse(row, "currency")?,
    })
}

/// Whether this seller has ever listed a ticket for this event.
pub async fn has_listed(
    conn: &mut Conn,
    seller: UserId,
    event: EventId,
) -> Result<bool, sqlx::Error> {
    let row = query("SELECT 1 FROM tickets WHERE seller_id = $1 AND event_id = $2 LIMIT 1")
        .bind(seller.to_string())
        .bind(event.to_string())
        .fetch_optional(conn)
        .await?;
    Ok(row.is_some())
}

/// A seller's unsold tickets for an event, counted by section.
pub async fn unsold<'e>(
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
    let rows = query(AssertSqlSafe(sql))
        .bind(seller.to_string())
        .bind(event.to_string())
        .bind(limit)
        .fetch_all(on)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(UnsoldSection {
                section: row.try_get("name")?,
                unsold: row.try_get("unsold")?,
            })
        })
        .collect()
}

/// What can be bought of an event from others than this seller, in all and in one section.
pub async fn comparable<'e>(
    on: impl AnyExecutor<'e>,
    seller: UserId,
    event: EventId,
    section: &str,
    now_micros: i64,
) -> Result<Comparable, sqlx::Error> {
    let sql = format!(
        "SELECT COUNT(*) AS available, MIN(price_minor) AS cheapest, \
         MIN(CASE WHEN LOWER(COALESCE(section, '')) = LOWER($3) THEN price_minor END) \
         AS cheapest_in_section \
         FROM tickets WHERE event_id = $1 AND seller_id <> $2 AND state = 'listed' \
         AND held_until <= $4 AND {PUBLISHED}"
    );
    let row = query(AssertSqlSafe(sql))
        .bind(event.to_string())
        .bind(seller.to_string())
        .bind(section.to_owned())
        .bind(now_micros)
        .fetch_one(on)
        .await?;
    Ok(Comparable {
        available: row.try_get("available")?,
        cheapest_minor: row.try_get("cheapest")?,
        cheapest_in_section_minor: row.try_get("cheapest_in_section")?,
    })
}

/// What a seller has sold: the books say when, the order lines what.
const SALES: &str = "FROM ledger b JOIN payments p ON p.id = b.payment_id \
     JOIN order_lines l ON l.order_id = p.order_id \
     JOIN tickets t ON t.id = l.ticket_id AND t.seller_id = b.seller_id \
     LEFT JOIN refund_lines x ON x.order_id = l.order_id AND x.ticket_id = l.ticket_id AND x.live = 1 \
     LEFT JOIN refunds r ON r.id = x.refund_id";

/// What was sold on one day in one currency: the day since 1970, tickets, minor units, ISO code.
pub async fn sales_by_day<'e>(
    on: impl AnyExecutor<'e>,
    seller: UserId,
    since_micros: i64,
) -> Result<Vec<AnyRow>, sqlx::Error> {
    let sql = format!(
        "SELECT b.created_at / 86400000000 AS day, COUNT(*) AS tickets, \
         CAST(SUM(l.price_minor) AS BIGINT) AS revenue, b.currency AS currency {SALES} \
         WHERE b.seller_id = $1 AND b.kind = 'capture' AND b.created_at >= $2 \
         AND (r.state IS NULL OR r.state <> 'succeeded') \
         GROUP BY b.created_at / 86400000000, b.currency \
         ORDER BY b.created_at / 86400000000, b.currency"
    );
    query(AssertSqlSafe(sql))
        .bind(seller.to_string())
        .bind(since_micros)
        .fetch_all(on)
        .await
}

/// The sales after this one, oldest first.
pub async fn sales_after<'e>(
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
    let (at, ticket, order) = after.map_or((0, String::new(), String::new()), |sale| {
        (
            sale.sold_at.as_microsecond(),
            sale.ticket_id.to_string(),
            sale.order_id.to_string(),
        )
    });
    let rows = query(AssertSqlSafe(sql))
        .bind(seller.to_string())
        .bind(at)
        .bind(ticket)
        .bind(order)
        .bind(limit)
        .fetch_all(on)
        .await?;
    rows.iter().map(read_sale).collect()
}

fn read_sale(row: &AnyRow) -> Result<Sale, sqlx::Error> {
    let refund: Option<String> = row.try_get("refund_state")?;
    let refund = refund
        .map(|_| parse::<crate::refunds::store::State>(row, "refund_state"))
        .transpose()?
        .map(crate::refunds::store::State::seen);
    let status = match refund {
        None | Some(RefundStatus::Failed) => SaleStatus::Sold,
        Some(RefundStatus::Pending) => SaleStatus::Refunding,
        Some(RefundStatus::Succeeded) => SaleStatus::Refunded,
    };
    let refunded = status == SaleStatus::Refunded;
    let settled_at: Option<i64> = row.try_get("settled_at")?;
    let price = Money::new(row.try_get("price_minor")?, parse(row, "currency")?);
    Ok(Sale {
        ticket_id: parse(row, "ticket_id")?,
        order_id: parse(row, "order_id")?,
        event: row.try_get("title")?,
        section: row.try_get("section")?,
        row: row.try_get("row_label")?,
        seat: row.try_get("seat")?,
        price,
        status,
        sold_at: from_micros(row.try_get("created_at")?),
        refunded_at: settled_at.filter(|_| refunded).map(from_micros),
        payout: if refunded {
            Money::new(0, price.currency)
        } else {
            payout(price)
        },
    })
}
