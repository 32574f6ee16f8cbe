//! Listing, creating and changing events.

use super::{
    changes,
    listing::Filter,
    places, rules,
    store::{self, EventRow},
    words,
};
use crate::{
    names,
    paging::{self, Page, Position},
};
use async_trait::async_trait;
use model::{
    Moment,
    accounts::Viewer,
    error::{AppError, AppResult, Conflict},
    events::{
        COUNTED_MAX, City, CreateEvent, Event, EventList, EventQuery, Events, PlaceFields,
        PlaceProposal, UpdateEvent,
    },
    ids::EventId,
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

const CITIES_MAX: i64 = 24;

/// Implements the ports [`Events`] and `Pictures`.
#[derive(Clone)]
pub struct EventsService {
    pub(super) db: Db,
    pub(super) clock: SharedClock,
    /// One permit: rendering a picture takes much memory.
    pub(super) render_permit: Arc<Semaphore>,
}

impl EventsService {
    pub fn new(db: Db, clock: SharedClock) -> Self {
        Self {
            db,
            clock,
            render_permit: Arc::new(Semaphore::new(1)),
        }
    }

    async fn list(&self, query: EventQuery) -> FaultResult<EventList> {
        let page = Page::requested(query.limit, query.cursor.as_deref())?;
        let now = self.clock.now();
        let Some(filter) = filter(query, now) else {
            return Ok(EventList::default());
        };
        let filter = Filter {
            after: page.after,
            limit: page.rows_to_read(),
            ..filter
        };
        let mut rows = store::list(&self.db, &filter).await?;
        let next = page.end(&mut rows, |row| Position {
            number: row.what.starts_at.micros(),
            id: row.id,
        });
        Ok(EventList {
            events: self.add_stock(rows, now).await?,
            next,
        })
    }

    /// Adds the number of available tickets and the lowest price to each event.
    async fn add_stock(&self, rows: Vec<EventRow>, now: Moment) -> FaultResult<Vec<Event>> {
        let ids: Vec<EventId> = rows
            .iter()
            .filter(|row| row.what.is_on_sale(now))
            .map(|row| row.id)
            .collect();
        let stock = store::find_stock(self.db.reads(), &ids, now).await?;
        Ok(rows
            .iter()
            .map(|row| row.event(stock.get(&row.id).copied().unwrap_or_default()))
            .collect())
    }

    pub(super) async fn get(&self, id: EventId) -> FaultResult<Event> {
        let row = store::find(self.db.reads(), id).await?;
        let row = row.ok_or(Fault::Refused(AppError::NotFound))?;
        let mut events = self.add_stock(vec![row], self.clock.now()).await?;
        events.pop().ok_or(Fault::Refused(AppError::NotFound))
    }

    async fn create(&self, viewer: &Viewer, request: CreateEvent) -> FaultResult<Event> {
        let now = self.clock.now();
        let what = rules::check(request, now.timestamp()).map_err(AppError::Invalid)?;
        let row = EventRow {
            id: EventId(Uuid::now_v7()),
            creator: viewer.user.id,
            what,
            picture: None,
            version: 1,
        };
        let inserted = row.clone();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    store::insert(conn, &inserted, now).await?;
                    let created = inserted.domain_event(EventType::EventCreated);
                    Ok::<_, Fault>(outbox::append(conn, now, &[created]).await?)
                })
            })
            .await?;
        Ok(row.event(store::Stock::default()))
    }

    async fn update(
        &self,
        viewer: &Viewer,
        id: EventId,
        request: UpdateEvent,
        expected: Option<i64>,
    ) -> FaultResult<Event> {
        let (user, now) = (viewer.user.id, self.clock.now());
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let row = store::find(&mut *conn, id)
                        .await?
                        .ok_or(AppError::NotFound)?;
                    if row.creator != user {
                        return Err(AppError::Forbidden.into());
                    }
                    if expected.is_some_and(|expected| expected != row.version) {
                        return Err(AppError::PreconditionFailed.into());
                    }
                    if row.what.span().is_over(now.timestamp()) {
                        return Err(Conflict::EventOver.into());
                    }
                    let version = request.version;
                    let what = rules::check_update(&row.what, request, now.timestamp())
                        .map_err(AppError::Invalid)?;
                    if !store::update(conn, id, user, version, &what, now).await? {
                        let found = store::find(&mut *conn, id).await?;
                        let current = found.map_or(version, |row| row.version);
                        return Err(explain_refusal(current, version, expected));
                    }
                    let after = EventRow {
                        what,
                        version: version + 1,
                        ..row.clone()
                    };
                    let updated = after.domain_event(EventType::EventUpdated);
                    outbox::append(conn, now, &[updated]).await?;
                    changes::record(conn, &row, &after, now).await?;
                    Ok(())
                })
            })
            .await?;
        self.get(id).await
    }
}

/// Why the conditional UPDATE of the event, whose version is now `current`, matched no row: `version` is that of
/// the request, `expected` that of its `If-Match`.
fn explain_refusal(current: i64, version: i64, expected: Option<i64>) -> Fault {
    if current == version {
        let message = "The currency can change only while the event has no tickets.";
        return AppError::invalid("currency", message).into();
    }
    match expected {
        Some(expected) if expected != current => AppError::PreconditionFailed.into(),
        _ => Conflict::VersionConflict.into(),
    }
}

/// The filter for a query, without cursor and limit. `None` if the query cannot match any event.
fn filter(query: EventQuery, now: Moment) -> Option<Filter> {
    let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
    let (q, city_key) = (
        given(query.q),
        given(query.city).map(|city| names::key(&city)),
    );
    let words = q.as_deref().map(words::search_words);
    let can_match = words.as_ref().is_none_or(|words| !words.is_empty())
        && !city_key.iter().any(|city| city.contains(char::is_control));
    can_match.then(|| Filter {
        words: words.unwrap_or_default(),
        city_key,
        category: query.category,
        now,
        from: query.from.map(Moment::from),
        to: query.to.map(Moment::from),
        when: query.when,
        first_day: query.first_day,
        last_day: query.last_day,
        ..Filter::default()
    })
}

#[async_trait]
impl Events for EventsService {
    async fn list(&self, query: EventQuery) -> AppResult<EventList> {
        Ok(self.list(query).await?)
    }

    async fn count(&self, query: EventQuery) -> AppResult<i64> {
        let Some(filter) = filter(query, self.clock.now()) else {
            return Ok(0);
        };
        let filter = Filter {
            limit: COUNTED_MAX,
            ..filter
        };
        let count = store::count(&self.db, &filter).await;
        Ok(count.map_err(Fault::from)?)
    }

    async fn list_cities(&self) -> AppResult<Vec<City>> {
        let now = self.clock.now();
        let cities = store::list_cities(self.db.reads(), now, CITIES_MAX).await;
        Ok(cities.map_err(Fault::from)?)
    }

    async fn get(&self, id: EventId) -> AppResult<Event> {
        Ok(self.get(id).await?)
    }

    async fn is_creator(&self, viewer: &Viewer, id: EventId) -> AppResult<bool> {
        let is_creator = store::is_creator(self.db.reads(), id, viewer.user.id).await;
        Ok(is_creator.map_err(Fault::from)?)
    }

    async fn list_own(&self, viewer: &Viewer) -> AppResult<Vec<Event>> {
        let now = self.clock.now();
        let filter = Filter {
            creator: Some(viewer.user.id),
            now,
            limit: paging::SIZE_MAX,
            ..Filter::default()
        };
        let rows = store::list(&self.db, &filter).await.map_err(Fault::from)?;
        Ok(self.add_stock(rows, now).await?)
    }

    fn propose_place(&self, fields: PlaceFields) -> PlaceProposal {
        places::propose(fields)
    }

    async fn check(&self, request: CreateEvent) -> AppResult<()> {
        let checked = rules::check(request, self.clock.now().timestamp());
        checked.map(drop).map_err(AppError::Invalid)
    }

    async fn create(&self, viewer: &Viewer, request: CreateEvent) -> AppResult<Event> {
        Ok(self.create(viewer, request).await?)
    }

    async fn update(
        &self,
        viewer: &Viewer,
        id: EventId,
        request: UpdateEvent,
        expected: Option<i64>,
    ) -> AppResult<Event> {
        Ok(self.update(viewer, id, request, expected).await?)
    }
}
