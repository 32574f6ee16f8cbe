//! Gauges that are updated when `/metrics` is read: the length and age of backlogs in the database, the
//! connections of the process, disk space. Counters are in the code that they count.

use crate::backlogs::{BACKLOGS, Backlog};
use model::Moment;
use platform::{
    clock::SharedClock,
    db::Db,
    fault::chain,
    outbox::{self, Nats},
    redis_client::Redis,
    task_runs,
};
use sqlx::{AssertSqlSafe, query_as};
use std::path::Path;

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
    for backlog in &BACKLOGS {
        match size(db, backlog, now).await {
            Ok((rows, seconds)) => {
                metrics::gauge!(backlog.waiting).set(f64::from(rows));
                metrics::gauge!(backlog.oldest).set(seconds);
            }
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(error, "{} could not be read", backlog.waiting);
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
async fn size(db: &Db, backlog: &Backlog, now: Moment) -> Result<(u32, f64), sqlx::Error> {
    let sql = AssertSqlSafe(backlog.size_sql());
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
