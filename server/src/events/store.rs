//! The SQL of events. Functions that take a `Conn` run in the caller's transaction.

use super::{listing::Filter, rules::Checked, span::not_over, words};
use crate::{
    clock::from_micros,
    db::{Conn, Db, parse, placeholders},
    names,
    outbox::{DomainEvent, EventType},
    tickets::batches::PUBLISHED,
};
use app::events::{City, Event, Picture};
use jiff::Timestamp;
use model::{
    ids::{EventId, UserId},
    money::Currency,
};
use sqlx::{AnyExecutor, AssertSqlSafe, Row, any::AnyRow, query};
use std::collections::HashMap;

const COLUMNS: &str = "id, creator_id, title, description, venue, city, country, starts_at, \
     ends_at, sales_until, time_zone, currency, category, picture, version";

/// What the database says of an event.
#[derive(Debug, Clone)]
pub struct EventRow {
    /// Its id.
    pub id: EventId,
    /// Who may change it.
    pub creator: UserId,
    /// What it is.
    pub what: Checked,
    /// What it looks like.
    pub picture: Option<Picture>,
    /// Counts changes, from 1.
    pub version: i64,
}

/// How many tickets of an event can be bought this moment, and from how much.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stock {
    /// How many.
    pub available: i64,
    /// The cheapest, in minor units.
    pub from_minor: Option<i64>,
}

impl EventRow {
    fn read(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let picture: Option<String> = row.try_get("picture")?;
        Ok(Self {
            id: parse(row, "id")?,
            creator: parse(row, "creator_id")?,
            what: Checked {
                title: row.try_get("title")?,
                description: row.try_get("description")?,
                venue: row.try_get("venue")?,
                city: row.try_get("city")?,
                country: row.try_get("country")?,
                starts_at: from_micros(row.try_get("starts_at")?),
                ends_at: row.try_get::<Option<i64>, _>("ends_at")?.map(from_micros),
                sales_until: row
                    .try_get::<Option<i64>, _>("sales_until")?
                    .map(from_micros),
                time_zone: row.try_get("time_zone")?,
                currency: parse::<Currency>(row, "currency")?,
                category: parse(row, "category")?,
            },
            picture: picture.map(|_| parse(row, "picture")).transpose()?,
            version: row.try_get("version")?,
        })
    }

    /// As everybody sees it, with what is for sale.
    pub fn event(&self, stock: Stock) -> Event {
        let what = self.what.clone();
        Event {
            id: self.id,
            title: what.title,
            category: what.category,
            description: what.description,
            venue: what.venue,
            city: what.city,
            country: what.country,
            starts_at: what.starts_at,
            ends_at: what.ends_at,
            sales_until: what.sales_until,
            time_zone: what.time_zone,
            currency: what.currency,
            tickets_available: stock.available,
            price_from_minor: stock.from_minor,
            picture: self.picture.clone(),
            version: self.version,
        }
    }

    /// The domain event that tells of this row as it is after a change.
    pub fn told(&self, kind: EventType) -> DomainEvent {
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

/// One event, past or to come.
pub async fn event_find<'e>(
    on: impl AnyExecutor<'e>,
    id: EventId,
) -> Result<Option<EventRow>, sqlx::Error> {
    let sql = format!("SELECT {COLUMNS} FROM events WHERE id = $1");
    let row = query(AssertSqlSafe(sql))
        .bind(id.to_string())
        .fetch_optional(on)
        .await?;
    row.as_ref().map(EventRow::read).transpose()
}

/// Whether this user created this event.
pub async fn event_is_of<'e>(
    on: impl AnyExecutor<'e>,
    id: EventId,
    creator: UserId,
) -> Result<bool, sqlx::Error> {
    let found = query("SELECT 1 FROM events WHERE id = $1 AND creator_id = $2")
        .bind(id.to_string())
        .bind(creator.to_string())
        .fetch_optional(on)
        .await?;
    Ok(found.is_some())
}

/// A page of events, soonest first.
pub async fn events_page(db: &Db, filter: &Filter) -> Result<Vec<EventRow>, sqlx::Error> {
    let page = filter.page(db.engine(), COLUMNS);
    let rows = page.query().fetch_all(db.reads()).await?;
    rows.iter().map(EventRow::read).collect()
}

/// How many events there are, as many as the filter's limit at most.
pub async fn events_count(db: &Db, filter: &Filter) -> Result<i64, sqlx::Error> {
    let count = filter.count(db.engine());
    let row = count.query().fetch_one(db.reads()).await?;
    row.try_get("events")
}

/// The events that have begun before `$1` and are on sale then. They last no longer than 366 days
/// (`rules.rs`), so that the index of those that are sold after their start bounds what is looked at.
const RUNNING: &str = "sales_until > $1 AND starts_at <= $1 AND starts_at > $1 - 31622400000000";

/// Ids of the next events on sale, soonest first.
pub async fn events_next<'e>(
    on: impl AnyExecutor<'e>,
    now_micros: i64,
    limit: i64,
) -> Result<Vec<EventId>, sqlx::Error> {
    let sql = format!(
        "SELECT id FROM (SELECT id, starts_at FROM events WHERE starts_at > $1 \
         UNION ALL SELECT id, starts_at FROM events WHERE {RUNNING}) AS sold \
         ORDER BY starts_at, id LIMIT $2"
    );
    let rows = query(AssertSqlSafe(sql))
        .bind(now_micros)
        .bind(limit)
        .fetch_all(on)
        .await?;
    rows.iter().map(|row| parse(row, "id")).collect()
}

/// What is for sale at these events this moment.
pub async fn events_stock<'e>(
    on: impl AnyExecutor<'e>,
    events: &[EventId],
    now_micros: i64,
) -> Result<HashMap<EventId, Stock>, sqlx::Error> {
    if events.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = format!(
        "SELECT event_id, COUNT(*) AS available, MIN(price_minor) AS from_minor FROM tickets \
         WHERE state = 'listed' AND held_until <= $1 AND {PUBLISHED} AND event_id IN ({}) \
         GROUP BY event_id",
        placeholders(2, events.len())
    );
    let mut select = query(AssertSqlSafe(sql)).bind(now_micros);
    for event in events {
        select = select.bind(event.to_string());
    }
    let rows = select.fetch_all(on).await?;
    rows.iter()
        .map(|row| {
            let stock = Stock {
                available: row.try_get("available")?,
                from_minor: row.try_get("from_minor")?,
            };
            Ok((parse(row, "event_id")?, stock))
        })
        .collect()
}

/// Cities with events on sale, busiest first.
pub async fn cities_upcoming<'e>(
    on: impl AnyExecutor<'e>,
    now_micros: i64,
    limit: i64,
) -> Result<Vec<City>, sqlx::Error> {
    // Counted by the index alone; a name is looked up only for those that are shown.
    let sql = format!(
        "SELECT (SELECT MIN(city) FROM events WHERE city_key = c.city_key AND starts_at = c.first) \
         AS name, c.events FROM (SELECT city_key, CAST(SUM(events) AS BIGINT) AS events, \
         MIN(first) AS first FROM (SELECT city_key, COUNT(*) AS events, MIN(starts_at) AS first \
         FROM events WHERE starts_at > $1 GROUP BY city_key \
         UNION ALL SELECT city_key, 1 AS events, starts_at AS first FROM events WHERE {RUNNING}) AS b \
         GROUP BY city_key ORDER BY events DESC, city_key LIMIT $2) AS c \
         ORDER BY c.events DESC, c.city_key"
    );
    let rows = query(AssertSqlSafe(sql))
        .bind(now_micros)
        .bind(limit)
        .fetch_all(on)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(City {
                name: row.try_get("name")?,
                events: row.try_get("events")?,
            })
        })
        .collect()
}

/// Writes a new event down.
pub async fn event_insert(
    conn: &mut Conn,
    event: &EventRow,
    now_micros: i64,
) -> Result<(), sqlx::Error> {
    let what = &event.what;
    query(
        "INSERT INTO events (id, creator_id, title, description, venue, city, country, starts_at, \
         time_zone, currency, search_text, city_key, version, created_at, category, utc_offset, \
         ends_at, sales_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
         $15, $16, $17, $18)",
    )
    .bind(event.id.to_string())
    .bind(event.creator.to_string())
    .bind(what.title.clone())
    .bind(what.description.clone())
    .bind(what.venue.clone())
    .bind(what.city.clone())
    .bind(what.country.clone())
    .bind(what.starts_at.as_microsecond())
    .bind(what.time_zone.clone())
    .bind(what.currency.code())
    .bind(what.search_text())
    .bind(what.city_key())
    .bind(event.version)
    .bind(now_micros)
    .bind(what.category.code())
    .bind(what.utc_offset_micros())
    .bind(what.ends_at.map(Timestamp::as_microsecond))
    .bind(what.sales_until.map(Timestamp::as_microsecond))
    .execute(conn)
    .await?;
    Ok(())
}

/// Changes an event that is not over, if it is as it was read; its currency only while it
/// has no tickets. False: the race was lost, or one of these does not hold.
pub async fn event_update(
    conn: &mut Conn,
    id: EventId,
    creator: UserId,
    version: i64,
    what: &Checked,
    now_micros: i64,
) -> Result<bool, sqlx::Error> {
    let done = query(concat!(
        "UPDATE events SET title = $4, description = $5, venue = $6, city = $7, country = $8, \
         starts_at = $9, time_zone = $10, currency = $11, search_text = $12, city_key = $13, \
         category = $15, utc_offset = $16, ends_at = $17, sales_until = $18, version = version + 1 \
         WHERE id = $1 AND creator_id = $2 AND version = $3 AND ",
        not_over!("events", "$14"),
        " AND (currency = $11 OR NOT EXISTS (SELECT 1 FROM tickets t WHERE t.event_id = events.id))"
    ))
    .bind(id.to_string())
    .bind(creator.to_string())
    .bind(version)
    .bind(what.title.clone())
    .bind(what.description.clone())
    .bind(what.venue.clone())
    .bind(what.city.clone())
    .bind(what.country.clone())
    .bind(what.starts_at.as_microsecond())
    .bind(what.time_zone.clone())
    .bind(what.currency.code())
    .bind(what.search_text())
    .bind(what.city_key())
    .bind(now_micros)
    .bind(what.category.code())
    .bind(what.utc_offset_micros())
    .bind(what.ends_at.map(Timestamp::as_microsecond))
    .bind(what.sales_until.map(Timestamp::as_microsecond))
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Says what an event looks like, if it is still as `event` was read; a new picture only while the
/// event is not over. False: the race was lost.
pub async fn event_set_picture(
    conn: &mut Conn,
    event: &EventRow,
    now_micros: i64,
) -> Result<bool, sqlx::Error> {
    let not_over_at = event.picture.as_ref().map_or(i64::MIN, |_| now_micros);
    let done = query(concat!(
        "UPDATE events SET picture = $4, version = version + 1 \
         WHERE id = $1 AND creator_id = $2 AND version = $3 AND ",
        not_over!("events", "$5")
    ))
    .bind(event.id.to_string())
    .bind(event.creator.to_string())
    .bind(event.version)
    .bind(event.picture.as_ref().map(Picture::to_string))
    .bind(not_over_at)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes down one form of an event's picture.
pub async fn picture_insert(
    conn: &mut Conn,
    event: EventId,
    digest: &str,
    width: u32,
    jpeg: &[u8],
) -> Result<(), sqlx::Error> {
    query("INSERT INTO pictures (event_id, width, digest, bytes) VALUES ($1, $2, $3, $4)")
        .bind(event.to_string())
        .bind(i64::from(width))
        .bind(digest.to_owned())
        .bind(jpeg.to_owned())
        .execute(conn)
        .await?;
    Ok(())
}

/// Takes all forms of an event's picture away.
pub async fn pictures_delete(conn: &mut Conn, event: EventId) -> Result<(), sqlx::Error> {
    query("DELETE FROM pictures WHERE event_id = $1")
        .bind(event.to_string())
        .execute(conn)
        .await?;
    Ok(())
}

/// A picture in one of its forms.
pub async fn picture_bytes<'e>(
    on: impl AnyExecutor<'e>,
    form: &Picture,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    // The same picture may be of several events.
    let row = query("SELECT bytes FROM pictures WHERE digest = $1 AND width = $2 LIMIT 1")
        .bind(form.digest().to_owned())
        .bind(i64::from(form.width()))
        .fetch_optional(on)
        .await?;
    row.map(|row| row.try_get("bytes")).transpose()
}

/// Selects the rows behind the id `$1` for [`event_fill_search_keys`], `$2` at the most.
pub fn rows_with_search_keys() -> String {
    "SELECT id, title, venue, city, search_text, city_key FROM events WHERE id > $1 \
     ORDER BY id LIMIT $2"
        .to_owned()
}

/// Computes the search's words and the city's key of an event anew.
pub async fn event_fill_search_keys(conn: &mut Conn, row: AnyRow) -> Result<(), sqlx::Error> {
    let text = |column| row.try_get::<String, _>(column);
    let (title, venue, city) = (text("title")?, text("venue")?, text("city")?);
    let search_text = words::index(&format!("{title} {venue} {city}"));
    let city_key = names::key(&city);
    if search_text != text("search_text")? || city_key != text("city_key")? {
        query("UPDATE events SET search_text = $2, city_key = $3 WHERE id = $1")
            .bind(text("id")?)
            .bind(search_text)
            .bind(city_key)
            .execute(conn)
            .await?;
    }
    Ok(())
}
