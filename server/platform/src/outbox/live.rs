//! Tells browsers what happens to an event's tickets, as it happens: follows the outbox and hands
//! every change of a ticket to whoever listens.
//!
//! Reads the database four times a second while anybody listens, and not at all otherwise. Where
//! several processes share Redis, one of them reads so often and tells the others, which read once
//! a second to be sure. A
//! transaction may commit a moment after a later one, and the clocks of machines differ a little, so
//! the last five seconds are read again each time and what has been told is remembered. Listeners may miss or hear a change twice around a
//! reconnection; every message carries the ticket's version, so that is harmless.

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

/// How long a look may take: a database that vanishes says nothing for ever.
const LOOK_WITHIN: Duration = Duration::from_secs(10);
/// How many looks may be left to another process before one looks for oneself.
const LEFT_TO_OTHERS: u32 = 3;
/// How far back each look goes.
const OVERLAP: Duration = Duration::from_secs(5);
/// What one look takes in at most, the latest.
const ROWS_MAX: i64 = 5_000;
/// Changes that a slow listener may be behind before it misses some.
const BEHIND_MAX: usize = 4_096;
/// What a reconnecting listener is told again at most. Who has missed more reads everything again.
const REPLAY_MAX: i64 = 1_000;
/// How long a listener may have been away to be told what it has missed.
const REPLAY_BACK: Duration = Duration::from_mins(5);
/// For how many listeners at once it is read what they have missed, and how long others wait for that.
const REPLAYS_AT_ONCE: usize = 4;
const REPLAY_WITHIN: Duration = Duration::from_secs(2);
/// How far back a new listener is told of.
const OF_LATE_MAX: Duration = Duration::from_mins(1);

/// A ticket has changed, or a large batch of tickets has been listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketChange {
    /// The outbox row, with which a listener comes back; or the batch's publication.
    pub id: OutboxId,
    /// The event that the ticket is of.
    pub event_id: EventId,
    /// `{id,status,priceMinor,version}`; `None` for a batch, whose tickets are read instead.
    pub message: Option<String>,
}

/// What a listener has missed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missed {
    /// These changes, and no others.
    Changes(Vec<TicketChange>),
    /// Too much, or it cannot be known: it must read everything again.
    Everything,
}

/// The changes, for whoever listens.
pub struct Live {
    db: Db,
    fanout: Option<Fanout>,
    /// How many looks in a row were left to other processes.
    left_to_others: AtomicU32,
    changes: broadcast::Sender<Arc<TicketChange>>,
    /// What was told of late, and when.
    told: Mutex<HashMap<OutboxId, Instant>>,
    closed: watch::Sender<bool>,
    replays: Semaphore,
}

impl Live {
    /// Follows the outbox of `db`, together with the processes at the other ends of `fanout`, while
    /// [`Live::look_if_needed`] is called and [`Live::hear_other_processes`] runs.
    pub fn new(db: Db, fanout: Option<Fanout>) -> Self {
        Self {
            db,
            fanout,
            left_to_others: AtomicU32::new(0),
            told: Mutex::default(),
            changes: broadcast::Sender::new(BEHIND_MAX),
            closed: watch::Sender::new(false),
            replays: Semaphore::new(REPLAYS_AT_ONCE),
        }
    }

    /// Every change from now on.
    pub fn listen(&self) -> broadcast::Receiver<Arc<TicketChange>> {
        self.changes.subscribe()
    }

    /// Turns true once listeners should go: the process is asked to stop.
    pub fn closing(&self) -> watch::Receiver<bool> {
        self.closed.subscribe()
    }

    /// Sends the listeners home.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// What happened to this event's tickets after the change named `last`: told of only if there is
    /// such a change, and it is recent. A name that somebody made up costs one look by its key at most.
    pub async fn since(&self, last: &str, event_id: EventId) -> Missed {
        match last.parse::<OutboxId>() {
            Ok(id) if id.to_string() == last && id > id_of_before(REPLAY_BACK) => {
                self.replay(id, true, event_id).await
            }
            _ => Missed::Everything,
        }
    }

    /// What happened to this event's tickets in the last seconds, 60 at most.
    pub async fn of_late(&self, seconds: u64, event_id: EventId) -> Missed {
        let back = Duration::from_secs(seconds).min(OF_LATE_MAX);
        self.replay(id_of_before(back), false, event_id).await
    }

    /// The changes after `after`, which itself must be one of them if `known`.
    async fn replay(&self, after: OutboxId, known: bool, event_id: EventId) -> Missed {
        let read = async {
            let _turn = self.replays.acquire().await.ok()?;
            if known && !self.has(after).await.ok()? {
                return None;
            }
            if self.has_batch(after, event_id).await.ok()? {
                return None;
            }
            self.read(after, REPLAY_MAX + 1).await.ok()
        };
        let read = timeout(REPLAY_WITHIN, read).await.ok().flatten();
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

    /// Whether a batch of this event's tickets was published after this change, or shortly before.
    async fn has_batch(&self, after: OutboxId, event_id: EventId) -> Result<bool, sqlx::Error> {
        let found =
            query("SELECT 1 FROM listing_batches WHERE publication > $1 AND event_id = $2 LIMIT 1")
                .bind(earlier(after, OVERLAP))
                .bind(event_id)
                .fetch_optional(self.db.reads())
                .await?;
        Ok(found.is_some())
    }

    /// Passes on the changes that other processes have read, for ever; returns at once where
    /// processes share nothing.
    pub async fn hear_other_processes(self: Arc<Self>) {
        if let Some(fanout) = &self.fanout {
            let heard = |changes| {
                self.tell_new(changes);
            };
            fanout.listen(heard).await;
        }
    }

    /// Reads the latest changes and passes them on, if there are listeners and no other process has
    /// read within `turn`.
    pub async fn look_if_needed(&self, turn: Duration) {
        if self.changes.receiver_count() == 0 {
            return;
        }
        if let Some(fanout) = &self.fanout
            && fanout.somebody_else_looks(turn).await
            && self.left_to_others.load(Ordering::Relaxed) < LEFT_TO_OTHERS
        {
            self.left_to_others.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.left_to_others.store(0, Ordering::Relaxed);
        self.look().await;
    }

    async fn look(&self) {
        let after = id_of_before(OVERLAP);
        let read = async {
            let mut changes = self.read(after, ROWS_MAX).await?;
            changes.extend(self.read_batches(after).await?);
            Ok::<_, sqlx::Error>(changes)
        };
        match timeout(LOOK_WITHIN, read).await {
            Ok(Ok(changes)) => {
                let new = self.tell_new(changes);
                if let Some(fanout) = &self.fanout {
                    fanout.tell(&new).await;
                }
            }
            Ok(Err(error)) => tracing::warn!(error = chain(&error), "live changes were not read"),
            Err(_) => tracing::warn!("live changes were not read in time"),
        }
    }

    /// Tells the listeners what they have not been told. Returns what it was.
    fn tell_new(&self, changes: Vec<TicketChange>) -> Vec<TicketChange> {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, when| now.duration_since(*when) < 3 * OVERLAP);
        let mut new = Vec::new();
        for change in changes {
            if told.insert(change.id, now).is_none() {
                // Nobody listening any more is no error.
                let _ = self.changes.send(Arc::new(change.clone()));
                new.push(change);
            }
        }
        new
    }

    /// The changes after this one, the latest ones if there are more.
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

/// Smaller than every id that was made since: ids begin with the time.
pub fn id_of_before(back: Duration) -> OutboxId {
    earlier(OutboxId(Uuid::now_v7()), back)
}

/// Smaller than every id that was made less than `back` before this one.
fn earlier(id: OutboxId, back: Duration) -> OutboxId {
    // The first 48 bits are milliseconds since 1970.
    let millis = id.0.as_u128() >> 80;
    let first = millis.saturating_sub(back.as_millis()) << 80;
    OutboxId(Uuid::from_u128(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recent_ids_are_greater_and_old_ones_are_not() {
        assert!(OutboxId(Uuid::now_v7()) > id_of_before(OVERLAP));
        let old: OutboxId = "01900000-0000-7000-8000-000000000000".parse().unwrap();
        assert!(old < id_of_before(OVERLAP));
        let id = OutboxId(Uuid::now_v7());
        let before = earlier(id, OVERLAP);
        assert!(before < id);
        assert!(earlier(before, OVERLAP) < before);
    }

    #[test]
    fn a_change_says_what_a_browser_needs_and_no_more() {
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
