//! Tells those in line when tickets come free, however they did.
//!
//! Nobody reports a free ticket here: every few seconds it is counted what is for sale at the events
//! that somebody waits for. A round tells as many people as the tickets suit that nobody was told of
//! yet, and is one conditional UPDATE's: of two that see the same, one tells. Nothing is kept for
//! anybody, and what is gone when the mail is written is not told (`letters/waiting.rs`).

use super::{
    rules::{self, APART},
    store::{self, Awaited},
};
use crate::mail::{self, Kind};
use model::{Moment, ids::WaitingId};
use platform::{
    clock::SharedClock,
    db::{Conn, Db},
    fault::FaultResult,
};

/// How many people a round tells at most; the next one goes on.
const TOLD_MAX: i64 = 200;

/// Looks for free tickets, and has people told.
pub struct Rounds {
    db: Db,
    clock: SharedClock,
}

impl Rounds {
    /// Rounds over `db`.
    pub fn new(db: Db, clock: SharedClock) -> Self {
        Self { db, clock }
    }

    /// One round of every event. Returns how many people are told by this call.
    pub async fn tell_due(&self) -> FaultResult<usize> {
        let awaited = self.seen().await?;
        let mut told = 0;
        for seen in awaited {
            told += self.tell(seen).await?;
        }
        Ok(told)
    }

    /// What a round goes by.
    pub async fn seen(&self) -> FaultResult<Vec<Awaited>> {
        let now = self.clock.now();
        Ok(store::events_awaited(self.db.reads(), now).await?)
    }

    /// One round of one event, as it was seen. Returns how many people are told by this call: none,
    /// if another round has begun since.
    pub async fn tell(&self, seen: Awaited) -> FaultResult<usize> {
        let now = self.clock.now();
        let before = rules::still_told_of(seen.stand, now);
        let fresh = seen.stand.free - before;
        let told_before = now - APART;
        let reads = self.db.reads();
        let line = store::line(reads, seen.event, fresh, told_before, TOLD_MAX).await?;
        let (who, tickets) = rules::suited(&line, fresh);
        if who.is_empty() && before == seen.stand.told_of {
            return Ok(0);
        }
        let told_at = if who.is_empty() {
            seen.stand.told_at
        } else {
            now
        };
        self.db
            .write(move |conn| {
                Box::pin(async move {
                    if !store::round_begin(conn, &seen, before + tickets, told_at).await? {
                        return Ok(0);
                    }
                    let mut told = 0;
                    for entry in who {
                        told += usize::from(tell_one(conn, entry, now).await?);
                    }
                    Ok(told)
                })
            })
            .await
    }
}

/// Has one person mailed. False: they have left the line.
async fn tell_one(conn: &mut Conn, entry: WaitingId, now: Moment) -> Result<bool, sqlx::Error> {
    if !store::entry_tell(conn, entry, now).await? {
        return Ok(false);
    }
    let subject = store::mail_insert(conn, entry, now).await?;
    mail::queue(conn, Kind::TicketsFree, subject, now).await?;
    Ok(true)
}
