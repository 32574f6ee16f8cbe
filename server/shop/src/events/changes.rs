//! Notifies buyers when the title, time or place of their event changes.
//!
//! A change opens a set of changes, which later changes join for a few minutes. When the set is due,
//! [`ChangeNotifier`] goes through the event's orders page by page and queues a mail for each; the content
//! is determined when the mail is composed (`letters/changed.rs`). Conditional UPDATEs ensure that
//! concurrent runs queue each page once.

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

/// A set of changes is due this long after its last change, but at most [`DELAY_MAX`] after its first.
const DELAY: Duration = Duration::from_mins(5);
const DELAY_MAX: Duration = Duration::from_mins(30);
/// Includes orders created up to this long after the last change: the reservation may have been in
/// progress, or the clock of its process ahead. A superfluous mail is harmless.
const ORDER_TOLERANCE: Duration = Duration::from_mins(1);
/// How long a finished set is kept: longer than its mails are retried.
const KEEP_FOR: Duration = Duration::from_hours(30 * 24);

/// Sets per run.
const SETS_MAX: i64 = 20;
/// Orders per transaction.
const ORDERS_PER_PAGE: i64 = 200;

/// The properties of an event whose changes buyers are notified of.
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

/// A changed property, as text for the mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    pub label: &'static str,
    pub before: String,
    pub now: String,
}

impl Announced {
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

    /// Only differences that a reader can see.
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
            .map(|(label, before, now)| Difference { label, before, now })
            .collect()
    }
}

/// Records a change in the event's open set, or opens a set. Does nothing if no announced property differs.
pub(crate) async fn record(
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
        .map_err(|error| Fault::unexpected("event change not serializable", error))?;
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
    .bind(now + DELAY)
    .bind(micros(DELAY_MAX))
    .execute(conn)
    .await?;
    Ok(())
}

/// The event before a set of changes. `None` if the set has been deleted.
pub(crate) async fn find<'e>(
    on: impl AnyExecutor<'e>,
    change: EventChangeId,
) -> FaultResult<Option<Announced>> {
    let was = query_scalar::<_, String>("SELECT was FROM event_changes WHERE id = $1")
        .bind(change)
        .fetch_optional(on)
        .await?;
    was.as_deref().map(parse_announced).transpose()
}

fn parse_announced(text: &str) -> FaultResult<Announced> {
    serde_json::from_str(text)
        .map_err(|error| Fault::unexpected("stored event change unreadable", error))
}

/// Deletes sets that were finished long ago. Returns the number deleted.
pub async fn delete_old(conn: &mut Conn, now: Moment) -> Result<u64, sqlx::Error> {
    let done = query("DELETE FROM event_changes WHERE state = 'told' AND last_at <= $1")
        .bind(now - KEEP_FOR)
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}

/// A set of changes whose buyers are being notified.
#[derive(Debug, Clone, FromRow)]
struct ActiveSet {
    id: EventChangeId,
    #[sqlx(rename = "event_id")]
    event: EventId,
    was: String,
    last_at: Moment,
    /// The last order for which a mail was queued; empty at first.
    reached: String,
}

/// Queues mails to buyers for sets of changes that are due.
pub struct ChangeNotifier {
    db: Db,
    clock: SharedClock,
}

impl ChangeNotifier {
    pub fn new(db: Db, clock: SharedClock) -> Self {
        Self { db, clock }
    }

    /// Queues the mails of all due sets. Returns the number queued by this call.
    pub async fn notify_due(&self) -> FaultResult<usize> {
        let now = self.clock.now();
        let mut total = 0;
        for change in list_due(self.db.reads(), now).await? {
            let begun: bool = self
                .db
                .write(move |conn| Box::pin(async move { begin(conn, change, now).await }))
                .await?;
            if !begun {
                continue;
            }
            while let Some(queued) = self.queue_page(change, now).await? {
                total += queued;
            }
        }
        Ok(total)
    }

    /// Queues mails for the next page of orders. Returns the number queued; `None` at the end of the set,
    /// or if a concurrent run has queued the page.
    async fn queue_page(&self, change: EventChangeId, now: Moment) -> FaultResult<Option<usize>> {
        self.db
            .write(move |conn| Box::pin(async move { queue_page(conn, change, now).await }))
            .await
    }
}

/// The sets that are due or being processed.
async fn list_due<'e>(
    on: impl AnyExecutor<'e>,
    now: Moment,
) -> Result<Vec<EventChangeId>, sqlx::Error> {
    query_scalar(
        "SELECT id FROM event_changes WHERE state <> 'told' AND due_at <= $1 \
         ORDER BY due_at, id LIMIT $2",
    )
    .bind(now)
    .bind(SETS_MAX)
    .fetch_all(on)
    .await
}

/// Closes a set to further changes. Returns true also if it was closed before, because that run may have
/// crashed; false if another change has joined it or it is finished.
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

async fn find_active(
    conn: &mut Conn,
    change: EventChangeId,
) -> Result<Option<ActiveSet>, sqlx::Error> {
    query_as(
        "SELECT id, event_id, was, last_at, reached FROM event_changes \
         WHERE id = $1 AND state = 'telling'",
    )
    .bind(change)
    .fetch_optional(conn)
    .await
}

async fn queue_page(
    conn: &mut Conn,
    change: EventChangeId,
    now: Moment,
) -> FaultResult<Option<usize>> {
    let Some(set) = find_active(conn, change).await? else {
        return Ok(None);
    };
    let was = parse_announced(&set.was)?;
    let event = store::find(&mut *conn, set.event).await?;
    let differs = event.is_some_and(|event| !was.differences(&Announced::of(&event)).is_empty());
    let orders = if differs {
        list_orders(conn, &set).await?
    } else {
        Vec::new()
    };
    let reached = orders.last().copied();
    if !advance(conn, &set, reached).await? {
        // A concurrent run has queued these mails.
        return Ok(None);
    }
    for order in &orders {
        mail::queue(conn, Kind::EventChanged, subject(*order, change), now).await?;
    }
    Ok(reached.map(|_| orders.len()))
}

/// The mail subject for an order's buyer and a set of changes.
fn subject(order: OrderId, change: EventChangeId) -> String {
    format!("{order}:{change}")
}

/// The inverse of [`subject`].
pub(crate) fn parse_subject(subject: &str) -> Option<(OrderId, EventChangeId)> {
    let (order, change) = subject.split_once(':')?;
    Some((order.parse().ok()?, change.parse().ok()?))
}

/// The next page of orders that were created before the last change and are paid or may still be paid.
async fn list_orders(conn: &mut Conn, set: &ActiveSet) -> Result<Vec<OrderId>, sqlx::Error> {
    query_scalar(
        "SELECT id FROM orders WHERE event_id = $1 AND id > $2 AND created_at <= $3 AND status IN \
         ('created', 'awaiting_payment', 'capturing', 'complete', 'refunding') \
         ORDER BY id LIMIT $4",
    )
    .bind(set.event)
    .bind(set.reached.clone())
    .bind(set.last_at + ORDER_TOLERANCE)
    .bind(ORDERS_PER_PAGE)
    .fetch_all(conn)
    .await
}

/// Conditional update: advances the set to the order `to`, or finishes it if `None`. Returns false if a
/// concurrent run has advanced it.
async fn advance(
    conn: &mut Conn,
    set: &ActiveSet,
    to: Option<OrderId>,
) -> Result<bool, sqlx::Error> {
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
    fn only_visible_differences_are_announced() {
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
        let differences = festival().differences(&now);
        let labels: Vec<&str> = differences.iter().map(|one| one.label).collect();
        assert_eq!(labels, ["When", "Where"]);
        assert_eq!(differences[0].before, "Thursday 1 May 2031, 11:00 am BST");
        assert_eq!(
            differences[0].now,
            "Thursday 1 May 2031, 11:00 am – Saturday 3 May 2031, 6:00 pm BST"
        );
        assert_eq!(differences[1].now, "New Hall, Leeds");
        let now = Announced {
            country: "US".to_owned(),
            ..festival()
        };
        assert_eq!(festival().differences(&now)[0].now, "Old Hall, Leeds, US");
    }

    #[test]
    fn a_subject_names_order_and_change() {
        let (order, change) = (OrderId(Uuid::now_v7()), EventChangeId(Uuid::now_v7()));
        assert_eq!(
            parse_subject(&subject(order, change)),
            Some((order, change))
        );
        assert_eq!(parse_subject("nonsense"), None);
    }
}
