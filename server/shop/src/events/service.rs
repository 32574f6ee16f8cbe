//! Listing, creating and changing events.

use super::{
    changes,
    listing::Filter,
    places, rules,
    store::{self, EventRow},
    words,
};
use crate::names;
use async_trait::async_trait;
use model::{
    Moment,
    accounts::Viewer,
    error::{AppError, AppResult, Conflict},
    events::{
        COUNTED_MAX, City, CreateEvent, Event, EventList, EventQuery, Events, PlaceAsked,
        PlaceProposed, UpdateEvent,
    },
    ids::{EventId, UserId},
};
use platform::{
    clock::SharedClock,
    db::Db,
    fault::{Fault, FaultResult},
    outbox::{self, EventType},
};
use std::sync::Arc;
use tokio::sync::Semaphore;
use uuid::Uuid;

const LIMIT_DEFAULT: i64 = 20;
const LIMIT_MAX: i64 = 100;
const CITIES_MAX: i64 = 24;

/// The rules of events.
#[derive(Clone)]
pub struct EventsService {
    pub(super) db: Db,
    pub(super) clock: SharedClock,
    /// Whose turn it is to develop a picture.
    pub(super) darkroom: Arc<Semaphore>,
}

impl EventsService {
    /// Events over `db`.
    pub fn new(db: Db, clock: SharedClock) -> Self {
        Self {
            db,
            clock,
            darkroom: Arc::new(Semaphore::new(1)),
        }
    }

    async fn page(&self, asked: EventQuery) -> FaultResult<EventList> {
        let limit = asked.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(AppError::invalid("limit", "Ask for 1 to 100.").into());
        }
        let now = self.clock.now();
        let behind = asked.cursor.as_deref().map(read_cursor).transpose()?;
        let Some(filter) = filter(asked, now) else {
            return Ok(EventList::default());
        };
        let filter = Filter {
            behind,
            limit: limit + 1,
            ..filter
        };
        let mut rows = store::events_page(&self.db, &filter).await?;
        let more = i64::try_from(rows.len()).is_ok_and(|found| found > limit);
        if more {
            rows.pop();
        }
        let next = rows.last().filter(|_| more).map(write_cursor);
        Ok(EventList {
            events: self.dress(rows, now).await?,
            next,
        })
    }

    /// Adds what is for sale.
    async fn dress(&self, rows: Vec<EventRow>, now: Moment) -> FaultResult<Vec<Event>> {
        let ids: Vec<EventId> = rows
            .iter()
            .filter(|row| row.what.is_on_sale(now))
            .map(|row| row.id)
            .collect();
        let stock = store::events_stock(self.db.reads(), &ids, now).await?;
        Ok(rows
            .iter()
            .map(|row| row.event(stock.get(&row.id).copied().unwrap_or_default()))
            .collect())
    }

    async fn one(&self, id: EventId) -> FaultResult<Event> {
        let row = store::event_find(self.db.reads(), id).await?;
        let row = row.ok_or(Fault::Refused(AppError::NotFound))?;
        let mut dressed = self.dress(vec![row], self.clock.now()).await?;
        dressed.pop().ok_or(Fault::Refused(AppError::NotFound))
    }

    async fn create_event(&self, creator: UserId, request: CreateEvent) -> FaultResult<Event> {
        let now = self.clock.now();
        let what = rules::check(request, now.timestamp()).map_err(AppError::Invalid)?;
        let row = EventRow {
            id: EventId(Uuid::now_v7()),
            creator,
            what,
            picture: None,
            version: 1,
        };
        let written = row.clone();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    store::event_insert(conn, &written, now).await?;
                    let told = [written.told(EventType::EventCreated)];
                    Ok::<_, Fault>(outbox::append(conn, now, &told).await?)
                })
            })
            .await?;
        Ok(row.event(store::Stock::default()))
    }

    async fn update_event(
        &self,
        viewer: UserId,
        id: EventId,
        request: UpdateEvent,
    ) -> FaultResult<Event> {
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let row = store::event_find(&mut *conn, id)
                        .await?
                        .ok_or(AppError::NotFound)?;
                    if row.creator != viewer {
                        return Err(AppError::Forbidden.into());
                    }
                    if row.what.span().is_over(now.timestamp()) {
                        return Err(Conflict::EventOver.into());
                    }
                    let version = request.version;
                    let what = rules::check_update(&row.what, request, now.timestamp())
                        .map_err(AppError::Invalid)?;
                    if !store::event_update(conn, id, viewer, version, &what, now).await? {
                        return Err(why_not_updated(&row, version));
                    }
                    let after = EventRow {
                        what,
                        version: version + 1,
                        ..row.clone()
                    };
                    let told = [after.told(EventType::EventUpdated)];
                    outbox::append(conn, now, &told).await?;
                    changes::change_note(conn, &row, &after, now).await?;
                    Ok(())
                })
            })
            .await?;
        self.one(id).await
    }
}

/// The losing side of a change.
fn why_not_updated(row: &EventRow, version: i64) -> Fault {
    if row.version != version {
        return Conflict::VersionConflict.into();
    }
    let message = "The currency can change only while the event has no tickets.";
    AppError::invalid("currency", message).into()
}

/// What the query asks for, but for its page; nothing if nothing can be found by it.
fn filter(asked: EventQuery, now: Moment) -> Option<Filter> {
    let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let (q, city_key) = (
        given(asked.q),
        given(asked.city).map(|city| names::key(&city)),
    );
    let words = q.as_deref().map(words::sought);
    let findable = words.as_ref().is_none_or(|words| !words.is_empty())
        && !city_key.iter().any(|city| city.contains(char::is_control));
    findable.then(|| Filter {
        words: words.unwrap_or_default(),
        city_key,
        category: asked.category,
        after: now,
        from: asked.from.map(Moment::from),
        to: asked.to.map(Moment::from),
        when: asked.when,
        first_day: asked.first_day,
        last_day: asked.last_day,
        ..Filter::default()
    })
}

/// `starts_at` in microseconds and the id: where a page ended.
fn write_cursor(row: &EventRow) -> String {
    format!("{}_{}", row.what.starts_at.micros(), row.id)
}

fn read_cursor(cursor: &str) -> Result<(Moment, EventId), AppError> {
    cursor
        .split_once('_')
        .and_then(|(start, id)| {
            let start = start.parse().map(Moment::from_micros);
            Some((start.ok()?, id.parse().ok()?))
        })
        .ok_or_else(|| AppError::invalid("cursor", "This isn't a cursor from here."))
}

#[async_trait]
impl Events for EventsService {
    async fn list(&self, query: EventQuery) -> AppResult<EventList> {
        Ok(self.page(query).await?)
    }

    async fn count(&self, query: EventQuery) -> AppResult<i64> {
        let Some(filter) = filter(query, self.clock.now()) else {
            return Ok(0);
        };
        let filter = Filter {
            limit: COUNTED_MAX,
            ..filter
        };
        let count = store::events_count(&self.db, &filter).await;
        Ok(count.map_err(Fault::from)?)
    }

    async fn cities(&self) -> AppResult<Vec<City>> {
        let now = self.clock.now();
        let cities = store::cities_upcoming(self.db.reads(), now, CITIES_MAX).await;
        Ok(cities.map_err(Fault::from)?)
    }

    async fn get(&self, id: EventId) -> AppResult<Event> {
        Ok(self.one(id).await?)
    }

    async fn is_creator(&self, viewer: &Viewer, id: EventId) -> AppResult<bool> {
        let of = store::event_is_of(self.db.reads(), id, viewer.user.id).await;
        Ok(of.map_err(Fault::from)?)
    }

    async fn created_by(&self, viewer: &Viewer) -> AppResult<Vec<Event>> {
        let now = self.clock.now();
        let filter = Filter {
            creator: Some(viewer.user.id),
            after: now,
            limit: LIMIT_MAX,
            ..Filter::default()
        };
        let rows = store::events_page(&self.db, &filter)
            .await
            .map_err(Fault::from)?;
        Ok(self.dress(rows, now).await?)
    }

    fn place(&self, asked: PlaceAsked) -> PlaceProposed {
        places::propose(asked)
    }

    async fn check(&self, request: CreateEvent) -> AppResult<()> {
        let checked = rules::check(request, self.clock.now().timestamp());
        checked.map(drop).map_err(AppError::Invalid)
    }

    async fn create(&self, viewer: &Viewer, request: CreateEvent) -> AppResult<Event> {
        Ok(self.create_event(viewer.user.id, request).await?)
    }

    async fn update(&self, viewer: &Viewer, id: EventId, request: UpdateEvent) -> AppResult<Event> {
        Ok(self.update_event(viewer.user.id, id, request).await?)
    }
}
