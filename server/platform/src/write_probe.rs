//! Checks whether the database accepts writes, by a small write every few seconds, so that `/readyz`
//! reports a full disk or a read-only database.
//!
//! Owns the table `write_probes`, with a row per process. Whether the database can be reached at all is
//! checked by `health.rs` at each request.

use crate::{
    clock::SharedClock,
    db::{Conn, Db, is_disk_full, is_transient},
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

/// How long one attempt may take before it counts as delayed.
const TIME_MAX: Duration = Duration::from_secs(10);
/// After this many delayed attempts in a row, the database counts as refusing writes. A short peak of
/// load must not make the process unready.
const DELAYED_MAX: u32 = 4;
/// Rows that are older are deleted: their processes have ended.
const KEPT: Duration = Duration::from_hours(1);

/// The result of the last attempts.
#[derive(Debug, Default)]
pub struct WriteProbe {
    refused: AtomicBool,
}

/// The result of one attempt.
#[derive(Debug)]
enum Attempt {
    /// Written; or the database is unavailable, which `health.rs` reports.
    Done,
    /// A retry may succeed.
    Delayed,
    Refused(String),
}

impl WriteProbe {
    /// Initially reports that writes are accepted: a starting process has just migrated its database.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Whether the database accepted the last write.
    pub fn accepts_writes(&self) -> bool {
        !self.refused.load(Ordering::Relaxed)
    }

    /// Makes one attempt. Takes and returns the number of delayed attempts in a row.
    pub async fn try_once(&self, db: &Db, clock: &SharedClock, process: &str, delayed: u32) -> u32 {
        let (refused, delayed) = match attempt(db, clock.now(), process).await {
            Attempt::Done => (None, 0),
            Attempt::Refused(error) => (Some(error), 0),
            Attempt::Delayed if delayed + 1 < DELAYED_MAX => return delayed + 1,
            Attempt::Delayed => (Some("it takes too long".to_owned()), delayed),
        };
        let was_refused = self.refused.swap(refused.is_some(), Ordering::Relaxed);
        match refused {
            Some(error) if !was_refused => {
                tracing::error!(
                    error,
                    "the database refuses writes: this process is not ready"
                );
            }
            None if was_refused => tracing::info!("the database accepts writes again"),
            _ => {}
        }
        delayed
    }
}

async fn attempt(db: &Db, now: Moment, process: &str) -> Attempt {
    let process = process.to_owned();
    let writing = db.write(move |conn| Box::pin(async move { write(conn, process, now).await }));
    match timeout(TIME_MAX, writing).await {
        Ok(Ok(())) => Attempt::Done,
        Ok(Err(error)) if !is_transient(&error) || is_disk_full(&error) => {
            Attempt::Refused(chain(&error))
        }
        // If reading fails as well, the database is unavailable.
        Ok(Err(_)) | Err(_) => match timeout(TIME_MAX, read(db)).await {
            Ok(Ok(())) => Attempt::Delayed,
            _ => Attempt::Done,
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

async fn read(db: &Db) -> Result<(), sqlx::Error> {
    query("SELECT 1").execute(db.monitoring()).await.map(drop)
}
