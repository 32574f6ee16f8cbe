//! Sends domain events to NATS: reads what waits in the outbox, and marks what NATS has confirmed.
//!
//! One process at a time sends, whoever has the lease. An event goes only once all earlier versions
//! of its aggregate are confirmed; aggregates go side by side. Neither ids nor times decide: a row
//! waits until it is marked, however late its transaction commits and whatever its id. What was
//! confirmed and not marked is sent again: NATS drops it by its id, and later than that a reader
//! drops it by its version.

use super::{
    PUBLISHED,
    lease::Lease,
    nats::{Nats, Unsent},
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

/// What is read, sent and marked at a time.
const BATCH: usize = 1_000;
/// Of how many aggregates events are under way at once.
const AT_ONCE: usize = 256;
/// Of how many aggregates earlier versions are looked for at once.
const LOOKED_FOR: usize = 100;
/// How often it looks where nobody in this process has written anything.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The least time between two looks that find little.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a round may take: a database that vanishes says nothing for ever.
const ROUND_WITHIN: Duration = Duration::from_mins(1);
/// How long it waits where another process sends, or NATS does not take anything.
const WAIT: Duration = Duration::from_secs(1);

/// An event that NATS has not confirmed.
#[derive(FromRow)]
pub(super) struct Waiting {
    pub(super) id: OutboxId,
    // Text, not an enum: while versions are being exchanged, the relay of the older one also sends the
    // events of the newer one.
    #[sqlx(rename = "aggregate_type")]
    pub(super) aggregate: String,
    pub(super) aggregate_id: String,
    version: i64,
    #[sqlx(rename = "type")]
    kind: String,
    occurred_at: Moment,
    data: String,
    /// When the version before was confirmed.
    earlier_at: Option<Moment>,
}

impl Waiting {
    /// Whether the version before is confirmed.
    fn is_next(&self) -> bool {
        self.version == 1 || self.earlier_at.is_some()
    }

    /// What readers get.
    pub(super) fn message(&self) -> String {
        // We wrote it ourselves.
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

/// What became of a batch.
#[derive(Default)]
struct Sent {
    confirmed: Vec<OutboxId>,
    failure: Option<Unsent>,
}

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("the outbox could not be read or marked")]
    Database(#[from] sqlx::Error),
    #[error("NATS has no stream for events, and makes none")]
    Stream(#[from] CreateStreamError),
}

/// When to look again.
enum Next {
    Now,
    WhenWritten,
    AfterAWhile,
}

/// Sends events.
pub struct Relay {
    db: Db,
    clock: SharedClock,
    nats: Nats,
    lease: Lease,
    stream_is_there: bool,
    /// What was last said to be wrong.
    wrong: Option<String>,
}

impl Relay {
    /// From the outbox of `db` to `nats`, once [`Relay::run`] runs.
    pub fn new(db: Db, clock: SharedClock, nats: Nats) -> Self {
        Self {
            lease: Lease::new(db.clone(), clock.clone(), "events"),
            db,
            clock,
            nats,
            stream_is_there: false,
            wrong: None,
        }
    }

    /// Sends for ever.
    pub async fn run(mut self) {
        loop {
            let next = match timeout(ROUND_WITHIN, self.round()).await {
                Ok(Ok(next)) => next,
                Ok(Err(trouble)) => {
                    self.say(chain(&trouble));
                    Next::AfterAWhile
                }
                Err(_) => {
                    self.say("a round took too long and was cut short".to_owned());
                    Next::AfterAWhile
                }
            };
            match next {
                Next::Now => {}
                Next::AfterAWhile => tokio::time::sleep(WAIT).await,
                Next::WhenWritten => {
                    tokio::time::sleep(PAUSE).await;
                    // Another process may have written, and tells nobody here.
                    let _ = timeout(LOOK_EVERY, self.db.written()).await;
                }
            }
        }
    }

    /// One batch, if it is our turn.
    async fn round(&mut self) -> Result<Next, Trouble> {
        if !self.nats.is_there() {
            self.stream_is_there = false;
            return Ok(Next::AfterAWhile);
        }
        if !self.stream_is_there {
            self.nats.ensure_stream().await?;
            self.stream_is_there = true;
        }
        let Some(until) = self.lease.hold().await? else {
            return Ok(Next::AfterAWhile);
        };
        let (batch, more) = self.batch().await?;
        let Sent { confirmed, failure } = self.send(batch, until).await;
        let sent = confirmed.len();
        self.mark(confirmed).await?;
        Ok(match failure {
            Some(failure) => {
                metrics::counter!("stagedoor_outbox_failures_total").increment(1);
                self.stream_is_there = matches!(failure, Unsent::Refused { .. });
                self.say(chain(&failure));
                if sent > 0 {
                    Next::Now
                } else {
                    Next::AfterAWhile
                }
            }
            None => {
                self.wrong = None;
                if more && sent > 0 {
                    Next::Now
                } else {
                    Next::WhenWritten
                }
            }
        })
    }

    /// What may go now: of each aggregate the versions that follow the last confirmed one, and
    /// whether there may be more.
    async fn batch(&self) -> Result<(Vec<Vec<Waiting>>, bool), sqlx::Error> {
        let rows = self
            .read(|select| {
                select.push(format_args!("ORDER BY id LIMIT {BATCH}"));
            })
            .await?;
        let more = rows.len() == BATCH;
        let (mut ready, mut behind) = in_order(rows);
        // Clocks differ: an earlier version may have a greater id than all that was read.
        behind.truncate(LOOKED_FOR);
        if !behind.is_empty() {
            let theirs = self.read(|select| {
                select
                    .push("AND aggregate_id IN (")
                    .bind_list(behind.iter().map(String::as_str))
                    .push(format_args!(
                        ") ORDER BY aggregate_id, version LIMIT {BATCH}"
                    ));
            });
            ready.extend(in_order(theirs.await?).0);
        }
        Ok((ready, more))
    }

    /// What waits, as far as `restrict` lets it.
    async fn read(
        &self,
        restrict: impl FnOnce(&mut Statement),
    ) -> Result<Vec<Waiting>, sqlx::Error> {
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

    /// Sends the aggregates' events side by side, each one's in turn, until the lease ends.
    async fn send(&self, batch: Vec<Vec<Waiting>>, until: Instant) -> Sent {
        let stop = AtomicBool::new(false);
        let sending = batch
            .into_iter()
            .map(|events| send_in_turn(&self.nats, events, &stop, until));
        stream::iter(sending)
            .buffer_unordered(AT_ONCE)
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

    /// Says what is wrong, once for as long as it is the same.
    fn say(&mut self, wrong: String) {
        if self.wrong.as_ref() != Some(&wrong) {
            tracing::warn!(error = wrong, "domain events wait in the database");
            self.wrong = Some(wrong);
        }
    }
}

/// One aggregate's events, each after the one before is confirmed.
async fn send_in_turn(
    nats: &Nats,
    events: Vec<Waiting>,
    stop: &AtomicBool,
    until: Instant,
) -> Sent {
    let mut sent = Sent::default();
    for event in events {
        if stop.load(Ordering::Relaxed) || Instant::now() >= until {
            break;
        }
        if let Err(unsent) = nats.send(&event).await {
            stop.fetch_or(matches!(unsent, Unsent::Away(_)), Ordering::Relaxed);
            sent.failure = Some(unsent);
            break;
        }
        sent.confirmed.push(event.id);
    }
    sent
}

/// By aggregate, in the order in which they come, each one's versions that may go now; and the
/// aggregates of which none may, since an earlier version is not among them.
fn in_order(rows: Vec<Waiting>) -> (Vec<Vec<Waiting>>, Vec<String>) {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut all: Vec<Vec<Waiting>> = Vec::new();
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

/// How many events wait to be sent, a million at most, and since when the first does.
pub async fn waiting(db: &Db) -> Result<(i64, Option<Moment>), sqlx::Error> {
    let count = format!(
        "SELECT COUNT(*) AS n FROM (SELECT 1 AS one FROM outbox \
         WHERE published_at IS NULL AND {PUBLISHED} LIMIT 1000000) w"
    );
    let rows = query_scalar(AssertSqlSafe(count))
        .fetch_one(db.lookouts())
        .await?;
    let first = format!(
        "SELECT occurred_at FROM outbox WHERE published_at IS NULL AND {PUBLISHED} \
         ORDER BY id LIMIT 1"
    );
    let since = query_scalar(AssertSqlSafe(first))
        .fetch_optional(db.lookouts())
        .await?;
    Ok((rows, since))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn waiting(aggregate: &str, version: i64, is_next: bool) -> Waiting {
        Waiting {
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
    fn no_version_goes_before_an_earlier_one() {
        let (ready, behind) = in_order(vec![
            waiting("b", 3, false),
            waiting("a", 1, true),
            waiting("c", 5, false),
            waiting("b", 2, true),
            waiting("a", 3, false),
            waiting("c", 6, false),
            waiting("b", 4, false),
        ]);
        let name = |event: &Waiting| format!("{}{}", event.aggregate_id, event.version);
        let names: Vec<Vec<String>> = ready
            .iter()
            .map(|events| events.iter().map(name).collect())
            .collect();
        assert_eq!(names, [vec!["b2", "b3", "b4"], vec!["a1"]]);
        assert_eq!(behind, ["c"]);
    }

    #[test]
    fn a_message_says_what_is_promised() {
        let message: Value = serde_json::from_str(&waiting("a", 2, true).message()).unwrap();
        let promised = json!({
            "id": "00000000-0000-0000-0000-000000000000", "type": "TicketUpdated",
            "aggregateType": "ticket", "aggregateId": "a", "version": 2,
            "occurredAt": "2025-11-28T16:42:25.123456Z", "data": {"status": "sold"},
        });
        assert_eq!(message, promised);
    }
}
