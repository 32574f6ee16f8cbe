//! Gauges that are updated when `/metrics` is read: the length and age of queues in the database, the
//! connections of the process, disk space. Counters are in the code that they count.
//!
//! Each query uses an index, so it is cheap however large the shop is.

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

/// Rows that wait to be processed.
struct Queue {
    /// The gauge of their number.
    waiting: &'static str,
    /// The gauge of the age of the oldest, in seconds.
    oldest: &'static str,
    /// Selects their number as `rows`, and the time of the oldest as `since`; `$1` is the present.
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
        // By `created_at`: each try postpones `next_at`, so by that a call that fails for hours
        // would never be old.
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
        // A mail that was tried before has waited since `created_at`. One that was not may be
        // scheduled for later.
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

/// Updates the gauges of the process's connections, without a query.
pub async fn update_process(db: &Db, redis: Option<&Redis>, nats: Option<&Nats>) {
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
        let up = if nats.is_connected() { 1.0 } else { 0.0 };
        metrics::gauge!("stagedoor_nats_up").set(up);
    }
}

/// Updates the gauges that are read from the database. A gauge that cannot be read keeps its value.
pub async fn update_from_database(db: &Db, clock: &SharedClock, nats: Option<&Nats>) {
    let now = clock.now();
    if nats.is_some() {
        match outbox::backlog(db).await {
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
    if let Err(error) = update_task_runs(db, now).await {
        let error = chain(&error);
        tracing::warn!(error, "stagedoor_task_age_seconds could not be read");
    }
    for queue in QUEUES {
        match backlog(db, queue.sql, now).await {
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

/// Updates the gauges of the last audit and backup. A task that has never run has none.
async fn update_task_runs(db: &Db, now: Moment) -> Result<(), sqlx::Error> {
    for run in task_runs::list(db.monitoring()).await? {
        let failed = if run.succeeded { 0.0 } else { 1.0 };
        metrics::gauge!("stagedoor_task_failed", "task" => run.task.clone()).set(failed);
        if run.succeeded_at.is_some() {
            metrics::gauge!("stagedoor_task_age_seconds", "task" => run.task)
                .set(seconds(run.succeeded_at, now));
        }
    }
    Ok(())
}

/// Updates the gauges of the disk with the data folder.
pub fn update_disk(data_dir: &Path) {
    // The folder may not exist yet.
    if let Ok(disk) = rustix::fs::statvfs(data_dir) {
        #[expect(clippy::cast_precision_loss, reason = "gauges are doubles")]
        let bytes = |blocks: u64| (blocks * disk.f_frsize) as f64;
        metrics::gauge!("stagedoor_disk_bytes", "state" => "free").set(bytes(disk.f_bavail));
        metrics::gauge!("stagedoor_disk_bytes", "state" => "total").set(bytes(disk.f_blocks));
    }
}

/// The number of rows and the age of the oldest in seconds.
async fn backlog(db: &Db, sql: &'static str, now: Moment) -> Result<(u32, f64), sqlx::Error> {
    let (rows, since) = query_as::<_, (i64, Option<Moment>)>(sql)
        .bind(now)
        .fetch_one(db.monitoring())
        .await?;
    Ok((u32::try_from(rows).unwrap_or(u32::MAX), seconds(since, now)))
}

/// The seconds from `since` to `now`; 0 for `None`.
fn seconds(since: Option<Moment>, now: Moment) -> f64 {
    let millis = since.map_or(0, |since| now.since(since).as_millis());
    f64::from(i32::try_from(millis).unwrap_or(i32::MAX)) / 1000.0
}
