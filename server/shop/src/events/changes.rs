//! Telling buyers that their event has another title, time or place.
//!
//! A change opens a set of changes, and others within a few minutes join it. When the set is due, a
//! round goes through the event's orders page by page and queues a mail for each; what the mail says is
//! looked up when it is written (`letters/changed.rs`). Which round begins a set, and which has queued a
//! page, is decided by one conditional UPDATE.

use super::store::{self, EventRow};
use crate::mail::{self, Kind};
use jiff::Timestamp;
use model::{
    Moment,
    events::when_until_in_full,
    ids::{EventChangeId, EventId, OrderId},
    micros,
};
use platform::{
    clock::SharedClock,
    db::{Conn, Db},
    fault::{Fault, FaultResult},
};
use serde::{Deserialize, Serialize};
use sqlx::{AnyExecutor, query, query_as, query_scalar};
use sqlx_macros::FromRow;
use std::time::Duration;
use uuid::Uuid;

/// A set of changes waits so long for others after its last one, and so long after its first at most.
const QUIET: Duration = Duration::from_mins(5);
const WAITS_MAX: Duration = Duration::from_mins(30);
/// Buyers are also told who reserved up to this long after the last change: their reservation may have
/// been under way, or their process's clock may be ahead. A mail too many does no harm.
const RESERVED_WITHIN: Duration = Duration::from_mins(1);
/// How long a set is kept that was told: longer than a mail about it is tried.
const KEPT: Duration = Duration::from_hours(30 * 24);

/// How many sets a round takes on, and how many orders one transaction.
const SETS_MAX: i64 = 20;
const ORDERS_PER_PAGE: i64 = 200;

/// What buyers are told of when it changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Announced {
    title: String,
    venue: String,
    city: String,
    country: String,
    starts_at: Timestamp,
    ends_at: Option<Timestamp>,
    time_zone: String,
}

/// What is told of one thing that has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// What it is.
    pub what: &'static str,
    /// As it was.
    pub before: String,
    /// As it is.
    pub now: String,
}

impl Announced {
    /// Of an event as it is.
    pub(crate) fn of(event: &EventRow) -> Self {
        let what = &event.what;
        Self {
            title: what.title.clone(),
            venue: what.venue.clone(),
            city: what.city.clone(),
            country: what.country.clone(),
            starts_at: what.starts_at.timestamp(),
            ends_at: what.ends_at.map(Moment::timestamp),
            time_zone: what.time_zone.clone(),
        }
    }

    /// What a reader sees to be another now.
    pub(crate) fn differences(&self, now: &Self) -> Vec<Difference> {
        let when = |of: &Self| when_until_in_full(of.starts_at, of.ends_at, &of.time_zone);
        let abroad = self.country != now.country;
        let place = |of: &Self| {
            let country = if abroad {
                format!(", {}", of.country)
            } else {
                String::new()
            };
            format!("{}, {}{country}", of.venue, of.city)
        };
        let all = [
            ("Event", self.title.clone(), now.title.clone()),
            ("When", when(self), when(now)),
            ("Where", place(self), place(now)),
        ];
        all.into_iter()
            .filter(|(_, before, now)| before != now)
            .map(|(what, before, now)| Difference { what, before, now })
            .collect()
    }
}

/// Notes that an event was changed, so that buyers are told: what they are told of was as in `before`
/// until now. Nothing happens if it still is.
pub(crate) async fn change_note(
    conn: &mut Conn,
    before: &EventRow,
    after: &EventRow,
    now: Moment,
) -> FaultResult<()> {
    let was = Announced::of(before);
    if was.differences(&Announced::of(after)).is_empty() {
        return Ok(());
    }
    let was = serde_json::to_string(&was)
        .map_err(|error| Fault::unexpected("a change was not written down", error))?;
    query(
        "INSERT INTO event_changes (id, event_id, state, was, first_at, last_at, due_at) \
         VALUES ($1, $2, 'waiting', $3, $4, $4, $5) \
         ON CONFLICT (event_id) WHERE state = 'waiting' DO UPDATE SET last_at = $4, \
         due_at = CASE WHEN event_changes.first_at + $6 < $5 THEN event_changes.first_at + $6 \
         ELSE $5 END",
    )
    .bind(EventChangeId(Uuid::now_v7()))
    .bind(before.id)
    .bind(was)
    .bind(now)
    .bind(now + QUIET)
    .bind(micros(WAITS_MAX))
    .execute(conn)
    .await?;
    Ok(())
}

/// What the event of a set of changes was like before. None: the set was forgotten.
pub(crate) async fn change_find<'e>(
    on: impl AnyExecutor<'e>,
    change: EventChangeId,
) -> FaultResult<Option<Announced>> {
    let was = query_scalar::<_, String>("SELECT was FROM event_changes WHERE id = $1")
        .bind(change)
        .fetch_optional(on)
        .await?;
    was.as_deref().map(read_announced).transpose()
}

fn read_announced(text: &str) -> FaultResult<Announced> {
    serde_json::from_str(text).map_err(|error| Fault::unexpected("a change cannot be read", error))
}

/// Forgets sets that were told long ago. Returns how many.
pub async fn changes_delete_old(conn: &mut Conn, now: Moment) -> Result<u64, sqlx::Error> {
    let done = query("DELETE FROM event_changes WHERE state = 'told' AND last_at <= $1")
        .bind(now - KEPT)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}

/// A set of changes whose buyers are being told.
#[derive(Debug, Clone, FromRow)]
struct Telling {
    id: EventChangeId,
    #[sqlx(rename = "event_id")]
    event: EventId,
    was: String,
    last_at: Moment,
    /// The last order whose buyer was told; empty at first.
    reached: String,
}

/// Looks for changes that are due, and has buyers told.
pub struct Changes {
    db: Db,
    clock: SharedClock,
}

impl Changes {
    /// Rounds over `db`.
    pub fn new(db: Db, clock: SharedClock) -> Self {
        Self { db, clock }
    }

    /// One round. Returns how many mails were queued by this call.
    pub async fn tell_due(&self) -> FaultResult<usize> {
        let now = self.clock.now();
        let mut told = 0;
        for change in due(self.db.reads(), now).await? {
            let begun: bool = self
                .db
                .write(move |conn| Box::pin(async move { begin(conn, change, now).await }))
                .await?;
            if !begun {
                continue;
            }
            while let Some(queued) = self.page(change, now).await? {
                told += queued;
            }
        }
        Ok(told)
    }

    /// Tells the next buyers of a set. Returns how many; nothing once all are told.
    async fn page(&self, change: EventChangeId, now: Moment) -> FaultResult<Option<usize>> {
        self.db
            .write(move |conn| Box::pin(async move { tell_page(conn, change, now).await }))
            .await
    }
}

/// The sets whose buyers are to be told, or are being told.
async fn due<'e>(on: impl AnyExecutor<'e>, now: Moment) -> Result<Vec<EventChangeId>, sqlx::Error> {
    query_scalar(
        "SELECT id FROM event_changes WHERE state <> 'told' AND due_at <= $1 \
         ORDER BY due_at, id LIMIT $2",
    )
    .bind(now)
    .bind(SETS_MAX)
    .fetch_all(on)
    .await
}

/// Closes a set to further changes. True also if that was done before: whoever did it may have died.
/// False: another change has joined it meanwhile, or all are told.
async fn begin(conn: &mut Conn, change: EventChangeId, now: Moment) -> Result<bool, sqlx::Error> {
    let done = query(
        "UPDATE event_changes SET state = 'telling' WHERE id = $1 AND (state = 'telling' \
         OR (state = 'waiting' AND due_at <= $2))",
    )
    .bind(change)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

async fn telling(conn: &mut Conn, change: EventChangeId) -> Result<Option<Telling>, sqlx::Error> {
    query_as(
        "SELECT id, event_id, was, last_at, reached FROM event_changes \
         WHERE id = $1 AND state = 'telling'",
    )
    .bind(change)
    .fetch_optional(conn)
    .await
}

async fn tell_page(
    conn: &mut Conn,
    change: EventChangeId,
    now: Moment,
) -> FaultResult<Option<usize>> {
    let Some(set) = telling(conn, change).await? else {
        return Ok(None);
    };
    let was = read_announced(&set.was)?;
    let event = store::event_find(&mut *conn, set.event).await?;
    let differs = event.is_some_and(|event| !was.differences(&Announced::of(&event)).is_empty());
    let orders = if differs {
        orders_after(conn, &set).await?
    } else {
        Vec::new()
    };
    let reached = orders.last().copied();
    if !reach(conn, &set, reached).await? {
        // Another round has told these buyers.
        return Ok(None);
    }
    for order in &orders {
        mail::queue(conn, Kind::EventChanged, subject(*order, change), now).await?;
    }
    Ok(reached.map(|_| orders.len()))
}

/// The subject of the mail to an order's buyer about a set of changes.
fn subject(order: OrderId, change: EventChangeId) -> String {
    format!("{order}:{change}")
}

/// What such a mail is about.
pub(crate) fn read_subject(subject: &str) -> Option<(OrderId, EventChangeId)> {
    let (order, change) = subject.split_once(':')?;
    Some((order.parse().ok()?, change.parse().ok()?))
}

/// The next orders that were made before the last change and are paid, or may yet be.
async fn orders_after(conn: &mut Conn, set: &Telling) -> Result<Vec<OrderId>, sqlx::Error> {
    query_scalar(
        "SELECT id FROM orders WHERE event_id = $1 AND id > $2 AND created_at <= $3 AND status IN \
         ('created', 'awaiting_payment', 'capturing', 'complete', 'refunding') \
         ORDER BY id LIMIT $4",
    )
    .bind(set.event)
    .bind(set.reached.clone())
    .bind(set.last_at + RESERVED_WITHIN)
    .bind(ORDERS_PER_PAGE)
    .fetch_all(conn)
    .await
}

/// Notes how far the telling has come; `None`: to its end. False: another round was faster.
async fn reach(conn: &mut Conn, set: &Telling, to: Option<OrderId>) -> Result<bool, sqlx::Error> {
    let done = query(
        "UPDATE event_changes SET reached = COALESCE($3, reached), \
         state = CASE WHEN $3 IS NULL THEN 'told' ELSE 'telling' END \
         WHERE id = $1 AND reached = $2 AND state = 'telling'",
    )
    .bind(set.id)
    .bind(set.reached.clone())
    .bind(to)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn festival() -> Announced {
        Announced {
            title: "Festival".to_owned(),
            venue: "Old Hall".to_owned(),
            city: "Leeds".to_owned(),
            country: "GB".to_owned(),
            starts_at: "2031-05-01T10:00:00Z".parse().unwrap(),
            ends_at: None,
            time_zone: "Europe/London".to_owned(),
        }
    }

    #[test]
    fn only_what_a_reader_sees_is_told() {
        let now = Announced {
            time_zone: "Europe/Jersey".to_owned(),
            ..festival()
        };
        assert_eq!(festival().differences(&now), [], "the same clocks");
        let now = Announced {
            venue: "New Hall".to_owned(),
            ends_at: "2031-05-03T17:00:00Z".parse().ok(),
            ..festival()
        };
        let told = festival().differences(&now);
        let whats: Vec<&str> = told.iter().map(|one| one.what).collect();
        assert_eq!(whats, ["When", "Where"]);
        assert_eq!(told[0].before, "Thursday 1 May 2031, 11:00 am BST");
        assert_eq!(
            told[0].now,
            "Thursday 1 May 2031, 11:00 am – Saturday 3 May 2031, 6:00 pm BST"
        );
        assert_eq!(told[1].now, "New Hall, Leeds");
        let now = Announced {
            country: "US".to_owned(),
            ..festival()
        };
        assert_eq!(festival().differences(&now)[0].now, "Old Hall, Leeds, US");
    }

    #[test]
    fn a_subject_names_order_and_change() {
        let (order, change) = (OrderId(Uuid::now_v7()), EventChangeId(Uuid::now_v7()));
        assert_eq!(read_subject(&subject(order, change)), Some((order, change)));
        assert_eq!(read_subject("nonsense"), None);
    }
}
