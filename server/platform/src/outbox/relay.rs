//! Sends domain events to NATS: reads the unsent rows of the outbox, and marks those that NATS has
//! confirmed.
//!
//! Only the process with the lease sends. An event is sent once all earlier versions of its aggregate are
//! confirmed; aggregates are sent concurrently. The order depends on neither ids nor times: a row is
//! pending until it is marked, however late its transaction commits. An event that was confirmed but not
//! marked is sent again: NATS drops it by its id, and after NATS's duplicate window readers must drop it
//! by its version.

use super::{
    PUBLISHED,
    lease::Lease,
    nats::{Nats, SendError},
};
use crate::{
    clock::SharedClock,
    db::{Db, Statement},
    fault::chain,
};
use async_nats::jetstream::context::CreateStreamError;
use futures::{StreamExt, stream};
use model::{Moment, ids::OutboxId};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, query_scalar};
use sqlx_macros::FromRow;
use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// The most events that are read, sent and marked together.
const BATCH: usize = 1_000;
/// The most aggregates whose events are sent concurrently.
const AGGREGATES_AT_ONCE: usize = 256;
/// The most aggregates whose earlier versions are read separately in one round.
const BEHIND_MAX: usize = 100;
/// The period of polling while this process writes nothing.
const POLL_PERIOD: Duration = Duration::from_millis(250);
/// The shortest time between two rounds, unless there is more to send.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a round may take: a lost connection may never report an error.
const ROUND_TIME_MAX: Duration = Duration::from_mins(1);
/// The pause while another process has the lease or NATS takes no events.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An event that is not marked as confirmed.
#[derive(FromRow)]
pub(super) struct PendingEvent {
    pub(super) id: OutboxId,
    // Text, not an enum: during a rolling update the relay of the old version also sends events of the
    // new one.
    #[sqlx(rename = "aggregate_type")]
    pub(super) aggregate: String,
    pub(super) aggregate_id: String,
    version: i64,
    #[sqlx(rename = "type")]
    kind: String,
    occurred_at: Moment,
    data: String,
    /// When the previous version was confirmed.
    earlier_at: Option<Moment>,
}

impl PendingEvent {
    /// Whether the previous version is confirmed.
    fn is_next(&self) -> bool {
        self.version == 1 || self.earlier_at.is_some()
    }

    /// The message that readers receive.
    pub(super) fn message(&self) -> String {
        // This column contains JSON that `append` has written.
        let data: Value = serde_json::from_str(&self.data).unwrap_or_default();
        json!({
            "id": self.id,
            "type": self.kind,
            "aggregateType": self.aggregate,
            "aggregateId": self.aggregate_id,
            "version": self.version,
            "occurredAt": self.occurred_at,
            "data": data,
        })
        .to_string()
    }
}

/// The result of sending a batch.
#[derive(Default)]
struct Sent {
    confirmed: Vec<OutboxId>,
    failure: Option<SendError>,
}

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error("the outbox could not be read or updated")]
    Database(#[from] sqlx::Error),
    #[error("the stream for domain events could not be created")]
    Stream(#[from] CreateStreamError),
}

/// When to start the next round.
enum Next {
    Now,
    WhenWritten,
    AfterAWhile,
}

/// Sends domain events from the outbox to NATS.
pub struct Relay {
    db: Db,
    clock: SharedClock,
    nats: Nats,
    lease: Lease,
    has_stream: bool,
    /// The last problem that was logged, until a round succeeds.
    problem: Option<String>,
}

impl Relay {
    pub fn new(db: Db, clock: SharedClock, nats: Nats) -> Self {
        Self {
            lease: Lease::new(db.clone(), clock.clone(), "events"),
            db,
            clock,
            nats,
            has_stream: false,
            problem: None,
        }
    }

    /// Sends events. Never returns.
    pub async fn run(mut self) {
        loop {
            let next = match timeout(ROUND_TIME_MAX, self.round()).await {
                Ok(Ok(next)) => next,
                Ok(Err(error)) => {
                    self.warn_once(chain(&error));
                    Next::AfterAWhile
                }
                Err(_) => {
                    self.warn_once("a round exceeded its time limit".to_owned());
                    Next::AfterAWhile
                }
            };
            match next {
                Next::Now => {}
                Next::AfterAWhile => tokio::time::sleep(RETRY_AFTER).await,
                Next::WhenWritten => {
                    tokio::time::sleep(PAUSE).await;
                    // Writes of other processes do not notify this one.
                    let _ = timeout(POLL_PERIOD, self.db.wait_for_write()).await;
                }
            }
        }
    }

    /// Sends one batch, if this process has the lease.
    async fn round(&mut self) -> Result<Next, RoundError> {
        if !self.nats.is_connected() {
            self.has_stream = false;
            return Ok(Next::AfterAWhile);
        }
        if !self.has_stream {
            self.nats.ensure_stream().await?;
            self.has_stream = true;
        }
        let Some(until) = self.lease.take_or_renew().await? else {
            return Ok(Next::AfterAWhile);
        };
        let (batch, more) = self.batch().await?;
        let Sent { confirmed, failure } = self.send(batch, until).await;
        let sent = confirmed.len();
        self.mark(confirmed).await?;
        Ok(match failure {
            Some(failure) => {
                metrics::counter!("stagedoor_outbox_failures_total").increment(1);
                self.has_stream = matches!(failure, SendError::Refused { .. });
                self.warn_once(chain(&failure));
                if sent > 0 {
                    Next::Now
                } else {
                    Next::AfterAWhile
                }
            }
            None => {
                self.problem = None;
                if more && sent > 0 {
                    Next::Now
                } else {
                    Next::WhenWritten
                }
            }
        })
    }

    /// Reads the events that may be sent now, grouped by aggregate: the versions that follow the last
    /// confirmed one. Also returns whether there may be more.
    async fn batch(&self) -> Result<(Vec<Vec<PendingEvent>>, bool), sqlx::Error> {
        let rows = self
            .read(|select| {
                select.push(format_args!("ORDER BY id LIMIT {BATCH}"));
            })
            .await?;
        let more = rows.len() == BATCH;
        let (mut ready, mut behind) = group_by_aggregate(rows);
        // Clocks differ: an earlier version may have a greater id than all rows read.
        behind.truncate(BEHIND_MAX);
        if !behind.is_empty() {
            let earlier = self.read(|select| {
                select
                    .push("AND aggregate_id IN (")
                    .bind_list(behind.iter().map(String::as_str))
                    .push(format_args!(
                        ") ORDER BY aggregate_id, version LIMIT {BATCH}"
                    ));
            });
            ready.extend(group_by_aggregate(earlier.await?).0);
        }
        Ok((ready, more))
    }

    /// Reads pending events, with the conditions, order and limit that `restrict` appends.
    async fn read(
        &self,
        restrict: impl FnOnce(&mut Statement),
    ) -> Result<Vec<PendingEvent>, sqlx::Error> {
        let mut select = Statement::new(format!(
            "SELECT w.*, earlier.published_at AS earlier_at FROM \
             (SELECT id, type, aggregate_type, aggregate_id, version, occurred_at, data \
              FROM outbox WHERE published_at IS NULL AND {PUBLISHED} "
        ));
        restrict(&mut select);
        select.push(
            ") w LEFT JOIN outbox earlier ON earlier.aggregate_id = w.aggregate_id \
             AND earlier.version = w.version - 1 ORDER BY w.id",
        );
        select.query_as()?.fetch_all(self.db.reads()).await
    }

    /// Sends aggregates concurrently, and the events of each in order, until the lease ends.
    async fn send(&self, batch: Vec<Vec<PendingEvent>>, until: Instant) -> Sent {
        let stop = AtomicBool::new(false);
        let sending = batch
            .into_iter()
            .map(|events| send_in_order(&self.nats, events, &stop, until));
        stream::iter(sending)
            .buffer_unordered(AGGREGATES_AT_ONCE)
            .fold(Sent::default(), async |mut all, sent| {
                all.confirmed.extend(sent.confirmed);
                all.failure = all.failure.or(sent.failure);
                all
            })
            .await
    }

    async fn mark(&self, confirmed: Vec<OutboxId>) -> Result<(), sqlx::Error> {
        if confirmed.is_empty() {
            return Ok(());
        }
        let sent = u64::try_from(confirmed.len()).unwrap_or_default();
        let now = self.clock.now();
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    let mut update = Statement::new("UPDATE outbox SET published_at = ");
                    update
                        .bind(now)
                        .push(" WHERE published_at IS NULL AND id IN (")
                        .bind_list(confirmed)
                        .push(")");
                    update.query()?.execute(conn).await
                })
            })
            .await?;
        metrics::counter!("stagedoor_outbox_published_total").increment(sent);
        Ok(())
    }

    /// Logs a problem, unless it is the one logged last.
    fn warn_once(&mut self, problem: String) {
        if self.problem.as_ref() != Some(&problem) {
            tracing::warn!(error = problem, "domain events wait in the database");
            self.problem = Some(problem);
        }
    }
}

/// Sends the events of one aggregate, each after the previous one is confirmed.
async fn send_in_order(
    nats: &Nats,
    events: Vec<PendingEvent>,
    stop: &AtomicBool,
    until: Instant,
) -> Sent {
    let mut sent = Sent::default();
    for event in events {
        if stop.load(Ordering::Relaxed) || Instant::now() >= until {
            break;
        }
        if let Err(error) = nats.send(&event).await {
            stop.fetch_or(
                matches!(error, SendError::Unavailable(_)),
                Ordering::Relaxed,
            );
            sent.failure = Some(error);
            break;
        }
        sent.confirmed.push(event.id);
    }
    sent
}

/// Groups events by aggregate, in the order of the aggregates' first rows. Returns the versions of each
/// that may be sent now, and the ids of aggregates of which none may, because an earlier version is
/// missing from the rows.
fn group_by_aggregate(rows: Vec<PendingEvent>) -> (Vec<Vec<PendingEvent>>, Vec<String>) {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut all: Vec<Vec<PendingEvent>> = Vec::new();
    for row in rows {
        let place = *places
            .entry(row.aggregate_id.clone())
            .or_insert_with(|| all.len());
        if place == all.len() {
            all.push(Vec::new());
        }
        all[place].push(row);
    }
    let mut behind = Vec::new();
    all.retain_mut(|events| {
        events.sort_by_key(|event| event.version);
        if let Some(first) = events.first().filter(|first| !first.is_next()) {
            behind.push(first.aggregate_id.clone());
            return false;
        }
        let without_gap = events
            .windows(2)
            .take_while(|two| two[1].version == two[0].version + 1)
            .count();
        events.truncate(without_gap + 1);
        true
    });
    (all, behind)
}

/// The number of pending events, counted up to a million, and the time of the first.
pub async fn backlog(db: &Db) -> Result<(i64, Option<Moment>), sqlx::Error> {
    let count = format!(
        "SELECT COUNT(*) AS n FROM (SELECT 1 AS one FROM outbox \
         WHERE published_at IS NULL AND {PUBLISHED} LIMIT 1000000) w"
    );
    let rows = query_scalar(AssertSqlSafe(count))
        .fetch_one(db.monitoring())
        .await?;
    let first = format!(
        "SELECT occurred_at FROM outbox WHERE published_at IS NULL AND {PUBLISHED} \
         ORDER BY id LIMIT 1"
    );
    let since = query_scalar(AssertSqlSafe(first))
        .fetch_optional(db.monitoring())
        .await?;
    Ok((rows, since))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn pending(aggregate: &str, version: i64, is_next: bool) -> PendingEvent {
        PendingEvent {
            id: OutboxId(Uuid::nil()),
            aggregate: "ticket".to_owned(),
            aggregate_id: aggregate.to_owned(),
            version,
            kind: "TicketUpdated".to_owned(),
            occurred_at: Moment::from_micros(1_764_348_145_123_456),
            data: r#"{"status":"sold"}"#.to_owned(),
            earlier_at: is_next.then_some(Moment::EPOCH),
        }
    }

    #[test]
    fn no_version_is_sent_before_an_earlier_one() {
        let (ready, behind) = group_by_aggregate(vec![
            pending("b", 3, false),
            pending("a", 1, true),
            pending("c", 5, false),
            pending("b", 2, true),
            pending("a", 3, false),
            pending("c", 6, false),
            pending("b", 4, false),
        ]);
        let name = |event: &PendingEvent| format!("{}{}", event.aggregate_id, event.version);
        let names: Vec<Vec<String>> = ready
            .iter()
            .map(|events| events.iter().map(name).collect())
            .collect();
        assert_eq!(names, [vec!["b2", "b3", "b4"], vec!["a1"]]);
        assert_eq!(behind, ["c"]);
    }

    #[test]
    fn a_message_has_the_documented_fields() {
        let message: Value = serde_json::from_str(&pending("a", 2, true).message()).unwrap();
        let documented = json!({
            "id": "00000000-0000-0000-0000-000000000000", "type": "TicketUpdated",
            "aggregateType": "ticket", "aggregateId": "a", "version": 2,
            "occurredAt": "2025-11-28T16:42:25.123456Z", "data": {"status": "sold"},
        });
        assert_eq!(message, documented);
    }
}
