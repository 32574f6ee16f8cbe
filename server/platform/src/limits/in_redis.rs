//! How often something has been tried, counted by all processes together.

use crate::redis_client::{Away, Redis};
use redis::Script;
use std::{sync::LazyLock, time::Duration};

/// Counts one more, if that is no more than may be, and begins the window with the first. Returns
/// whether it was counted, and the milliseconds that are left of the window.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local count = tonumber(redis.call('GET', KEYS[1]) or '0') \
         if count >= tonumber(ARGV[1]) then return {0, redis.call('PTTL', KEYS[1])} end \
         if redis.call('INCR', KEYS[1]) == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end \
         return {1, redis.call('PTTL', KEYS[1])}",
    )
});

/// Counts one less. The window stays as it is.
static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local count = tonumber(redis.call('GET', KEYS[1]) or '0') \
         if count > 1 then return redis.call('DECR', KEYS[1]) end \
         return redis.call('DEL', KEYS[1])",
    )
});

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tries {
    /// Whether it was one of those that may be.
    pub taken: bool,
    /// How much is left of the window.
    pub ends_in: Duration,
}

impl From<(i64, i64)> for Tries {
    fn from((taken, millis): (i64, i64)) -> Self {
        Self {
            taken: taken == 1,
            ends_in: Duration::from_millis(u64::try_from(millis).unwrap_or(0)),
        }
    }
}

fn place(name: &str) -> String {
    format!("stagedoor:tries:{name}")
}

impl Redis {
    /// Counts one try of `name` if there were fewer than `most` in a window that is so long. Errors:
    /// Redis is away.
    pub(crate) async fn take_try(
        &self,
        name: &str,
        most: u32,
        window: Duration,
    ) -> Result<Tries, Away> {
        let place = place(name);
        let millis = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        let tries: (i64, i64) = self
            .with(|mut connection| async move {
                TAKE.key(place)
                    .arg(most)
                    .arg(millis)
                    .invoke_async(&mut connection)
                    .await
            })
            .await?;
        Ok(tries.into())
    }

    /// Counts one try of `name` less. Errors: Redis is away.
    pub(crate) async fn give_try_back(&self, name: &str) -> Result<(), Away> {
        let place = place(name);
        self.with(|mut connection| async move {
            let _: i64 = GIVE_BACK.key(place).invoke_async(&mut connection).await?;
            Ok(())
        })
        .await
    }
}
