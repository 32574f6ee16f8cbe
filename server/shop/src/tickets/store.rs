//! The SQL of listings. Functions that take a `Conn` run in the caller's transaction. The SQL of holds
//! is in `holds.rs`.

use super::{COLUMNS, HELD_FOR_CAPTURE, State, TicketRow, batches::PUBLISHED, rules::Place};
use crate::{events::span::on_sale, incidents, paging::Position};
use model::{
    Moment,
    ids::{BatchId, EventId, TicketId, UserId},
    money::MinorUnits,
    tickets::{NO_SECTION, Offer, OfferFilter, TicketStatus},
};
use platform::db::{Conn, Statement};
use sqlx::{AnyExecutor, AssertSqlSafe, FromRow, any::AnyRow, query, query_as, query_scalar};
use sqlx_macros::FromRow;

/// Rows in one INSERT: keeps the number of parameters below the engines' limits.
const ROWS_MAX: usize = 500;

/// Finds a ticket, unless its batch is not published yet.
pub(crate) async fn find<'e>(
    on: impl AnyExecutor<'e>,
    id: TicketId,
) -> Result<Option<TicketRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM tickets WHERE id = $1 AND {PUBLISHED}");
    query_as(AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(on)
        .await
}

/// Inserts new listings, as part of a batch if `batch_id` is set.
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
    pub id: TicketId,
    /// The required seller.
    pub seller: UserId,
    /// The required version.
    pub version: i64,
    pub price_minor: MinorUnits,
    pub place: Place,
}

/// Changes a listing if seller and version match, it is published and not held, and its event is on sale;
/// otherwise returns `None`.
pub(crate) async fn edit(
    conn: &mut Conn,
    edit: &Edit,
    now: Moment,
) -> Result<Option<TicketRow>, sqlx::Error> {
    let sql = format!(
        "UPDATE tickets SET price_minor = $4, section = $5, row_label = $6, seat = $7, \
         seat_key = $9, version = version + 1 WHERE id = $1 AND seller_id = $2 AND version = $3 \
         AND state = 'listed' AND held_until <= $8 AND {PUBLISHED} AND EXISTS \
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

/// Withdraws a listing if seller and version match and it is published and not held; otherwise returns
/// `None`. Clears a lapsed hold.
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
         AND held_until <= $3 AND ($4 IS NULL OR version = $4) AND {PUBLISHED} \
         RETURNING {COLUMNS}"
    );
    query_as(AssertSqlSafe(sql))
        .bind(id)
        .bind(seller)
        .bind(now)
        .bind(expected_version)
        .fetch_optional(conn)
        .await
}

#[derive(Debug, Clone)]
pub(crate) struct Filter {
    pub event: Option<EventId>,
    pub seller: Option<UserId>,
    pub status: Option<TicketStatus>,
    /// Whether withdrawn tickets are included where `status` is `None`.
    pub include_withdrawn: bool,
    /// Price in minor units, and id, of the last ticket of the previous page.
    pub after: Option<Position<TicketId>>,
    pub limit: i64,
}

/// A page of tickets: of an event cheapest first, otherwise newest first.
pub(crate) async fn list<'e>(
    on: impl AnyExecutor<'e>,
    filter: &Filter,
    now: Moment,
) -> Result<Vec<TicketRow>, sqlx::Error> {
    let status = match filter.status {
        None if filter.include_withdrawn => "1 = 1",
        None => "state <> 'withdrawn'",
        Some(TicketStatus::Available) => "state = 'listed' AND held_until <= $3",
        // Redundant: lets the engine use the index of held tickets.
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
    // `$1 IS NULL OR event_id = $1` would prevent the use of the index.
    let scope = match (filter.event, filter.seller) {
        (Some(_), Some(_)) => "event_id = $1 AND seller_id = $2",
        (Some(_), None) => "event_id = $1 AND $2 IS NULL",
        (None, Some(_)) => "$1 IS NULL AND seller_id = $2",
        (None, None) => "$1 IS NULL AND $2 IS NULL",
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM tickets WHERE {scope} AND $3 > 0 AND {status} AND {PUBLISHED} \
         AND {order} LIMIT $6"
    );
    // Ids are hexadecimal, so all sort before `g`.
    let no_price = -1;
    let (price, id) = match (filter.after, filter.event) {
        (Some(Position { number, id }), Some(_)) => (number, id.to_string()),
        (Some(Position { id, .. }), None) => (no_price, id.to_string()),
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

/// Unnumbered tickets of an event that match the filter, grouped by section, price, face value and
/// seller, cheapest first.
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
    #[sqlx(flatten)]
    pub ticket: TicketRow,
    pub seller_name: String,
}

/// Numbered seats of an event that are listed, also if held, and match section and price of the
/// filter, cheapest first. Ignores `together`.
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

/// The sections of the tickets listed for an event, the cheapest first.
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

/// The number of an event's tickets by status.
#[derive(Debug, Clone, Copy, FromRow)]
pub(crate) struct Counts {
    pub available: i64,
    pub reserved: i64,
    pub sold: i64,
    /// The end of the first hold to end, without holds for a capture.
    pub first_hold_ends: Option<Moment>,
}

/// The numbers of tickets by status at the time `$2`, as columns with the names of the statuses.
pub(crate) const TALLY: &str = "\
     COALESCE(CAST(SUM(CASE WHEN state = 'listed' AND held_until <= $2 THEN 1 ELSE 0 END) AS BIGINT), 0) AS available, \
     COALESCE(CAST(SUM(CASE WHEN state = 'listed' AND held_until > $2 THEN 1 ELSE 0 END) AS BIGINT), 0) AS reserved, \
     COALESCE(CAST(SUM(CASE WHEN state = 'sold' THEN 1 ELSE 0 END) AS BIGINT), 0) AS sold, \
     COALESCE(CAST(SUM(CASE WHEN state = 'withdrawn' THEN 1 ELSE 0 END) AS BIGINT), 0) AS withdrawn";

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
    #[sqlx(flatten)]
    pub ticket: TicketRow,
    pub title: String,
    pub venue: String,
    pub city: String,
    pub starts_at: Moment,
    pub ends_at: Option<Moment>,
    /// IANA name of the venue's time zone.
    pub time_zone: String,
}

/// Whether this seat of the event is already listed or sold, by any seller and in any spelling. A row
/// without a seat is only compared with the seller's own listings. Ignores the ticket `except`.
pub(crate) async fn is_seat_listed(
    conn: &mut Conn,
    event: EventId,
    seller: UserId,
    place: &Place,
    except: Option<TicketId>,
) -> Result<bool, sqlx::Error> {
    if !place.is_numbered() {
        return Ok(false);
    }
    let except = except.map(|id| id.to_string()).unwrap_or_default();
    let select = match place.seat_key() {
        Some(seat_key) => query(
            "SELECT id FROM tickets WHERE event_id = $1 AND seat_key = $2 \
             AND state <> 'withdrawn' AND id <> $3 LIMIT 1",
        )
        .bind(event)
        .bind(seat_key)
        .bind(except),
        None => query(
            "SELECT id FROM tickets WHERE event_id = $1 AND seller_id = $2 AND state <> 'withdrawn' \
             AND COALESCE(section, '') = $3 AND row_label = $4 AND seat IS NULL AND id <> $5 LIMIT 1",
        )
        .bind(event)
        .bind(seller)
        .bind(place.section.clone().unwrap_or_default())
        .bind(place.row.clone())
        .bind(except),
    };
    Ok(select.fetch_optional(conn).await?.is_some())
}

/// SQL that selects up to `$2` rows after the id `$1` for [`fill_seat_key`].
pub(crate) fn select_rows_with_seats() -> String {
    format!("SELECT {COLUMNS} FROM tickets WHERE id > $1 AND seat IS NOT NULL ORDER BY id LIMIT $2")
}

/// Computes the seat key of a ticket. If a seat is listed twice, the older listing gets the key; the
/// other stays unchanged, and an incident is opened for it.
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
            "{} of event {} has an earlier listing",
            ticket.label(),
            ticket.event_id
        );
        let kind = incidents::Kind::SeatListedTwice;
        incidents::open(conn, kind, ticket.id, None, &detail, now).await?;
    }
    Ok(())
}
