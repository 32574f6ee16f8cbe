//! The SQL of listings. Functions that take a `Conn` run in the caller's transaction. The lock's
//! own SQL is in `holds.rs`.

use super::{COLUMNS, HELD_FOR_CAPTURE, TicketRow, batches::PUBLISHED, rules::Place};
use crate::{
    db::{Conn, parse, rows},
    events::span::on_sale,
    incidents,
};
use app::tickets::{NO_SECTION, Offer, OfferFilter, TicketStatus};
use model::ids::{EventId, TicketId, UserId};
use sqlx::{AnyExecutor, AssertSqlSafe, Row, any::AnyRow, query};

/// Rows in one INSERT: keeps the number of parameters below what the engines take.
const ROWS_MAX: usize = 500;

/// One ticket.
pub async fn ticket_find<'e>(
    on: impl AnyExecutor<'e>,
    id: TicketId,
) -> Result<Option<TicketRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM tickets WHERE id = $1");
    let row = query(AssertSqlSafe(sql))
        .bind(id.to_string())
        .fetch_optional(on)
        .await?;
    row.as_ref().map(TicketRow::read).transpose()
}

/// Writes new listings down, as part of a batch if one is named.
pub async fn tickets_insert(
    conn: &mut Conn,
    tickets: &[TicketRow],
    batch_id: Option<&str>,
    now_micros: i64,
) -> Result<(), sqlx::Error> {
    for chunk in tickets.chunks(ROWS_MAX) {
        let sql = format!(
            "INSERT INTO tickets (id, event_id, seller_id, section, row_label, seat, price_minor, \
             face_value_minor, currency, state, version, created_at, seat_key, batch_id) VALUES {}",
            rows(chunk.len(), 14)
        );
        let mut insert = query(AssertSqlSafe(sql));
        for ticket in chunk {
            insert = insert
                .bind(ticket.id.to_string())
                .bind(ticket.event_id.to_string())
                .bind(ticket.seller_id.to_string())
                .bind(ticket.section.clone())
                .bind(ticket.row.clone())
                .bind(ticket.seat.clone())
                .bind(ticket.price_minor)
                .bind(ticket.face_value_minor)
                .bind(ticket.currency.code())
                .bind("listed")
                .bind(ticket.version)
                .bind(now_micros)
                .bind(ticket.place().seat_key())
                .bind(batch_id.map(str::to_owned));
        }
        insert.execute(&mut *conn).await?;
    }
    Ok(())
}

/// A change of a listing.
#[derive(Debug)]
pub struct Edit {
    /// Which.
    pub id: TicketId,
    /// Whose it must be.
    pub seller: UserId,
    /// The version that was read.
    pub version: i64,
    /// The new price, in minor units.
    pub price_minor: i64,
    /// The new place.
    pub place: Place,
}

/// Changes a listing if it is its seller's, as it was read, and nobody holds it. `None`: one of
/// these does not hold.
pub async fn ticket_edit(
    conn: &mut Conn,
    edit: &Edit,
    now_micros: i64,
) -> Result<Option<TicketRow>, sqlx::Error> {
    let sql = format!(
        "UPDATE tickets SET price_minor = $4, section = $5, row_label = $6, seat = $7, \
         seat_key = $9, version = version + 1 WHERE id = $1 AND seller_id = $2 AND version = $3 \
         AND state = 'listed' AND held_until <= $8 AND EXISTS \
         (SELECT 1 FROM events e WHERE e.id = tickets.event_id AND {}) RETURNING {COLUMNS}",
        on_sale!("e", "$8")
    );
    let row = query(AssertSqlSafe(sql))
        .bind(edit.id.to_string())
        .bind(edit.seller.to_string())
        .bind(edit.version)
        .bind(edit.price_minor)
        .bind(edit.place.section.clone())
        .bind(edit.place.row.clone())
        .bind(edit.place.seat.clone())
        .bind(now_micros)
        .bind(edit.place.seat_key())
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(TicketRow::read).transpose()
}

/// Takes a listing back if it is its seller's and nobody holds it; a hold that has lapsed goes
/// with it. `None`: one of these does not hold.
pub async fn ticket_withdraw(
    conn: &mut Conn,
    id: TicketId,
    seller: UserId,
    expected_version: Option<i64>,
    now_micros: i64,
) -> Result<Option<TicketRow>, sqlx::Error> {
    let sql = format!(
        "UPDATE tickets SET state = 'withdrawn', held_by = NULL, held_until = 0, \
         version = version + 1 WHERE id = $1 AND seller_id = $2 AND state = 'listed' \
         AND held_until <= $3 AND ($4 IS NULL OR version = $4) RETURNING {COLUMNS}"
    );
    let row = query(AssertSqlSafe(sql))
        .bind(id.to_string())
        .bind(seller.to_string())
        .bind(now_micros)
        .bind(expected_version)
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(TicketRow::read).transpose()
}

/// Which tickets a page shows.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Of this event.
    pub event: Option<EventId>,
    /// Of this seller.
    pub seller: Option<UserId>,
    /// Standing so.
    pub status: Option<TicketStatus>,
    /// Withdrawn ones too.
    pub withdrawn: bool,
    /// Behind this price and id.
    pub behind: Option<(i64, TicketId)>,
    /// At most so many.
    pub limit: i64,
}

/// A page of tickets: of an event cheapest first, otherwise newest first.
pub async fn tickets_page<'e>(
    on: impl AnyExecutor<'e>,
    filter: &Filter,
    now_micros: i64,
) -> Result<Vec<TicketRow>, sqlx::Error> {
    let status = match filter.status {
        None if filter.withdrawn => "1 = 1",
        None => "state <> 'withdrawn'",
        Some(TicketStatus::Available) => "state = 'listed' AND held_until <= $3",
        // What is held has a holder, and an index of its own.
        Some(TicketStatus::Reserved) => {
            "state = 'listed' AND held_until > $3 AND held_by IS NOT NULL"
        }
        Some(TicketStatus::Sold) => "state = 'sold'",
        Some(TicketStatus::Withdrawn) => "state = 'withdrawn'",
    };
    let order = if filter.event.is_some() {
        "(price_minor > $4 OR (price_minor = $4 AND id > $5)) ORDER BY price_minor, id"
    } else {
        "$4 < 0 AND id < $5 ORDER BY id DESC"
    };
    // Without a filter the comparison with NULL would keep the index from being used.
    let whose = match (filter.event, filter.seller) {
        (Some(_), Some(_)) => "event_id = $1 AND seller_id = $2",
        (Some(_), None) => "event_id = $1 AND $2 IS NULL",
        (None, Some(_)) => "$1 IS NULL AND seller_id = $2",
        (None, None) => "$1 IS NULL AND $2 IS NULL",
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM tickets WHERE {whose} AND $3 > 0 AND {status} AND {PUBLISHED} \
         AND {order} LIMIT $6"
    );
    // No id begins with a `g`: each comes before it.
    let (price, id) = match (filter.behind, filter.event) {
        (Some((price, id)), Some(_)) => (price, id.to_string()),
        (Some((_, id)), None) => (-1, id.to_string()),
        (None, Some(_)) => (-1, String::new()),
        (None, None) => (-1, "g".to_owned()),
    };
    let rows = query(AssertSqlSafe(sql))
        .bind(filter.event.map(|event| event.to_string()))
        .bind(filter.seller.map(|seller| seller.to_string()))
        .bind(now_micros)
        .bind(price)
        .bind(id)
        .bind(filter.limit)
        .fetch_all(on)
        .await?;
    rows.iter().map(TicketRow::read).collect()
}

/// Unnumbered tickets of an event that match the filter, grouped by what a buyer chooses by,
/// cheapest first.
pub async fn offers_grouped<'e>(
    on: impl AnyExecutor<'e>,
    event: EventId,
    filter: &OfferFilter,
    now_micros: i64,
    limit: i64,
) -> Result<Vec<Offer>, sqlx::Error> {
    let sql = format!(
        "SELECT t.section AS section, t.price_minor AS price_minor, \
         t.face_value_minor AS face_value_minor, t.seller_id AS seller_id, MIN(u.name) AS seller_name, \
         CAST(SUM(CASE WHEN t.held_until <= $2 THEN 1 ELSE 0 END) AS BIGINT) AS available, \
         CAST(SUM(CASE WHEN t.held_until > $2 THEN 1 ELSE 0 END) AS BIGINT) AS reserved \
         FROM tickets t JOIN users u ON u.id = t.seller_id \
         WHERE t.event_id = $1 AND t.state = 'listed' AND t.row_label IS NULL AND t.seat IS NULL \
         AND {PUBLISHED} AND ($4 IS NULL OR COALESCE(t.section, $5) = $4) AND t.price_minor <= $6 \
         GROUP BY t.section, t.price_minor, t.face_value_minor, t.seller_id \
         HAVING SUM(CASE WHEN t.held_until <= $2 THEN 1 ELSE 0 END) >= $7 \
         ORDER BY t.price_minor, t.section LIMIT $3"
    );
    let rows = query(AssertSqlSafe(sql))
        .bind(event.to_string())
        .bind(now_micros)
        .bind(limit)
        .bind(filter.section.clone())
        .bind(NO_SECTION)
        .bind(filter.max_price_minor.unwrap_or(i64::MAX))
        .bind(filter.together.unwrap_or(0))
        .fetch_all(on)
        .await?;
    rows.iter().map(read_offer).collect()
}

fn read_offer(row: &AnyRow) -> Result<Offer, sqlx::Error> {
    Ok(Offer {
        section: row.try_get("section")?,
        price_minor: row.try_get("price_minor")?,
        face_value_minor: row.try_get("face_value_minor")?,
        seller_id: parse(row, "seller_id")?,
        seller_name: row.try_get("seller_name")?,
        available: row.try_get("available")?,
        reserved: row.try_get("reserved")?,
    })
}

/// Numbered seats of an event that are for sale or held and match section and price of the filter,
/// cheapest first, with their sellers' names.
pub async fn seats_on_sale<'e>(
    on: impl AnyExecutor<'e>,
    event: EventId,
    filter: &OfferFilter,
    limit: i64,
) -> Result<Vec<(TicketRow, String)>, sqlx::Error> {
    let sql = format!(
        "SELECT {COLUMNS}, (SELECT u.name FROM users u WHERE u.id = tickets.seller_id) \
         AS seller_name FROM tickets WHERE event_id = $1 AND state = 'listed' \
         AND (row_label IS NOT NULL OR seat IS NOT NULL) \
         AND ($3 IS NULL OR COALESCE(section, $4) = $3) AND price_minor <= $5 \
         ORDER BY price_minor, section, LENGTH(row_label), row_label, LENGTH(seat), seat, id LIMIT $2"
    );
    let rows = query(AssertSqlSafe(sql))
        .bind(event.to_string())
        .bind(limit)
        .bind(filter.section.clone())
        .bind(NO_SECTION)
        .bind(filter.max_price_minor.unwrap_or(i64::MAX))
        .fetch_all(on)
        .await?;
    rows.iter()
        .map(|row| Ok((TicketRow::read(row)?, row.try_get("seller_name")?)))
        .collect()
}

/// The sections of what is listed at an event, the cheapest first.
pub async fn sections_on_sale<'e>(
    on: impl AnyExecutor<'e>,
    event: EventId,
    limit: i64,
) -> Result<Vec<String>, sqlx::Error> {
    let sql = format!(
        "SELECT section, MIN(price_minor) AS from_minor FROM tickets \
         WHERE event_id = $1 AND state = 'listed' AND {PUBLISHED} GROUP BY section \
         ORDER BY from_minor, section LIMIT $2"
    );
    let rows = query(AssertSqlSafe(sql))
        .bind(event.to_string())
        .bind(limit)
        .fetch_all(on)
        .await?;
    rows.iter()
        .map(|row| {
            let section: Option<String> = row.try_get("section")?;
            Ok(section.unwrap_or_else(|| NO_SECTION.to_owned()))
        })
        .collect()
}

/// How an event's tickets stand.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// How many can be bought.
    pub available: i64,
    /// How many are held.
    pub reserved: i64,
    /// How many have been bought.
    pub sold: i64,
    /// When the first of the holds ends by the clock, in microseconds.
    pub first_hold_ends: Option<i64>,
}

/// Counts of tickets by how they stand at the time `$2`, as columns of those names.
pub const TALLY: &str = "\
     COALESCE(CAST(SUM(CASE WHEN state = 'listed' AND held_until <= $2 THEN 1 ELSE 0 END) AS BIGINT), 0) AS available, \
     COALESCE(CAST(SUM(CASE WHEN state = 'listed' AND held_until > $2 THEN 1 ELSE 0 END) AS BIGINT), 0) AS reserved, \
     COALESCE(CAST(SUM(CASE WHEN state = 'sold' THEN 1 ELSE 0 END) AS BIGINT), 0) AS sold, \
     COALESCE(CAST(SUM(CASE WHEN state = 'withdrawn' THEN 1 ELSE 0 END) AS BIGINT), 0) AS withdrawn";

/// How an event's tickets stand.
pub async fn event_counts<'e>(
    on: impl AnyExecutor<'e>,
    event: EventId,
    now_micros: i64,
) -> Result<Counts, sqlx::Error> {
    let sql = format!(
        "SELECT {TALLY}, MIN(CASE WHEN state = 'listed' AND held_until > $2 AND held_until < $3 \
         THEN held_until END) AS first_hold_ends FROM tickets WHERE event_id = $1 AND {PUBLISHED}"
    );
    let row = query(AssertSqlSafe(sql))
        .bind(event.to_string())
        .bind(now_micros)
        .bind(HELD_FOR_CAPTURE)
        .fetch_one(on)
        .await?;
    Ok(Counts {
        available: row.try_get("available")?,
        reserved: row.try_get("reserved")?,
        sold: row.try_get("sold")?,
        first_hold_ends: row.try_get("first_hold_ends")?,
    })
}

/// Whose tickets to show with their events.
#[derive(Debug, Clone, Copy)]
pub enum Shelf {
    /// What this user bought, soonest event first.
    BoughtBy(UserId),
    /// What this user bought and was refunded, and no longer has, soonest event first.
    PaidBackTo(UserId),
}

/// Tickets with their event's title, venue, city, start and zone.
pub async fn shelf<'e>(
    on: impl AnyExecutor<'e>,
    shelf: Shelf,
    limit: i64,
) -> Result<Vec<(TicketRow, Beside)>, sqlx::Error> {
    let columns: Vec<String> = COLUMNS
        .split(", ")
        .map(|column| format!("t.{}", column.trim()))
        .collect();
    let (whose, order, user) = match shelf {
        Shelf::BoughtBy(user) => ("t.owner_id = $1", "e.starts_at, t.id", user),
        Shelf::PaidBackTo(user) => (
            "(t.owner_id IS NULL OR t.owner_id <> $1) AND t.id IN (SELECT l.ticket_id \
             FROM refunds r JOIN refund_lines l ON l.refund_id = r.id WHERE r.state = 'succeeded' \
             AND r.order_id IN (SELECT o.id FROM orders o WHERE o.buyer_id = $1))",
            "e.starts_at, t.id",
            user,
        ),
    };
    let sql = format!(
        "SELECT {}, e.title, e.venue, e.city, e.starts_at, e.ends_at, e.time_zone FROM tickets t \
         JOIN events e ON e.id = t.event_id WHERE {whose} ORDER BY {order} LIMIT $2",
        columns.join(", ")
    );
    let rows = query(AssertSqlSafe(sql))
        .bind(user.to_string())
        .bind(limit)
        .fetch_all(on)
        .await?;
    rows.iter()
        .map(|row| {
            let beside = Beside {
                title: row.try_get("title")?,
                venue: row.try_get("venue")?,
                city: row.try_get("city")?,
                starts_at: row.try_get("starts_at")?,
                ends_at: row.try_get("ends_at")?,
                time_zone: row.try_get("time_zone")?,
            };
            Ok((TicketRow::read(row)?, beside))
        })
        .collect()
}

/// What is shown of an event beside its ticket.
#[derive(Debug, Clone)]
pub struct Beside {
    /// Its title.
    pub title: String,
    /// The house.
    pub venue: String,
    /// The town.
    pub city: String,
    /// When it begins, in microseconds.
    pub starts_at: i64,
    /// When it ends, if that is known.
    pub ends_at: Option<i64>,
    /// The venue's zone.
    pub time_zone: String,
}

/// Whether this seat of the event is on sale or sold already, whoever lists it and however it is
/// written. A row without a seat is one place for its seller alone.
pub async fn seat_is_listed(
    conn: &mut Conn,
    event: EventId,
    seller: UserId,
    place: &Place,
    but: Option<TicketId>,
) -> Result<bool, sqlx::Error> {
    if !place.is_numbered() {
        return Ok(false);
    }
    let but = but.map(|id| id.to_string()).unwrap_or_default();
    let select = match place.seat_key() {
        Some(seat_key) => query(
            "SELECT id FROM tickets WHERE event_id = $1 AND seat_key = $2 \
             AND state <> 'withdrawn' AND id <> $3 LIMIT 1",
        )
        .bind(event.to_string())
        .bind(seat_key)
        .bind(but),
        None => query(
            "SELECT id FROM tickets WHERE event_id = $1 AND seller_id = $2 AND state <> 'withdrawn' \
             AND COALESCE(section, '') = $3 AND row_label = $4 AND seat IS NULL AND id <> $5 LIMIT 1",
        )
        .bind(event.to_string())
        .bind(seller.to_string())
        .bind(place.section.clone().unwrap_or_default())
        .bind(place.row.clone())
        .bind(but),
    };
    let row = select.fetch_optional(conn).await?;
    row.map(|row| parse::<TicketId>(&row, "id"))
        .transpose()
        .map(|found| found.is_some())
}

/// Selects the rows behind the id `$1` for [`ticket_fill_seat_key`], `$2` at the most.
pub fn rows_with_seats() -> String {
    format!("SELECT {COLUMNS} FROM tickets WHERE id > $1 AND seat IS NOT NULL ORDER BY id LIMIT $2")
}

/// Computes the seat key of a ticket. Of two listings of one seat the older has the key, and an incident
/// tells of the other, which stays as it is.
pub async fn ticket_fill_seat_key(
    conn: &mut Conn,
    row: AnyRow,
    now_micros: i64,
) -> Result<(), sqlx::Error> {
    let ticket = TicketRow::read(&row)?;
    let set = query(
        "UPDATE tickets SET seat_key = $2 WHERE id = $1 AND (state = 'withdrawn' OR NOT EXISTS \
         (SELECT 1 FROM tickets o WHERE o.event_id = $3 AND o.seat_key = $2 \
           AND o.state <> 'withdrawn' AND o.id <> $1))",
    )
    .bind(ticket.id.to_string())
    .bind(ticket.place().seat_key())
    .bind(ticket.event_id.to_string())
    .execute(&mut *conn)
    .await?;
    if set.rows_affected() == 0 {
        let detail = format!(
            "{} of event {} was listed by somebody before",
            ticket.label(),
            ticket.event_id
        );
        let kind = incidents::Kind::SeatListedTwice;
        incidents::open(conn, kind, ticket.id, None, &detail, now_micros).await?;
    }
    Ok(())
}
