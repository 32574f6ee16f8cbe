//! The queue of expiry jobs in Redis, with what apalis-redis lacks for long operation: workers that restart
//! under a new name when they fail, a bound on the number of due jobs, and the deletion of finished ones
//! ([`QueueCleaner`]). Redis may be flushed, restarted or unavailable: the sweep expires orders whose jobs
//! are lost.

use super::queue::{ExpireOrder, ExpiryContext, expire_order, worker_name};
use apalis::prelude::{BackendExt, BoxDynError, TaskBuilder, TaskSink, WorkerBuilder};
use apalis_redis::{Config, ConnectionManager, RedisStorage};
use model::{Moment, ids::OrderId};
use redis::Script;
use std::{
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    sync::{Mutex, mpsc},
    task::JoinSet,
};

/// Pause before a failed worker is restarted.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// How often Redis is polled for due jobs.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// Timeout of connections and responses; a shorter stall does not end a worker.
const REDIS_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after a failed push; the expiry of holds that begin during it is left to the sweep.
const PUSH_AGAIN_AFTER: Duration = Duration::from_secs(1);
const QUEUE: &str = "stagedoor:expire-order";

/// The most due jobs left in the queue. apalis passes all due jobs to one Lua `unpack`, which fails at about
/// 8 000 and would then fail on every poll.
const DUE_MAX: i64 = 4_000;
/// The most jobs that one step drops.
const DROPPED_MAX: u64 = 4_000;
/// How long finished jobs are kept. apalis may hand out a job again shortly after it finished, and a worker
/// fails if the job's data is gone.
const DONE_KEPT: Duration = Duration::from_mins(10);
/// Ids that one step of cleaning checks.
const SCAN_COUNT: i64 = 1_000;

/// Pushes received orders to Redis and, if a context is given, runs a worker.
pub(super) async fn run(
    mut waiting: mpsc::Receiver<(OrderId, Moment)>,
    redis: redis::Client,
    context: Option<ExpiryContext>,
) {
    // The worker ends with this task, even if the task is aborted.
    let mut worker_task = JoinSet::new();
    if let Some(context) = context {
        let work_redis = redis.clone();
        worker_task.spawn(async move {
            loop {
                let ended = work(&work_redis, context.clone()).await;
                metrics::gauge!("stagedoor_worker_up").set(0.0);
                if let Err(error) = ended {
                    tracing::warn!(error, "Expiry worker failed; restarting it");
                }
                tokio::time::sleep(RESTART_AFTER).await;
            }
        });
    }
    let mut storage = None;
    while let Some((order, at)) = waiting.recv().await {
        if push(&mut storage, &redis, order, at).await.is_err() {
            metrics::counter!("stagedoor_jobs_dropped_total").increment(1);
            storage = None;
            // Orders received during the pause are left to the sweep.
            let pause = tokio::time::sleep(PUSH_AGAIN_AFTER);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    dropped = waiting.recv() => match dropped {
                        Some(_) => metrics::counter!("stagedoor_jobs_dropped_total").increment(1),
                        None => return,
                    },
                }
            }
        }
    }
}

async fn push(
    storage: &mut Option<RedisStorage<ExpireOrder>>,
    redis: &redis::Client,
    order: OrderId,
    at: Moment,
) -> Result<(), ()> {
    if storage.is_none() {
        let opened = connect(redis).await;
        *storage = opened
            .inspect_err(|error| {
                tracing::warn!(
                    error,
                    "Could not connect to Redis; orders are expired by the sweep"
                );
            })
            .ok();
    }
    let open = storage.as_mut().ok_or(())?;
    let task = TaskBuilder::new(ExpireOrder { order })
        .run_at_time(due_at(at))
        .build();
    open.push_task(task).await.map_err(|error| {
        tracing::warn!(%order, %error, "Could not queue expiry job; left to the sweep");
    })
}

fn due_at(at: Moment) -> SystemTime {
    // apalis-redis stores whole seconds; use the next one, so that the job finds the hold ended.
    let seconds = at.seconds_left(Moment::EPOCH) + 1;
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

/// A connection with [`REDIS_TIMEOUT`].
async fn open_connection(redis: &redis::Client) -> Result<ConnectionManager, redis::RedisError> {
    let config = redis::aio::ConnectionManagerConfig::new()
        .set_connection_timeout(Some(REDIS_TIMEOUT))
        .set_response_timeout(Some(REDIS_TIMEOUT))
        .set_number_of_retries(1);
    ConnectionManager::new_with_config(redis.clone(), config).await
}

async fn connect(redis: &redis::Client) -> Result<RedisStorage<ExpireOrder>, BoxDynError> {
    let config = Config::default()
        .queue(QUEUE)
        .heartbeat_interval(Duration::from_secs(5))
        .missed_heartbeats(3)
        .batch_size(100);
    Ok(RedisStorage::new(open_connection(redis).await?).with_config(config))
}

async fn work(redis: &redis::Client, context: ExpiryContext) -> Result<(), BoxDynError> {
    let storage = connect(redis).await?.poll_with_interval(POLL_EVERY);
    let worker = WorkerBuilder::new(worker_name())
        .backend(storage)
        .data(context)
        .build(expire_order);
    metrics::gauge!("stagedoor_worker_up").set(1.0);
    worker.run().await?;
    Ok(())
}

/// Drops due jobs beyond a maximum. Keys: scheduled, data. Arguments: the time, the maximum, the prefix of
/// the jobs' metadata keys, the most jobs to drop. Returns the number dropped.
static DROP_EXCESS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local over = redis.call('ZCOUNT', KEYS[1], 0, ARGV[1]) - ARGV[2] \
         if over <= 0 then return 0 end \
         local ids = redis.call('ZRANGEBYSCORE', KEYS[1], 0, ARGV[1], 'LIMIT', 0, \
         math.min(over, ARGV[4])) \
         for _, id in ipairs(ids) do \
         redis.call('ZREM', KEYS[1], id) \
         redis.call('HDEL', KEYS[2], id) \
         redis.call('DEL', ARGV[3] .. ':' .. id) end \
         return #ids",
    )
});

/// Deletes jobs that finished or failed before a time. Keys: the set of finished or failed jobs, data.
/// Arguments: the cursor, how many to scan, the time, the prefix of the jobs' metadata keys. Returns the
/// next cursor, 0 at the end.
static DELETE_FINISHED: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local found = redis.call('SSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2]) \
         for _, id in ipairs(found[2]) do \
         local done_at = tonumber(redis.call('HGET', ARGV[4] .. ':' .. id, 'done_at') or '0') \
         if done_at == nil or done_at < tonumber(ARGV[3]) then \
         redis.call('SREM', KEYS[1], id) \
         redis.call('HDEL', KEYS[2], id) \
         redis.call('DEL', ARGV[4] .. ':' .. id) end end \
         return found[1]",
    )
});

/// Removes jobs without data, on which workers would fail again and again: waiting jobs, and jobs in flight
/// of failed workers, which apalis would requeue. Keys: active, data, workers. Arguments: how many waiting
/// jobs to check, the prefix of the keys of jobs in flight. Returns the number removed.
static REMOVE_WITHOUT_DATA: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local taken = 0 \
         for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, ARGV[1])) do \
         if redis.call('HEXISTS', KEYS[2], id) == 0 then \
         taken = taken + redis.call('LREM', KEYS[1], 0, id) end end \
         for _, worker in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do \
         local has = ARGV[2] .. ':' .. worker \
         for _, id in ipairs(redis.call('SMEMBERS', has)) do \
         if redis.call('HEXISTS', KEYS[2], id) == 0 then \
         taken = taken + redis.call('SREM', has, id) end end end \
         return taken",
    )
});

/// Cleans the queue. Each step is atomic, so any number of processes may clean it.
pub struct QueueCleaner {
    redis: redis::Client,
    connection: Mutex<Option<ConnectionManager>>,
}

impl QueueCleaner {
    /// Connects on the first call of [`QueueCleaner::clean`].
    pub fn new(redis: redis::Client) -> Self {
        Self {
            redis,
            connection: Mutex::new(None),
        }
    }

    /// Deletes finished jobs, jobs without data and excess due jobs, and sets the gauges of the queue. After a
    /// failure of Redis the next call reconnects.
    pub async fn clean(&self) {
        let mut connection = self.connection.lock().await;
        if let Err(error) = clean(&mut connection, &self.redis).await {
            tracing::debug!(%error, "Could not clean the queue of expiry jobs");
            *connection = None;
        }
    }
}

async fn clean(
    connection: &mut Option<ConnectionManager>,
    redis: &redis::Client,
) -> Result<(), redis::RedisError> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(open_connection(redis).await?),
    };
    let key = |name: &str| format!("{QUEUE}:{name}");
    let (scheduled, data, meta) = (key("scheduled"), key("data"), key("meta"));
    let now = seconds_now();
    let mut dropped = 0;
    loop {
        let step: u64 = DROP_EXCESS
            .key(&scheduled)
            .key(&data)
            .arg(now)
            .arg(DUE_MAX)
            .arg(&meta)
            .arg(DROPPED_MAX)
            .invoke_async(connection)
            .await?;
        dropped += step;
        if step < DROPPED_MAX {
            break;
        }
    }
    if dropped > 0 {
        metrics::counter!("stagedoor_jobs_dropped_total").increment(dropped);
        tracing::warn!(
            dropped,
            "Too many due expiry jobs; dropped jobs are left to the sweep"
        );
    }
    let removed: u64 = REMOVE_WITHOUT_DATA
        .key(key("active"))
        .key(&data)
        .key(key("workers"))
        .arg(SCAN_COUNT)
        .arg(key("inflight"))
        .invoke_async(connection)
        .await?;
    if removed > 0 {
        tracing::warn!(
            poisoned = removed,
            "Removed expiry jobs without data from the queue"
        );
    }
    let done_before = now - i64::try_from(DONE_KEPT.as_secs()).unwrap_or_default();
    for set in ["done", "dead"] {
        let mut from = 0_u64;
        loop {
            from = DELETE_FINISHED
                .key(key(set))
                .key(&data)
                .arg(from)
                .arg(SCAN_COUNT)
                .arg(done_before)
                .arg(&meta)
                .invoke_async(connection)
                .await?;
            if from == 0 {
                break;
            }
        }
    }
    set_gauges(connection, &scheduled, &key("workers"), now).await
}

/// Sets the gauges: queued jobs, due jobs, age of the oldest due job, age of the last worker heartbeat.
async fn set_gauges(
    connection: &mut ConnectionManager,
    scheduled: &str,
    workers: &str,
    now: i64,
) -> Result<(), redis::RedisError> {
    type Scored = Vec<(String, i64)>;
    let (queued, due, earliest, heartbeats): (u32, u32, Scored, Scored) = redis::pipe()
        .zcard(scheduled)
        .zcount(scheduled, 0, now)
        .zrange_withscores(scheduled, 0, 0)
        .zrevrange_withscores(workers, 0, 0)
        .query_async(connection)
        .await?;
    metrics::gauge!("stagedoor_jobs_queued").set(f64::from(queued));
    metrics::gauge!("stagedoor_jobs_due").set(f64::from(due));
    let age = |since: i64| f64::from(u32::try_from(now.saturating_sub(since)).unwrap_or_default());
    let late = earliest.first().map_or(0.0, |(_, at)| age(*at));
    metrics::gauge!("stagedoor_jobs_oldest_seconds").set(late);
    if let Some((_, heartbeat)) = heartbeats.first() {
        metrics::gauge!("stagedoor_worker_heartbeat_age_seconds").set(age(*heartbeat));
    }
    Ok(())
}

/// By the system's clock, which apalis uses, not the shop's clock.
fn seconds_now() -> i64 {
    use platform::clock::{Clock, SystemClock};
    SystemClock.now().seconds()
}
