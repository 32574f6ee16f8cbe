//! The SQL of listings. Functions that take a `Conn` run in the caller's transaction. The lock's
//! own SQL is in `holds.rs`.

use super::{COLUMNS, HELD_FOR_CAPTURE, State, TicketRow, batches::PUBLISHED, rules::Place};
use crate::{events::span::on_sale, incidents};
use model::{
    Moment,
    ids::{BatchId, EventId, TicketId, UserId},
    money::MinorUnits,
    tickets::{NO_SECTION, Offer, OfferFilter, TicketStatus},
};
use platform::db::{Conn, Statement};
use sqlx::{AnyExecutor, AssertSqlSafe, FromRow, any::AnyRow, query, query_as, query_scalar};
use sqlx_macros::FromRow;

/// Rows in one INSERT: keeps the number of parameters below what the engines take.
const ROWS_MAX: usize = 500;

/// One ticket.
pub(crate) async fn find<'e>(
    on: impl AnyExecutor<'e>,
    id: TicketId,
) -> Result<Option<TicketRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM tickets WHERE id = $1");
    query_as(AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(on)
        .await
}

/// Writes new listings down, as part of a batch if one is named.
pub async fn insert(
    conn: &mut Conn,
    tickets: &[TicketRow],
    batch_id: Option<BatchId>,
    now: Moment,
) -> Result<(), sqlx::Error> {
    for chunk in tickets.chunks(ROWS_MAX) {
        let mut insert = Statement::new(
            "INSERT INTO tickets (id, event_id, seller_id, section, row_label, seat, price_minor, \
             face_value_minor, currency, state, version, created_at, seat_key, batch_id) VALUES ",
        );
        insert.bind_rows(chunk, |row, ticket| {
            row.bind(ticket.id)
                .bind(ticket.event_id)
                .bind(ticket.seller_id)
                .bind(ticket.section.clone())
                .bind(ticket.row.clone())
                .bind(ticket.seat.clone())
                .bind(ticket.price_minor)
                .bind(ticket.face_value_minor)
                .bind(ticket.currency)
                .bind(State::Listed)
                .bind(ticket.version)
                .bind(now)
                .bind(ticket.place().seat_key())
                .bind(batch_id);
        });
        insert.query()?.execute(&mut *conn).await?;
    }
    Ok(())
}

/// A change of a listing.
#[derive(Debug)]
pub(crate) struct Edit {
    /// Which.
    pub id: TicketId,
    /// Whose it must be.
    pub seller: UserId,
    /// The version that was read.
    pub version: i64,
    /// The new price, in minor units.
    pub price_minor: MinorUnits,
    /// The new place.
    pub place: Place,
}

/// Changes a listing if it is its seller's, as it was read, and nobody holds it. `None`: one of
/// these does not hold.
pub(crate) async fn edit(
    conn: &mut Conn,
    edit: &Edit,
    now: Moment,
) -> Result<Option<TicketRow>, sqlx::Error> {
    let sql = format!(
        "UPDATE tickets SET price_minor = $4, section = $5, row_label = $6, seat = $7, \
         seat_key = $9, version = version + 1 WHERE id = $1 AND seller_id = $2 AND version = $3 \
         AND state = 'listed' AND held_until <= $8 AND EXISTS \
         (SELECT 1 FROM events e WHERE e.id = tickets.event_id AND {}) RETURNING {COLUMNS}",
        on_sale!("e", "$8")
    );
    query_as(AssertSqlSafe(sql))
        .bind(edit.id)
        .bind(edit.seller)
        .bind(edit.version)
        .bind(edit.price_minor)
        .bind(edit.place.section.clone())
        .bind(edit.place.row.clone())
        .bind(edit.place.seat.clone())
        .bind(now)
        .bind(edit.place.seat_key())
        .fetch_optional(conn)
        .await
}

/// Takes a listing back if it is its seller's and nobody holds it; a hold that has lapsed goes
/// with it. `None`: one of these does not hold.
pub(crate) async fn withdraw(
    conn: &mut Conn,
    id: TicketId,
    seller: UserId,
    expected_version: Option<i64>,
    now: Moment,
) -> Result<Option<TicketRow>, sqlx::Error> {
    let sql = format!(
        "UPDATE tickets SET state = 'withdrawn', held_by = NULL, held_until = 0, \
         version = version + 1 WHERE id = $1 AND seller_id = $2 AND state = 'listed' \
         AND held_until <= $3 AND ($4 IS NULL OR version = $4) RETURNING {COLUMNS}"
    );
    query_as(AssertSqlSafe(sql))
        .bind(id)
        .bind(seller)
        .bind(now)
        .bind(expected_version)
        .fetch_optional(conn)
        .await
}

/// Which tickets a page shows.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    /// Of this event.
    pub event: Option<EventId>,
    /// Of this seller.
    pub seller: Option<UserId>,
    /// Standing so.
    pub status: Option<TicketStatus>,
    /// Withdrawn ones too.
    pub withdrawn: bool,
    /// Behind this price and id.
    pub behind: Option<(MinorUnits, TicketId)>,
    /// At most so many.
    pub limit: i64,
}

/// A page of tickets: of an event cheapest first, otherwise newest first.
pub(crate) async fn list<'e>(
    on: impl AnyExecutor<'e>,
    filter: &Filter,
    now: Moment,
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
    let no_price = MinorUnits::new(-1);
    let (price, id) = match (filter.behind, filter.event) {
        (Some((price, id)), Some(_)) => (price, id.to_string()),
        (Some((_, id)), None) => (no_price, id.to_string()),
        (None, Some(_)) => (no_price, String::new()),
        (None, None) => (no_price, "g".to_owned()),
    };
    query_as(AssertSqlSafe(sql))
        .bind(filter.event)
        .bind(filter.seller)
        .bind(now)
        .bind(price)
        .bind(id)
        .bind(filter.limit)
        .fetch_all(on)
        .await
}

/// Unnumbered tickets of an event that match the filter, grouped by what a buyer chooses by,
/// cheapest first.
pub(crate) async fn list_offers<'e>(
    on: impl AnyExecutor<'e>,
    event: EventId,
    filter: &OfferFilter,
    now: Moment,
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
    let offers: Vec<OfferRow> = query_as(AssertSqlSafe(sql))
        .bind(event)
        .bind(now)
        .bind(limit)
        .bind(filter.section.clone())
        .bind(NO_SECTION)
        .bind(filter.max_price_minor.unwrap_or(i64::MAX))
        .bind(filter.together.unwrap_or(0))
        .fetch_all(on)
        .await?;
    Ok(offers.into_iter().map(Offer::from).collect())
}

#[derive(FromRow)]
struct OfferRow {
    section: Option<String>,
    price_minor: MinorUnits,
    face_value_minor: Option<MinorUnits>,
    seller_id: UserId,
    seller_name: String,
    available: i64,
    reserved: i64,
}

impl From<OfferRow> for Offer {
    fn from(row: OfferRow) -> Self {
        Self {
            section: row.section,
            price_minor: row.price_minor.get(),
            face_value_minor: row.face_value_minor.map(MinorUnits::get),
            seller_id: row.seller_id,
            seller_name: row.seller_name,
            available: row.available,
            reserved: row.reserved,
        }
    }
}

/// A numbered seat with its seller's name.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Seat {
    /// The ticket.
    #[sqlx(flatten)]
    pub ticket: TicketRow,
    /// Who sells it.
    pub seller_name: String,
}

/// Numbered seats of an event that are for sale or held and match section and price of the filter,
/// cheapest first, with their sellers' names.
pub(crate) async fn list_seats<'e>(
    on: impl AnyExecutor<'e>,
    event: EventId,
    filter: &OfferFilter,
    limit: i64,
) -> Result<Vec<Seat>, sqlx::Error> {
    let sql = format!(
        "SELECT {COLUMNS}, (SELECT u.name FROM users u WHERE u.id = tickets.seller_id) \
         AS seller_name FROM tickets WHERE event_id = $1 AND state = 'listed' \
         AND (row_label IS NOT NULL OR seat IS NOT NULL) \
         AND ($3 IS NULL OR COALESCE(section, $4) = $3) AND price_minor <= $5 \
         ORDER BY price_minor, section, LENGTH(row_label), row_label, LENGTH(seat), seat, id LIMIT $2"
    );
    query_as(AssertSqlSafe(sql))
        .bind(event)
        .bind(limit)
        .bind(filter.section.clone())
        .bind(NO_SECTION)
        .bind(filter.max_price_minor.unwrap_or(i64::MAX))
        .fetch_all(on)
        .await
}

/// The sections of what is listed at an event, the cheapest first.
pub(crate) async fn list_sections<'e>(
    on: impl AnyExecutor<'e>,
    event: EventId,
    limit: i64,
) -> Result<Vec<String>, sqlx::Error> {
    let sql = format!(
        "SELECT section, MIN(price_minor) AS from_minor FROM tickets \
         WHERE event_id = $1 AND state = 'listed' AND {PUBLISHED} GROUP BY section \
         ORDER BY from_minor, section LIMIT $2"
    );
    let sections = query_scalar::<_, Option<String>>(AssertSqlSafe(sql))
        .bind(event)
        .bind(limit)
        .fetch_all(on)
        .await?;
    Ok(sections
        .into_iter()
        .map(|section| section.unwrap_or_else(|| NO_SECTION.to_owned()))
        .collect())
}

/// How an event's tickets stand.
#[derive(Debug, Clone, Copy, FromRow)]
pub(crate) struct Counts {
    /// How many can be bought.
    pub available: i64,
    /// How many are held.
    pub reserved: i64,
    /// How many have been bought.
    pub sold: i64,
    /// When the first of the holds ends by the clock.
    pub first_hold_ends: Option<Moment>,
}

/// Counts of tickets by how they stand at the time `$2`, as columns of those names.
pub(crate) const TALLY: &str = "\
     COALESCE(CAST(SUM(CASE WHEN state = 'listed' AND held_until <= $2 THEN 1 ELSE 0 END) AS BIGINT), 0) AS available, \
     COALESCE(CAST(SUM(CASE WHEN state = 'listed' AND held_until > $2 THEN 1 ELSE 0 END) AS BIGINT), 0) AS reserved, \
     COALESCE(CAST(SUM(CASE WHEN state = 'sold' THEN 1 ELSE 0 END) AS BIGINT), 0) AS sold, \
     COALESCE(CAST(SUM(CASE WHEN state = 'withdrawn' THEN 1 ELSE 0 END) AS BIGINT), 0) AS withdrawn";

/// How an event's tickets stand.
pub(crate) async fn count_by_status<'e>(
    on: impl AnyExecutor<'e>,
    event: EventId,
    now: Moment,
) -> Result<Counts, sqlx::Error> {
    let sql = format!(
        "SELECT {TALLY}, MIN(CASE WHEN state = 'listed' AND held_until > $2 AND held_until < $3 \
         THEN held_until END) AS first_hold_ends FROM tickets WHERE event_id = $1 AND {PUBLISHED}"
    );
    query_as(AssertSqlSafe(sql))
        .bind(event)
        .bind(now)
        .bind(HELD_FOR_CAPTURE)
        .fetch_one(on)
        .await
}

/// Tickets that this user owns, soonest event first.
pub(crate) async fn list_bought<'e>(
    on: impl AnyExecutor<'e>,
    owner: UserId,
    limit: i64,
) -> Result<Vec<TicketWithEvent>, sqlx::Error> {
    list_with_event(on, "t.owner_id = $1", owner, limit).await
}

/// Tickets that this user bought, was refunded and no longer owns, soonest event first.
pub(crate) async fn list_refunded<'e>(
    on: impl AnyExecutor<'e>,
    buyer: UserId,
    limit: i64,
) -> Result<Vec<TicketWithEvent>, sqlx::Error> {
    let refunded = "(t.owner_id IS NULL OR t.owner_id <> $1) AND t.id IN (SELECT l.ticket_id \
         FROM refunds r JOIN refund_lines l ON l.refund_id = r.id WHERE r.state = 'succeeded' \
         AND r.order_id IN (SELECT o.id FROM orders o WHERE o.buyer_id = $1))";
    list_with_event(on, refunded, buyer, limit).await
}

/// Tickets matching `condition`, in which `$1` is the user, soonest event first.
async fn list_with_event<'e>(
    on: impl AnyExecutor<'e>,
    condition: &str,
    user: UserId,
    limit: i64,
) -> Result<Vec<TicketWithEvent>, sqlx::Error> {
    let columns: Vec<String> = COLUMNS
        .split(", ")
        .map(|column| format!("t.{}", column.trim()))
        .collect();
    let sql = format!(
        "SELECT {}, e.title, e.venue, e.city, e.starts_at, e.ends_at, e.time_zone FROM tickets t \
         JOIN events e ON e.id = t.event_id WHERE {condition} ORDER BY e.starts_at, t.id LIMIT $2",
        columns.join(", ")
    );
    query_as(AssertSqlSafe(sql))
        .bind(user)
        .bind(limit)
        .fetch_all(on)
        .await
}

/// A ticket and what is shown of its event.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct TicketWithEvent {
    /// The ticket.
    #[sqlx(flatten)]
    pub ticket: TicketRow,
    /// The event's title.
    pub title: String,
    /// The house.
    pub venue: String,
    /// The town.
    pub city: String,
    /// When it begins.
    pub starts_at: Moment,
    /// When it ends, if that is known.
    pub ends_at: Option<Moment>,
    /// The venue's zone.
    pub time_zone: String,
}

/// Whether this seat of the event is on sale or sold already, whoever lists it and however it is
/// written. A row without a seat is one place for its seller alone.
pub(crate) async fn is_seat_listed(
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
        .bind(event)
        .bind(seat_key)
        .bind(but),
        None => query(
            "SELECT id FROM tickets WHERE event_id = $1 AND seller_id = $2 AND state <> 'withdrawn' \
             AND COALESCE(section, '') = $3 AND row_label = $4 AND seat IS NULL AND id <> $5 LIMIT 1",
        )
        .bind(event)
        .bind(seller)
        .bind(place.section.clone().unwrap_or_default())
        .bind(place.row.clone())
        .bind(but),
    };
    Ok(select.fetch_optional(conn).await?.is_some())
}

/// Selects the rows behind the id `$1` for [`fill_seat_key`], `$2` at the most.
pub(crate) fn select_rows_with_seats() -> String {
    format!("SELECT {COLUMNS} FROM tickets WHERE id > $1 AND seat IS NOT NULL ORDER BY id LIMIT $2")
}

/// Computes the seat key of a ticket. Of two listings of one seat the older has the key, and an incident
/// tells of the other, which stays as it is.
pub(crate) async fn fill_seat_key(
    conn: &mut Conn,
    row: AnyRow,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let ticket = TicketRow::from_row(&row)?;
    let set = query(
        "UPDATE tickets SET seat_key = $2 WHERE id = $1 AND (state = 'withdrawn' OR NOT EXISTS \
         (SELECT 1 FROM tickets o WHERE o.event_id = $3 AND o.seat_key = $2 \
           AND o.state <> 'withdrawn' AND o.id <> $1))",
    )
    .bind(ticket.id)
    .bind(ticket.place().seat_key())
    .bind(ticket.event_id)
    .execute(&mut *conn)
    .await?;
    if set.rows_affected() == 0 {
        let detail = format!(
            "{} of event {} was listed by somebody before",
            ticket.label(),
            ticket.event_id
        );
        let kind = incidents::Kind::SeatListedTwice;
        incidents::open(conn, kind, ticket.id, None, &detail, now).await?;
    }
    Ok(())
}
