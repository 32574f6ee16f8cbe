//! The expiry jobs in Redis, with what apalis-redis needs around it to run for years: workers that
//! start again under a new name whenever they fail, a bound on what is due at once, and the deletion
//! of what is done ([`QueueTidier`]). Redis may be flushed, restarted or away: the sweep does what no
//! job does.

use super::queue::{Desk, ExpireOrder, expire_order, worker_name};
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

/// How long a worker rests before it is started again.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// How often Redis is asked for what is due.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// A stall of Redis that is shorter than this does not end a worker.
const REDIS_TIMEOUT: Duration = Duration::from_secs(5);
/// How long Redis is left alone once a job could not be handed to it: holds that begin meanwhile
/// are left to the sweep.
const PUSH_AGAIN_AFTER: Duration = Duration::from_secs(1);
const QUEUE: &str = "stagedoor:expire-order";

/// What may be due at once. apalis hands everything that is due to one Lua `unpack`, which fails
/// at some 8 000, and would from then on for ever.
const DUE_MAX: i64 = 4_000;
/// What one step drops of what is due beyond that.
const DROPPED_MAX: u64 = 4_000;
/// How long a job that is done is kept. One may be handed out a second time just after, and a
/// worker that finds nothing under its name ends.
const DONE_KEPT: Duration = Duration::from_mins(10);
/// Ids that one step of cleaning looks at.
const LOOKED_AT: i64 = 1_000;

/// Pushes what is waiting; beside it, if there is a desk, works.
pub(super) async fn run(
    mut waiting: mpsc::Receiver<(OrderId, Moment)>,
    redis: redis::Client,
    desk: Option<Desk>,
) {
    // Ends with this task, also when it is aborted.
    let mut beside = JoinSet::new();
    if let Some(desk) = desk {
        let work_redis = redis.clone();
        beside.spawn(async move {
            loop {
                let ended = work(&work_redis, desk.clone()).await;
                metrics::gauge!("stagedoor_worker_up").set(0.0);
                if let Err(error) = ended {
                    tracing::warn!(error, "the expiry worker lost Redis; it starts again");
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
            // What comes meanwhile is the sweep's.
            let pause = tokio::time::sleep(PUSH_AGAIN_AFTER);
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    left = waiting.recv() => match left {
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
                tracing::warn!(error, "Redis does not answer; the sweep expires orders");
            })
            .ok();
    }
    let open = storage.as_mut().ok_or(())?;
    let task = TaskBuilder::new(ExpireOrder { order })
        .run_at_time(due_at(at))
        .build();
    open.push_task(task).await.map_err(|error| {
        tracing::warn!(%order, %error, "a job was not taken; the sweep will do it");
    })
}

fn due_at(at: Moment) -> SystemTime {
    // Redis keeps whole seconds: the next one, so that the job finds the hold over.
    let seconds = at.seconds_left(Moment::EPOCH) + 1;
    UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

/// A connection that waits as long as a worker can.
async fn patient(redis: &redis::Client) -> Result<ConnectionManager, redis::RedisError> {
    let patience = redis::aio::ConnectionManagerConfig::new()
        .set_connection_timeout(Some(REDIS_TIMEOUT))
        .set_response_timeout(Some(REDIS_TIMEOUT))
        .set_number_of_retries(1);
    ConnectionManager::new_with_config(redis.clone(), patience).await
}

async fn connect(redis: &redis::Client) -> Result<RedisStorage<ExpireOrder>, BoxDynError> {
    let config = Config::default()
        .queue(QUEUE)
        .heartbeat_interval(Duration::from_secs(5))
        .missed_heartbeats(3)
        .batch_size(100);
    Ok(RedisStorage::new(patient(redis).await?).with_config(config))
}

async fn work(redis: &redis::Client, desk: Desk) -> Result<(), BoxDynError> {
    let storage = connect(redis).await?.poll_with_interval(POLL_EVERY);
    let worker = WorkerBuilder::new(worker_name())
        .backend(storage)
        .data(desk)
        .build(expire_order);
    metrics::gauge!("stagedoor_worker_up").set(1.0);
    worker.run().await?;
    Ok(())
}

/// Drops what is due beyond what a worker can take. Keys: scheduled, data; arguments: the time, how
/// many may stay, the names of a job's particulars, how many to drop at most. Returns how many it
/// dropped.
static BOUND: LazyLock<Script> = LazyLock::new(|| {
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

/// Forgets some of what has long been done or given up. Keys: the set of it, data; arguments: where
/// to go on, how many to look at, done before when, the names of a job's particulars. Returns where
/// to go on.
static FORGET: LazyLock<Script> = LazyLock::new(|| {
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

/// Takes out what is handed out without data, over which workers would stumble for ever: what waits,
/// and what a worker had that ended over it, and would give back. Keys: active, data, the workers;
/// arguments: how many to look at, the names of what workers have. Returns how many it took out.
static UNPOISON: LazyLock<Script> = LazyLock::new(|| {
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

/// Tidies the queue. Each step is atomic, so any number of processes may do it.
pub struct QueueTidier {
    redis: redis::Client,
    connection: Mutex<Option<ConnectionManager>>,
}

impl QueueTidier {
    /// Connects when it first tidies.
    pub fn new(redis: redis::Client) -> Self {
        Self {
            redis,
            connection: Mutex::new(None),
        }
    }

    /// Deletes what is done, and what is due beyond what a worker can take; measures the rest. If
    /// Redis fails, the next call connects again.
    pub async fn tidy(&self) {
        let mut connection = self.connection.lock().await;
        if let Err(error) = tidy(&mut connection, &self.redis).await {
            tracing::debug!(%error, "the queue was not tidied");
            *connection = None;
        }
    }
}

async fn tidy(
    connection: &mut Option<ConnectionManager>,
    redis: &redis::Client,
) -> Result<(), redis::RedisError> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(patient(redis).await?),
    };
    let key = |name: &str| format!("{QUEUE}:{name}");
    let (scheduled, data, meta) = (key("scheduled"), key("data"), key("meta"));
    let now = seconds_now();
    let mut dropped = 0;
    loop {
        let step: u64 = BOUND
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
            "more is due than a worker can take; the sweep does the rest"
        );
    }
    let poisoned: u64 = UNPOISON
        .key(key("active"))
        .key(&data)
        .key(key("workers"))
        .arg(LOOKED_AT)
        .arg(key("inflight"))
        .invoke_async(connection)
        .await?;
    if poisoned > 0 {
        tracing::warn!(poisoned, "jobs without data were taken out of the queue");
    }
    let done_before = now - i64::try_from(DONE_KEPT.as_secs()).unwrap_or_default();
    for set in ["done", "dead"] {
        let mut from = 0_u64;
        loop {
            from = FORGET
                .key(key(set))
                .key(&data)
                .arg(from)
                .arg(LOOKED_AT)
                .arg(done_before)
                .arg(&meta)
                .invoke_async(connection)
                .await?;
            if from == 0 {
                break;
            }
        }
    }
    count(connection, &scheduled, &key("workers"), now).await
}

/// Tells how many jobs wait, how many of them are late and by how much, and when a worker was last
/// heard of.
async fn count(
    connection: &mut ConnectionManager,
    scheduled: &str,
    workers: &str,
    now: i64,
) -> Result<(), redis::RedisError> {
    type Scored = Vec<(String, i64)>;
    let (waiting, due, first, heard): (u32, u32, Scored, Scored) = redis::pipe()
        .zcard(scheduled)
        .zcount(scheduled, 0, now)
        .zrange_withscores(scheduled, 0, 0)
        .zrevrange_withscores(workers, 0, 0)
        .query_async(connection)
        .await?;
    metrics::gauge!("stagedoor_jobs_queued").set(f64::from(waiting));
    metrics::gauge!("stagedoor_jobs_due").set(f64::from(due));
    let age = |since: i64| f64::from(u32::try_from(now.saturating_sub(since)).unwrap_or_default());
    let late = first.first().map_or(0.0, |(_, at)| age(*at));
    metrics::gauge!("stagedoor_jobs_oldest_seconds").set(late);
    if let Some((_, heard)) = heard.first() {
        metrics::gauge!("stagedoor_worker_heartbeat_age_seconds").set(age(*heard));
    }
    Ok(())
}

/// Redis and apalis count by the system's clock, whatever the shop counts by.
fn seconds_now() -> i64 {
    use platform::clock::{Clock, SystemClock};
    SystemClock.now().seconds()
}
