//! Live changes of tickets for browsers: polls the outbox and passes each change of a ticket to the
//! listeners in this process.
//!
//! Polls the database four times a second while there are listeners. If several processes share Redis,
//! one of them polls at this rate and publishes the changes; the others poll once a second in case a
//! message is lost. A transaction may commit after one with a greater id, and clocks of machines differ,
//! so each poll reads the last five seconds again and skips changes that were already sent. Around a
//! reconnection, a listener may miss a change or receive it twice; every message has the ticket's
//! version, so that is harmless.

use super::Fanout;
use crate::{db::Db, fault::chain};
use model::ids::{EventId, OutboxId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{query, query_as};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::{Semaphore, broadcast, watch},
    time::timeout,
};
use uuid::Uuid;

/// How long a poll may take: a lost connection may never report an error.
const POLL_TIME_MAX: Duration = Duration::from_secs(10);
/// How many polls in a row are skipped while another process polls.
const SKIPS_MAX: u32 = 3;
/// How far back each poll reads.
const OVERLAP: Duration = Duration::from_secs(5);
/// The most rows that a poll reads, the latest first.
const ROWS_MAX: i64 = 5_000;
/// How many changes are buffered for a slow listener before it misses some.
const BUFFER_MAX: usize = 4_096;
/// The most changes replayed to a reconnecting listener. One that has missed more must reload.
const REPLAY_MAX: i64 = 1_000;
/// How far back changes are replayed to a reconnecting listener.
const REPLAY_BACK: Duration = Duration::from_mins(5);
/// How many replays are read at once, and how long a replay may take, including the wait for that.
const REPLAYS_AT_ONCE: usize = 4;
const REPLAY_TIME_MAX: Duration = Duration::from_secs(2);
/// How far back changes are replayed to a new listener.
const RECENT_MAX: Duration = Duration::from_mins(1);

/// A change of a ticket, or the publication of a batch of listings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketChange {
    /// The id of the outbox row, from which a listener can resume; or of the batch's publication.
    pub id: OutboxId,
    /// The ticket's event.
    pub event_id: EventId,
    /// `{id,status,priceMinor,version}`; `None` for a batch, after which the listener must reload.
    pub message: Option<String>,
}

/// What a listener has missed while it was not connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missed {
    Changes(Vec<TicketChange>),
    /// Too many changes, or it is not known which: the listener must reload.
    Everything,
}

/// Live changes for the listeners in this process.
pub struct Live {
    db: Db,
    fanout: Option<Fanout>,
    /// How many polls in a row were skipped because another process polls.
    skipped: AtomicU32,
    changes: broadcast::Sender<Arc<TicketChange>>,
    /// The changes recently sent, and when.
    sent: Mutex<HashMap<OutboxId, Instant>>,
    closed: watch::Sender<bool>,
    replays: Semaphore,
}

impl Live {
    /// Reads the outbox of `db` when [`Live::poll_if_needed`] is called, and shares `fanout` with other
    /// processes while [`Live::receive_from_other_processes`] runs.
    pub fn new(db: Db, fanout: Option<Fanout>) -> Self {
        Self {
            db,
            fanout,
            skipped: AtomicU32::new(0),
            sent: Mutex::default(),
            changes: broadcast::Sender::new(BUFFER_MAX),
            closed: watch::Sender::new(false),
            replays: Semaphore::new(REPLAYS_AT_ONCE),
        }
    }

    /// Receives every change from now on.
    pub fn listen(&self) -> broadcast::Receiver<Arc<TicketChange>> {
        self.changes.subscribe()
    }

    /// Becomes true once the process is stopping and listeners should disconnect.
    pub fn closing(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    /// Asks all listeners to disconnect.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// The changes of this event's tickets after the change with the id `last`, if that exists and is
    /// recent. An invented id costs at most one lookup by primary key.
    pub async fn since(&self, last: &str, event_id: EventId) -> Missed {
        match last.parse::<OutboxId>() {
            Ok(id) if id.to_string() == last && id > lowest_id_within(REPLAY_BACK) => {
                self.replay(id, true, event_id).await
            }
            _ => Missed::Everything,
        }
    }

    /// The changes of this event's tickets in the last `seconds`, at most 60.
    pub async fn recent(&self, seconds: u64, event_id: EventId) -> Missed {
        let back = Duration::from_secs(seconds).min(RECENT_MAX);
        self.replay(lowest_id_within(back), false, event_id).await
    }

    /// The changes after `after`. If `must_exist`, `after` must be the id of a change.
    async fn replay(&self, after: OutboxId, must_exist: bool, event_id: EventId) -> Missed {
        let read = async {
            let _permit = self.replays.acquire().await.ok()?;
            if must_exist && !self.has(after).await.ok()? {
                return None;
            }
            if self.has_batch(after, event_id).await.ok()? {
                return None;
            }
            self.read(after, REPLAY_MAX + 1).await.ok()
        };
        let read = timeout(REPLAY_TIME_MAX, read).await.ok().flatten();
        match read {
            Some(changes) if i64::try_from(changes.len()).is_ok_and(|all| all <= REPLAY_MAX) => {
                let of_event = changes
                    .into_iter()
                    .filter(|change| change.event_id == event_id);
                Missed::Changes(of_event.collect())
            }
            _ => Missed::Everything,
        }
    }

    async fn has(&self, id: OutboxId) -> Result<bool, sqlx::Error> {
        let found = query("SELECT 1 FROM outbox WHERE id = $1 AND aggregate_type = 'ticket'")
            .bind(id)
            .fetch_optional(self.db.reads())
            .await?;
        Ok(found.is_some())
    }

    /// Whether a batch of this event's tickets was published after this change, or up to five seconds
    /// before it.
    async fn has_batch(&self, after: OutboxId, event_id: EventId) -> Result<bool, sqlx::Error> {
        let found =
            query("SELECT 1 FROM listing_batches WHERE publication > $1 AND event_id = $2 LIMIT 1")
                .bind(lower_bound(after, OVERLAP))
                .bind(event_id)
                .fetch_optional(self.db.reads())
                .await?;
        Ok(found.is_some())
    }

    /// Sends listeners the changes that other processes have read. Never returns, except at once if
    /// there is no Redis.
    pub async fn receive_from_other_processes(self: Arc<Self>) {
        if let Some(fanout) = &self.fanout {
            let on_changes = |changes| {
                self.send_new(changes);
            };
            fanout.receive(on_changes).await;
        }
    }

    /// Reads the latest changes and sends them, if there are listeners and no other process has read them
    /// within `period`.
    pub async fn poll_if_needed(&self, period: Duration) {
        if self.changes.receiver_count() == 0 {
            return;
        }
        if let Some(fanout) = &self.fanout
            && fanout.is_polled_elsewhere(period).await
            && self.skipped.load(Ordering::Relaxed) < SKIPS_MAX
        {
            self.skipped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.skipped.store(0, Ordering::Relaxed);
        self.poll().await;
    }

    async fn poll(&self) {
        let after = lowest_id_within(OVERLAP);
        let read = async {
            let mut changes = self.read(after, ROWS_MAX).await?;
            changes.extend(self.read_batches(after).await?);
            Ok::<_, sqlx::Error>(changes)
        };
        match timeout(POLL_TIME_MAX, read).await {
            Ok(Ok(changes)) => {
                let new = self.send_new(changes);
                if let Some(fanout) = &self.fanout {
                    fanout.publish(&new).await;
                }
            }
            Ok(Err(error)) => tracing::warn!(error = chain(&error), "could not read live changes"),
            Err(_) => tracing::warn!("reading live changes took too long"),
        }
    }

    /// Sends listeners the changes that were not sent before, and returns these.
    fn send_new(&self, changes: Vec<TicketChange>) -> Vec<TicketChange> {
        let now = Instant::now();
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.retain(|_, when| now.duration_since(*when) < 3 * OVERLAP);
        let mut new = Vec::new();
        for change in changes {
            if sent.insert(change.id, now).is_none() {
                // An error means that there are no listeners any more.
                let _ = self.changes.send(Arc::new(change.clone()));
                new.push(change);
            }
        }
        new
    }

    /// The changes after this one in order; the latest if there are more than `limit`.
    async fn read(&self, after: OutboxId, limit: i64) -> Result<Vec<TicketChange>, sqlx::Error> {
        let rows: Vec<(OutboxId, String)> = query_as(
            "SELECT id, data FROM outbox WHERE id > $1 AND aggregate_type = 'ticket' \
             AND batch_id IS NULL ORDER BY id DESC LIMIT $2",
        )
        .bind(after)
        .bind(limit)
        .fetch_all(self.db.reads())
        .await?;
        Ok(rows
            .iter()
            .rev()
            .filter_map(|(id, data)| change(*id, data))
            .collect())
    }

    /// The batches that were published after this change.
    async fn read_batches(&self, after: OutboxId) -> Result<Vec<TicketChange>, sqlx::Error> {
        let rows: Vec<(OutboxId, EventId)> =
            query_as("SELECT publication, event_id FROM listing_batches WHERE publication > $1")
                .bind(after)
                .fetch_all(self.db.reads())
                .await?;
        Ok(rows
            .into_iter()
            .map(|(id, event_id)| TicketChange {
                id,
                event_id,
                message: None,
            })
            .collect())
    }
}

fn change(id: OutboxId, data: &str) -> Option<TicketChange> {
    let ticket: Value = serde_json::from_str(data).ok()?;
    let message = json!({
        "id": ticket["id"],
        "status": ticket["status"],
        "priceMinor": ticket["priceMinor"],
        "version": ticket["version"],
    });
    let event_id = ticket["eventId"].as_str()?.parse().ok()?;
    Some(TicketChange {
        id,
        event_id,
        message: Some(message.to_string()),
    })
}

/// A lower bound of all ids made in the last `back`: ids begin with the time.
pub fn lowest_id_within(back: Duration) -> OutboxId {
    lower_bound(OutboxId(Uuid::now_v7()), back)
}

/// A lower bound of all ids made up to `back` before this one.
fn lower_bound(id: OutboxId, back: Duration) -> OutboxId {
    // The first 48 bits are milliseconds since 1970.
    let millis = id.0.as_u128() >> 80;
    let first = millis.saturating_sub(back.as_millis()) << 80;
    OutboxId(Uuid::from_u128(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_recent_ids_are_above_the_lower_bound() {
        assert!(OutboxId(Uuid::now_v7()) > lowest_id_within(OVERLAP));
        let old: OutboxId = "01900000-0000-7000-8000-000000000000".parse().unwrap();
        assert!(old < lowest_id_within(OVERLAP));
        let id = OutboxId(Uuid::now_v7());
        let before = lower_bound(id, OVERLAP);
        assert!(before < id);
        assert!(lower_bound(before, OVERLAP) < before);
    }

    #[test]
    fn a_message_has_only_the_fields_that_a_browser_needs() {
        let data = r#"{"id":"t","eventId":"00000000-0000-0000-0000-000000000007","sellerId":"s","status":"reserved","priceMinor":5,"version":3}"#;
        let change = change(OutboxId(Uuid::nil()), data).unwrap();
        assert_eq!(change.event_id, EventId(Uuid::from_u128(7)));
        let message: Value = serde_json::from_str(&change.message.unwrap()).unwrap();
        assert_eq!(
            message,
            json!({"id": "t", "status": "reserved", "priceMinor": 5, "version": 3})
        );
    }
}
