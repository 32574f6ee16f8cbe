//! The figures that stand in the database, read when somebody asks for them: how much waits, and for
//! how long; and whether what a process works with is there. What happens is counted where it
//! happens.
//!
//! Each is found through an index, so asking costs little however large the shop is.

use model::Moment;
use platform::{
    clock::SharedClock,
    db::Db,
    fault::chain,
    outbox::{self, Nats},
    redis_client::Redis,
    task_runs,
};
use sqlx::query_as;
use std::path::Path;

/// Something that waits for somebody to see to it.
struct Queue {
    /// The figure of how many wait.
    waiting: &'static str,
    /// The figure of how long the first of them has waited, in seconds.
    oldest: &'static str,
    /// How many `rows` there are, and `since` when; `$1` is the time.
    sql: &'static str,
}

const QUEUES: [Queue; 5] = [
    Queue {
        waiting: "stagedoor_holds_overdue",
        oldest: "stagedoor_holds_overdue_seconds",
        sql: "SELECT COUNT(*) AS rows, MIN(hold_until) AS since FROM orders \
              WHERE status IN ('created', 'awaiting_payment') AND hold_until < $1",
    },
    Queue {
        waiting: "stagedoor_effects_waiting",
        oldest: "stagedoor_effects_oldest_seconds",
        // Since it was written down: each try puts `next_at` off, so by that a call which is tried
        // in vain for hours would never be old.
        sql: "SELECT COUNT(*) AS rows, MIN(created_at) AS since FROM payment_effects \
              WHERE state = 'pending' AND created_at < $1",
    },
    Queue {
        waiting: "stagedoor_inbox_waiting",
        oldest: "stagedoor_inbox_oldest_seconds",
        sql: "SELECT COUNT(*) AS rows, MIN(received_at) AS since FROM stripe_inbox \
              WHERE processed_at IS NULL AND received_at < $1",
    },
    Queue {
        waiting: "stagedoor_mails_waiting",
        oldest: "stagedoor_mails_oldest_seconds",
        // One that was tried waits for its next try, and has since it was written. One that was not
        // tried may be meant for later.
        sql: "SELECT COUNT(*) AS rows, \
              MIN(CASE WHEN tries > 0 THEN created_at ELSE next_at END) AS since FROM mails \
              WHERE state = 'pending' AND (tries > 0 OR next_at < $1)",
    },
    Queue {
        waiting: "stagedoor_incidents_open",
        oldest: "stagedoor_incidents_oldest_seconds",
        sql: "SELECT COUNT(*) AS rows, MIN(found_at) AS since FROM incidents \
              WHERE settled_at IS NULL AND found_at <= $1",
    },
];

/// Notes how the process itself stands, without asking the database.
pub async fn gather_own(db: &Db, redis: Option<&Redis>, nats: Option<&Nats>) {
    let pool = db.reads();
    let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
    let used = pool.size().saturating_sub(idle);
    metrics::gauge!("stagedoor_db_pool_connections", "state" => "idle").set(f64::from(idle));
    metrics::gauge!("stagedoor_db_pool_connections", "state" => "used").set(f64::from(used));
    let most = pool.options().get_max_connections();
    metrics::gauge!("stagedoor_db_pool_connections", "state" => "most").set(f64::from(most));
    if let Some(redis) = redis {
        let up = if redis.answers().await { 1.0 } else { 0.0 };
        metrics::gauge!("stagedoor_redis_up").set(up);
    }
    if let Some(nats) = nats {
        let up = if nats.is_there() { 1.0 } else { 0.0 };
        metrics::gauge!("stagedoor_nats_up").set(up);
    }
}

/// Reads how much waits. What cannot be read keeps its last value.
pub async fn read(db: &Db, clock: &SharedClock, nats: Option<&Nats>) {
    let now = clock.now();
    if nats.is_some() {
        match outbox::waiting(db).await {
            Ok((rows, since)) => {
                let rows = u32::try_from(rows).unwrap_or(u32::MAX);
                metrics::gauge!("stagedoor_outbox_unpublished").set(f64::from(rows));
                metrics::gauge!("stagedoor_outbox_lag_seconds").set(seconds(since, now));
            }
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(error, "stagedoor_outbox_unpublished could not be read");
            }
        }
    }
    if let Err(error) = read_task_runs(db, now).await {
        let error = chain(&error);
        tracing::warn!(error, "stagedoor_task_age_seconds could not be read");
    }
    for queue in QUEUES {
        match standing(db, queue.sql, now).await {
            Ok((rows, seconds)) => {
                metrics::gauge!(queue.waiting).set(f64::from(rows));
                metrics::gauge!(queue.oldest).set(seconds);
            }
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(error, "{} could not be read", queue.waiting);
            }
        }
    }
}

/// Tells when the audit and the backup last went well. What has never run has no figure.
async fn read_task_runs(db: &Db, now: Moment) -> Result<(), sqlx::Error> {
    for run in task_runs::runs(db.lookouts()).await? {
        let failed = if run.succeeded { 0.0 } else { 1.0 };
        metrics::gauge!("stagedoor_task_failed", "task" => run.task.clone()).set(failed);
        if run.succeeded_at.is_some() {
            metrics::gauge!("stagedoor_task_age_seconds", "task" => run.task)
                .set(seconds(run.succeeded_at, now));
        }
    }
    Ok(())
}

/// How much room there is where this process keeps its data.
pub fn gather_disk(data_dir: &Path) {
    // A folder that is not there yet has no room to tell of.
    if let Ok(disk) = rustix::fs::statvfs(data_dir) {
        #[expect(clippy::cast_precision_loss, reason = "a figure is a double")]
        let bytes = |blocks: u64| (blocks * disk.f_frsize) as f64;
        metrics::gauge!("stagedoor_disk_bytes", "state" => "free").set(bytes(disk.f_bavail));
        metrics::gauge!("stagedoor_disk_bytes", "state" => "total").set(bytes(disk.f_blocks));
    }
}

async fn standing(db: &Db, sql: &'static str, now: Moment) -> Result<(u32, f64), sqlx::Error> {
    let (rows, since) = query_as::<_, (i64, Option<Moment>)>(sql)
        .bind(now)
        .fetch_one(db.lookouts())
        .await?;
    Ok((u32::try_from(rows).unwrap_or(u32::MAX), seconds(since, now)))
}

/// How long ago.
fn seconds(since: Option<Moment>, now: Moment) -> f64 {
    let millis = since.map_or(0, |since| now.since(since).as_millis());
    f64::from(i32::try_from(millis).unwrap_or(i32::MAX)) / 1000.0
}
