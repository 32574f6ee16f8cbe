//! Whether the database takes what is written: a small write every few seconds, so that a process
//! whose disk is full or whose database is read-only says so at `/readyz`.
//!
//! Owns the table `write_probes`, a row for each process. Whether the database answers at all is
//! asked by `health.rs`, for each request; this is not.

use crate::{
    clock::SharedClock,
    db::{Conn, Db, is_disk_full, is_passing},
    fault::chain,
};
use model::Moment;
use sqlx::query;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::timeout;

/// How long one try may take before it counts as one that did not get through.
const WITHIN: Duration = Duration::from_secs(10);
/// After so many tries in a row that were only held up, writing counts as impossible. A rush that
/// holds writes up for a while is no reason to send visitors elsewhere.
const HELD_UP_MAX: u32 = 4;
/// Rows of processes that have been gone for so long are deleted.
const KEPT: Duration = Duration::from_hours(1);

/// What the last tries came to.
#[derive(Debug, Default)]
pub struct WriteProbe {
    refused: AtomicBool,
}

/// How one try came out.
#[derive(Debug)]
enum Tried {
    Written,
    /// It may well get through a little later; or the database is away, which is told elsewhere.
    HeldUp,
    Refused(String),
}

impl WriteProbe {
    /// One that has not been tried: a process that starts has just migrated its database.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Whether the database takes writes, as far as is known.
    pub fn is_taken(&self) -> bool {
        !self.refused.load(Ordering::Relaxed)
    }

    /// Tries once, after `held_up` tries in a row that were held up; returns how many it is now.
    pub async fn try_once(&self, db: &Db, clock: &SharedClock, process: &str, held_up: u32) -> u32 {
        let (refused, held_up) = match attempt(db, clock.now(), process).await {
            Tried::Written => (None, 0),
            Tried::Refused(why) => (Some(why), 0),
            Tried::HeldUp if held_up + 1 < HELD_UP_MAX => return held_up + 1,
            Tried::HeldUp => (Some("it takes too long".to_owned()), held_up),
        };
        let was_refused = self.refused.swap(refused.is_some(), Ordering::Relaxed);
        match refused {
            Some(error) if !was_refused => {
                tracing::error!(
                    error,
                    "the database takes no writes: this process is not ready"
                );
            }
            None if was_refused => tracing::info!("the database takes writes again"),
            _ => {}
        }
        held_up
    }
}

async fn attempt(db: &Db, now: Moment, process: &str) -> Tried {
    let process = process.to_owned();
    let writing = db.write(move |conn| Box::pin(async move { write(conn, process, now).await }));
    match timeout(WITHIN, writing).await {
        Ok(Ok(())) => Tried::Written,
        Ok(Err(error)) if !is_passing(&error) || is_disk_full(&error) => {
            Tried::Refused(chain(&error))
        }
        // Where reading fails as well, the database is away.
        Ok(Err(_)) | Err(_) => match timeout(WITHIN, reads(db)).await {
            Ok(Ok(())) => Tried::HeldUp,
            _ => Tried::Written,
        },
    }
}

async fn write(conn: &mut Conn, process: String, now: Moment) -> Result<(), sqlx::Error> {
    query(
        "INSERT INTO write_probes (process, written_at) VALUES ($1, $2) \
         ON CONFLICT (process) DO UPDATE SET written_at = excluded.written_at",
    )
    .bind(process)
    .bind(now)
    .execute(&mut *conn)
    .await?;
    query("DELETE FROM write_probes WHERE written_at < $1")
        .bind(now - KEPT)
        .execute(conn)
        .await?;
    Ok(())
}

async fn reads(db: &Db) -> Result<(), sqlx::Error> {
    query("SELECT 1").execute(db.lookouts()).await.map(drop)
}
