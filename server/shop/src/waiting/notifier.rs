//! Notifies waiting entries when tickets become available, for whatever reason.
//!
//! A periodic task counts the tickets for sale at events with a waiting list. A round notifies entries for
//! the tickets that have not been announced yet; a conditional UPDATE ensures that of concurrent rounds
//! only one notifies. No tickets are reserved, and an entry is not mailed if the tickets are sold before
//! the mail is composed (`letters/waiting.rs`).

use super::{
    rules::{self, MAIL_INTERVAL},
    store::{self, AwaitedEvent},
};
use crate::mail::{self, Kind};
use model::{Moment, ids::WaitingId};
use platform::{
    clock::SharedClock,
    db::{Conn, Db},
    fault::FaultResult,
};

/// Entries per event and round; the next round continues.
const ENTRIES_MAX: i64 = 200;

/// Looks for available tickets and queues mails to waiting entries.
pub struct WaitingListNotifier {
    db: Db,
    clock: SharedClock,
}

impl WaitingListNotifier {
    pub fn new(db: Db, clock: SharedClock) -> Self {
        Self { db, clock }
    }

    /// Runs one round for every awaited event. Returns the number of entries notified by this call.
    pub async fn notify_due(&self) -> FaultResult<usize> {
        let mut notified = 0;
        for awaited in self.list_awaited_events().await? {
            notified += self.notify(awaited).await?;
        }
        Ok(notified)
    }

    /// The events for which a round may have something to do.
    pub async fn list_awaited_events(&self) -> FaultResult<Vec<AwaitedEvent>> {
        let now = self.clock.now();
        Ok(store::list_awaited_events(self.db.reads(), now).await?)
    }

    /// Runs one round for one event. Returns the number of entries notified by this call: 0 if another
    /// round has begun since `awaited` was read.
    pub async fn notify(&self, awaited: AwaitedEvent) -> FaultResult<usize> {
        let now = self.clock.now();
        let announced = rules::count_announced(awaited.state, now);
        let new = awaited.state.free - announced;
        let told_before = now - MAIL_INTERVAL;
        let reads = self.db.reads();
        let queue = store::list_queue(reads, awaited.event, new, told_before, ENTRIES_MAX).await?;
        let (entries, tickets) = rules::select_entries(&queue, new);
        if entries.is_empty() && announced == awaited.state.told_of {
            return Ok(0);
        }
        let told_at = if entries.is_empty() {
            awaited.state.told_at
        } else {
            now
        };
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    if !store::begin_round(conn, &awaited, announced + tickets, told_at).await? {
                        return Ok(0);
                    }
                    let mut notified = 0;
                    for entry in entries {
                        notified += usize::from(notify_entry(conn, entry, now).await?);
                    }
                    Ok(notified)
                })
            })
            .await
    }
}

/// Queues the mail to an entry. Returns false if the entry is no longer waiting.
async fn notify_entry(conn: &mut Conn, entry: WaitingId, now: Moment) -> Result<bool, sqlx::Error> {
    if !store::mark_told(conn, entry, now).await? {
        return Ok(false);
    }
    let subject = store::insert_mail(conn, entry, now).await?;
    mail::queue(conn, Kind::TicketsFree, subject, now).await?;
    Ok(true)
}
