//! Rate limits counted in Redis, by all processes together.

use crate::redis_client::{Redis, RedisUnavailable};
use redis::Script;
use std::{sync::LazyLock, time::Duration};

/// Counts an attempt unless the limit is reached; the first attempt begins the window. Returns whether
/// it was counted, and the milliseconds until the window ends.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local count = tonumber(redis.call('GET', KEYS[1]) or '0') \
         if count >= tonumber(ARGV[1]) then return {0, redis.call('PTTL', KEYS[1])} end \
         if redis.call('INCR', KEYS[1]) == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end \
         return {1, redis.call('PTTL', KEYS[1])}",
    )
});

/// Takes back one attempt. The window does not change.
static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local count = tonumber(redis.call('GET', KEYS[1]) or '0') \
         if count > 1 then return redis.call('DECR', KEYS[1]) end \
         return redis.call('DEL', KEYS[1])",
    )
});

/// The result of counting an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// Whether it was within the limit, and counted.
    pub taken: bool,
    /// The time until the window ends.
    pub ends_in: Duration,
}

impl From<(i64, i64)> for Attempt {
    fn from((taken, millis): (i64, i64)) -> Self {
        Self {
            taken: taken == 1,
            ends_in: Duration::from_millis(u64::try_from(millis).unwrap_or(0)),
        }
    }
}

fn redis_key(name: &str) -> String {
    format!("stagedoor:tries:{name}")
}

impl Redis {
    /// Counts an attempt at `name` unless there were `most` within the window. Errors: Redis is unavailable.
    pub(crate) async fn take_attempt(
        &self,
        name: &str,
        most: u32,
        window: Duration,
    ) -> Result<Attempt, RedisUnavailable> {
        let key = redis_key(name);
        let millis = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        let attempt: (i64, i64) = self
            .with(|mut connection| async move {
                TAKE.key(key)
                    .arg(most)
                    .arg(millis)
                    .invoke_async(&mut connection)
                    .await
            })
            .await?;
        Ok(attempt.into())
    }

    /// Takes back one attempt at `name`. Errors: Redis is unavailable.
    pub(crate) async fn give_back_attempt(&self, name: &str) -> Result<(), RedisUnavailable> {
        let key = redis_key(name);
        self.with(|mut connection| async move {
            let _: i64 = GIVE_BACK.key(key).invoke_async(&mut connection).await?;
            Ok(())
        })
        .await
    }
}
