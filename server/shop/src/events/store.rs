//! The SQL of events. Functions that take a `Conn` run in the caller's transaction.

use super::{listing::Filter, rules::Checked, span::not_over, words};
use crate::names;
use model::{
    Moment,
    events::{City, Event, Picture, UnknownChoice},
    ids::{EventId, UserId},
    money::{Currency, MinorUnits},
};
use platform::{
    db::{Conn, Db, Statement},
    outbox::{DomainEvent, EventType, PUBLISHED},
};
use sqlx::{AnyExecutor, AssertSqlSafe, FromRow, any::AnyRow, query, query_as, query_scalar};
use sqlx_macros::FromRow;
use std::collections::HashMap;

const COLUMNS: &str = "id, creator_id, title, description, venue, city, country, starts_at, \
     ends_at, sales_until, time_zone, currency, category, picture, version";

#[derive(Debug, Clone)]
pub(crate) struct EventRow {
    pub id: EventId,
    pub creator: UserId,
    /// What the creator can edit, except the picture.
    pub what: Checked,
    pub picture: Option<Picture>,
    /// Counts changes, from 1.
    pub version: i64,
}

/// The tickets of an event that can be bought now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stock {
    pub available: i64,
    /// The lowest price.
    pub from_minor: Option<MinorUnits>,
}

#[derive(FromRow)]
struct EventColumns {
    id: EventId,
    creator_id: UserId,
    title: String,
    description: String,
    venue: String,
    city: String,
    country: String,
    starts_at: Moment,
    ends_at: Option<Moment>,
    sales_until: Option<Moment>,
    time_zone: String,
    currency: Currency,
    category: String,
    picture: Option<String>,
    version: i64,
}

impl TryFrom<EventColumns> for EventRow {
    type Error = UnknownChoice;

    fn try_from(columns: EventColumns) -> Result<Self, Self::Error> {
        Ok(Self {
            id: columns.id,
            creator: columns.creator_id,
            what: Checked {
                title: columns.title,
                description: columns.description,
                venue: columns.venue,
                city: columns.city,
                country: columns.country,
                starts_at: columns.starts_at,
                ends_at: columns.ends_at,
                sales_until: columns.sales_until,
                time_zone: columns.time_zone,
                currency: columns.currency,
                category: columns.category.parse()?,
            },
            picture: columns.picture.map(Picture::try_from).transpose()?,
            version: columns.version,
        })
    }
}

impl FromRow<'_, AnyRow> for EventRow {
    fn from_row(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let columns = EventColumns::from_row(row)?;
        Self::try_from(columns).map_err(|error| sqlx::Error::Decode(error.into()))
    }
}

impl EventRow {
    /// The event as the API returns it.
    pub(crate) fn event(&self, stock: Stock) -> Event {
        let what = self.what.clone();
        Event {
            id: self.id,
            title: what.title,
            category: what.category,
            description: what.description,
            venue: what.venue,
            city: what.city,
            country: what.country,
            starts_at: what.starts_at.timestamp(),
            ends_at: what.ends_at.map(Moment::timestamp),
            sales_until: what.sales_until.map(Moment::timestamp),
            time_zone: what.time_zone,
            currency: what.currency,
            tickets_available: stock.available,
            price_from_minor: stock.from_minor.map(MinorUnits::get),
            picture: self.picture.clone(),
            version: self.version,
        }
    }

    /// The domain event for the outbox after a change that resulted in this row.
    pub(crate) fn domain_event(&self, kind: EventType) -> DomainEvent {
        let what = &self.what;
        let data = serde_json::json!({
            "id": self.id,
            "creatorId": self.creator,
            "title": what.title,
            "description": what.description,
            "venue": what.venue,
            "city": what.city,
            "country": what.country,
            "startsAt": what.starts_at,
            "endsAt": what.ends_at,
            "salesUntil": what.sales_until,
            "timeZone": what.time_zone,
            "currency": what.currency,
            "category": what.category,
            "pictureUrl": self.picture,
            "version": self.version,
        });
        DomainEvent::new(kind, self.id, self.version, &data)
    }
}

pub(crate) async fn find<'e>(
    on: impl AnyExecutor<'e>,
    id: EventId,
) -> Result<Option<EventRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM events WHERE id = $1");
    query_as(AssertSqlSafe(sql))
        .bind(id)
        .fetch_optional(on)
        .await
}

/// False also if there is no such event.
pub(crate) async fn is_creator<'e>(
    on: impl AnyExecutor<'e>,
    id: EventId,
    creator: UserId,
) -> Result<bool, sqlx::Error> {
    let found = query("SELECT 1 FROM events WHERE id = $1 AND creator_id = $2")
        .bind(id)
        .bind(creator)
        .fetch_optional(on)
        .await?;
    Ok(found.is_some())
}

/// A page of events, soonest first.
pub(crate) async fn list(db: &Db, filter: &Filter) -> Result<Vec<EventRow>, sqlx::Error> {
    let page = filter.page(db.engine(), COLUMNS);
    let rows = page.query().try_map(|row| EventRow::from_row(&row));
    rows.fetch_all(db.reads()).await
}

/// Counts events, up to the filter's limit.
pub(crate) async fn count(db: &Db, filter: &Filter) -> Result<i64, sqlx::Error> {
    let count = filter.count(db.engine());
    let query = count.query().try_map(|row| <(i64,)>::from_row(&row));
    let (events,) = query.fetch_one(db.reads()).await?;
    Ok(events)
}

/// Events that began before `$1` and are still on sale then. An event lasts at most 366 days (`rules.rs`);
/// the lower bound lets the index on events that are sold after their start limit the rows read.
const RUNNING: &str = "sales_until > $1 AND starts_at <= $1 AND starts_at > $1 - 31622400000000";

/// Ids of the next events on sale, soonest first.
pub async fn list_next_ids<'e>(
    on: impl AnyExecutor<'e>,
    now: Moment,
    limit: i64,
) -> Result<Vec<EventId>, sqlx::Error> {
    let sql = format!(
        "SELECT id FROM (SELECT id, starts_at FROM events WHERE starts_at > $1 \
         UNION ALL SELECT id, starts_at FROM events WHERE {RUNNING}) AS sold \
         ORDER BY starts_at, id LIMIT $2"
    );
    query_scalar(AssertSqlSafe(sql))
        .bind(now)
        .bind(limit)
        .fetch_all(on)
        .await
}

/// Returns the available tickets by event. Events without any are missing.
pub(crate) async fn find_stock<'e>(
    on: impl AnyExecutor<'e>,
    events: &[EventId],
    now: Moment,
) -> Result<HashMap<EventId, Stock>, sqlx::Error> {
    if events.is_empty() {
        return Ok(HashMap::new());
    }
    let mut select = Statement::new(
        "SELECT event_id, COUNT(*) AS available, MIN(price_minor) AS from_minor FROM tickets \
         WHERE state = 'listed' AND held_until <= ",
    );
    select.bind(now).push(" AND ").push(PUBLISHED);
    select.push(" AND event_id IN (");
    select.bind_list(events.iter().copied());
    select.push(") GROUP BY event_id");
    let rows = select
        .query_as::<(EventId, i64, Option<MinorUnits>)>()?
        .fetch_all(on)
        .await?;
    let stocks = rows.into_iter().map(|(event, available, from_minor)| {
        let stock = Stock {
            available,
            from_minor,
        };
        (event, stock)
    });
    Ok(stocks.collect())
}

/// Cities with events on sale, most events first.
pub(crate) async fn list_cities<'e>(
    on: impl AnyExecutor<'e>,
    now: Moment,
    limit: i64,
) -> Result<Vec<City>, sqlx::Error> {
    // Counts with the index alone, and looks a name up only for the cities that are returned.
    let sql = format!(
        "SELECT (SELECT MIN(city) FROM events WHERE city_key = c.city_key AND starts_at = c.first) \
         AS name, c.events FROM (SELECT city_key, CAST(SUM(events) AS BIGINT) AS events, \
         MIN(first) AS first FROM (SELECT city_key, COUNT(*) AS events, MIN(starts_at) AS first \
         FROM events WHERE starts_at > $1 GROUP BY city_key \
         UNION ALL SELECT city_key, 1 AS events, starts_at AS first FROM events WHERE {RUNNING}) AS b \
         GROUP BY city_key ORDER BY events DESC, city_key LIMIT $2) AS c \
         ORDER BY c.events DESC, c.city_key"
    );
    let rows = query_as::<_, (String, i64)>(AssertSqlSafe(sql))
        .bind(now)
        .bind(limit)
        .fetch_all(on)
        .await?;
    let cities = rows.into_iter().map(|(name, events)| City { name, events });
    Ok(cities.collect())
}

pub(crate) async fn insert(
    conn: &mut Conn,
    event: &EventRow,
    now: Moment,
) -> Result<(), sqlx::Error> {
    let what = &event.what;
    query(
        "INSERT INTO events (id, creator_id, title, description, venue, city, country, starts_at, \
         time_zone, currency, search_text, city_key, version, created_at, category, utc_offset, \
         ends_at, sales_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
         $15, $16, $17, $18)",
    )
    .bind(event.id)
    .bind(event.creator)
    .bind(what.title.clone())
    .bind(what.description.clone())
    .bind(what.venue.clone())
    .bind(what.city.clone())
    .bind(what.country.clone())
    .bind(what.starts_at)
    .bind(what.time_zone.clone())
    .bind(what.currency)
    .bind(what.search_text())
    .bind(what.city_key())
    .bind(event.version)
    .bind(now)
    .bind(what.category.code())
    .bind(what.utc_offset_micros())
    .bind(what.ends_at)
    .bind(what.sales_until)
    .execute(conn)
    .await?;
    Ok(())
}

/// Conditional update: the creator and version match, the event is not over, and the currency is unchanged
/// or the event has no tickets. Returns false if one of these does not hold.
pub(crate) async fn update(
    conn: &mut Conn,
    id: EventId,
    creator: UserId,
    version: i64,
    what: &Checked,
    now: Moment,
) -> Result<bool, sqlx::Error> {
    let done = query(concat!(
        "UPDATE events SET title = $4, description = $5, venue = $6, city = $7, country = $8, \
         starts_at = $9, time_zone = $10, currency = $11, search_text = $12, city_key = $13, \
         category = $15, utc_offset = $16, ends_at = $17, sales_until = $18, version = version + 1 \
         WHERE id = $1 AND creator_id = $2 AND version = $3 AND ",
        not_over!("events", "$14"),
        " AND (currency = $11 OR NOT EXISTS (SELECT 1 FROM tickets t WHERE t.event_id = events.id))"
    ))
    .bind(id)
    .bind(creator)
    .bind(version)
    .bind(what.title.clone())
    .bind(what.description.clone())
    .bind(what.venue.clone())
    .bind(what.city.clone())
    .bind(what.country.clone())
    .bind(what.starts_at)
    .bind(what.time_zone.clone())
    .bind(what.currency)
    .bind(what.search_text())
    .bind(what.city_key())
    .bind(now)
    .bind(what.category.code())
    .bind(what.utc_offset_micros())
    .bind(what.ends_at)
    .bind(what.sales_until)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Sets `event.picture` if the creator and version match; a new picture only while the event is not over.
/// Returns false if one of these does not hold.
pub(crate) async fn set_picture(
    conn: &mut Conn,
    event: &EventRow,
    now: Moment,
) -> Result<bool, sqlx::Error> {
    let not_over_at = event.picture.as_ref().map_or(Moment::MIN, |_| now);
    let done = query(concat!(
        "UPDATE events SET picture = $4, version = version + 1 \
         WHERE id = $1 AND creator_id = $2 AND version = $3 AND ",
        not_over!("events", "$5")
    ))
    .bind(event.id)
    .bind(event.creator)
    .bind(event.version)
    .bind(event.picture.as_ref().map(Picture::to_string))
    .bind(not_over_at)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Stores an event's picture in one width.
pub(crate) async fn insert_picture(
    conn: &mut Conn,
    event: EventId,
    digest: &str,
    width: u32,
    jpeg: &[u8],
) -> Result<(), sqlx::Error> {
    query("INSERT INTO pictures (event_id, width, digest, bytes) VALUES ($1, $2, $3, $4)")
        .bind(event)
        .bind(i64::from(width))
        .bind(digest.to_owned())
        .bind(jpeg.to_owned())
        .execute(conn)
        .await?;
    Ok(())
}

/// Deletes an event's picture in all widths.
pub(crate) async fn delete_pictures(conn: &mut Conn, event: EventId) -> Result<(), sqlx::Error> {
    query("DELETE FROM pictures WHERE event_id = $1")
        .bind(event)
        .execute(conn)
        .await?;
    Ok(())
}

/// The JPEG file of a picture in the width of `form`.
pub async fn find_picture<'e>(
    on: impl AnyExecutor<'e>,
    form: &Picture,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    // Several events may have the same picture.
    query_scalar("SELECT bytes FROM pictures WHERE digest = $1 AND width = $2 LIMIT 1")
        .bind(form.digest().to_owned())
        .bind(i64::from(form.width()))
        .fetch_optional(on)
        .await
}

/// Selects up to `$2` rows after the id `$1` for [`fill_search_keys`].
pub(crate) fn select_search_keys() -> String {
    "SELECT id, title, venue, city, search_text, city_key FROM events WHERE id > $1 \
     ORDER BY id LIMIT $2"
        .to_owned()
}

#[derive(FromRow)]
struct SearchKeysRow {
    id: EventId,
    title: String,
    venue: String,
    city: String,
    search_text: String,
    city_key: String,
}

/// Recomputes the search text and city key of an event.
pub(crate) async fn fill_search_keys(conn: &mut Conn, row: AnyRow) -> Result<(), sqlx::Error> {
    let row = SearchKeysRow::from_row(&row)?;
    let search_text = words::index_words(&format!("{} {} {}", row.title, row.venue, row.city));
    let city_key = names::key(&row.city);
    if search_text != row.search_text || city_key != row.city_key {
        query("UPDATE events SET search_text = $2, city_key = $3 WHERE id = $1")
            .bind(row.id)
            .bind(search_text)
            .bind(city_key)
            .execute(conn)
            .await?;
    }
    Ok(())
}
