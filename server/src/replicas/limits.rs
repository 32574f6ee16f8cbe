//! How often somebody has tried something, counted by all processes together.

use super::{Away, Redis};
use redis::Script;
use std::{sync::LazyLock, time::Duration};

/// Counts one more, and begins the window with the first. Returns the count and the milliseconds
/// that are left of the window.
static COUNT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local count = redis.call('INCR', KEYS[1]) \
         if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end \
         return {count, redis.call('PTTL', KEYS[1])}",
    )
});

/// How a key stands in its window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tries {
    /// How many there were.
    pub count: u32,
    /// How much is left of the window.
    pub ends_in: Duration,
}

impl From<(i64, i64)> for Tries {
    fn from((count, millis): (i64, i64)) -> Self {
        Self {
            count: u32::try_from(count).unwrap_or(u32::MAX),
            ends_in: Duration::from_millis(u64::try_from(millis).unwrap_or(0)),
        }
    }
}

fn place(name: &str) -> String {
    format!("stagedoor:tries:{name}")
}

impl Redis {
    /// How `name` stands. Errors: Redis is away.
    pub async fn tries(&self, name: &str) -> Result<Tries, Away> {
        let place = place(name);
        let (count, millis): (Option<i64>, i64) = self
            .with(|mut connection| async move {
                redis::pipe()
                    .get(&place)
                    .pttl(&place)
                    .query_async(&mut connection)
                    .await
            })
            .await?;
        Ok((count.unwrap_or(0), millis).into())
    }

    /// Counts one try of `name` in a window that is so long. Errors: Redis is away.
    pub async fn count_try(&self, name: &str, window: Duration) -> Result<Tries, Away> {
        let place = place(name);
        let millis = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        let stands: (i64, i64) = self
            .with(|mut connection| async move {
                COUNT
                    .key(place)
                    .arg(millis)
                    .invoke_async(&mut connection)
                    .await
            })
            .await?;
        Ok(stands.into())
    }
}
