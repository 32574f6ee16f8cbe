//! The connection to Redis, which the processes of a shop use for rate limits (`limits/in_redis.rs`),
//! cached sessions (`session/in_redis.rs`) and live changes (`outbox/fanout.rs`). The queue of expiry
//! jobs has its own connection (`expiration/`).
//!
//! Redis is optional, and its data can be lost at any time: each of these modules falls back to working
//! within one process. So [`Redis::ask`] has a short time limit, and is not tried for a second after a
//! failure.

use crate::trust::Trust;
use redis::{
    Client, Cmd, FromRedisValue, RedisError,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How long to wait for an answer; the fallback is faster than waiting longer.
const TIMEOUT: Duration = Duration::from_millis(250);
/// How long Redis is not used after a failure.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A connection to Redis that reconnects by itself. Cheap to clone.
#[derive(Clone)]
pub struct Redis {
    client: Client,
    connection: ConnectionManager,
    state: Arc<State>,
}

struct State {
    created: Instant,
    /// Until when Redis is not used, in milliseconds since `created`; 0 while it answers.
    unavailable_until: AtomicU64,
}

/// Why Redis could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RedisUnavailable {
    /// It was not tried, because it failed within the last second.
    #[error("Redis failed a moment ago")]
    FailedRecently,
    #[error("Redis did not answer within {} ms", TIMEOUT.as_millis())]
    TimedOut,
    /// Redis or the connection failed.
    #[error("Redis failed")]
    Failed(#[from] RedisError),
}

impl Redis {
    /// Connects at the first command. Errors: `url` is not valid.
    pub fn new(url: &str, trust: &Trust) -> Result<Self, RedisError> {
        let client = trust.redis(url)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT))
            .set_number_of_retries(1);
        Ok(Self {
            connection: ConnectionManager::new_lazy_with_config(client.clone(), config)?,
            client,
            state: Arc::new(State {
                created: Instant::now(),
                unavailable_until: AtomicU64::new(0),
            }),
        })
    }

    /// Runs one command, unless Redis failed within the last second.
    pub(crate) async fn ask<T: FromRedisValue>(
        &self,
        command: &Cmd,
    ) -> Result<T, RedisUnavailable> {
        self.with(|mut connection| async move { command.query_async(&mut connection).await })
            .await
    }

    /// Like [`Redis::ask`], for several commands.
    pub(crate) async fn with<T, F>(
        &self,
        work: impl FnOnce(ConnectionManager) -> F,
    ) -> Result<T, RedisUnavailable>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        if self.millis() < self.state.unavailable_until.load(Ordering::Relaxed) {
            return Err(RedisUnavailable::FailedRecently);
        }
        let answer = match tokio::time::timeout(TIMEOUT, work(self.connection.clone())).await {
            Ok(answer) => answer.map_err(RedisUnavailable::Failed),
            Err(_) => Err(RedisUnavailable::TimedOut),
        };
        self.record(answer.as_ref().err());
        answer
    }

    /// Sends PING.
    pub async fn answers(&self) -> bool {
        self.ask::<String>(&redis::cmd("PING")).await.is_ok()
    }

    /// For callers that need their own connections.
    pub fn client(&self) -> &Client {
        &self.client
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.state.created.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Records whether Redis is available, and logs when that changes.
    fn record(&self, failed: Option<&RedisUnavailable>) {
        let until = failed.map_or(0, |_| {
            let pause = u64::try_from(RETRY_AFTER.as_millis()).unwrap_or_default();
            self.millis().saturating_add(pause)
        });
        let before = self.state.unavailable_until.swap(until, Ordering::Relaxed);
        match failed {
            Some(error) if before == 0 => tracing::warn!(
                error = crate::fault::chain(error),
                "Redis is unavailable: each process continues on its own"
            ),
            None if before != 0 => tracing::info!("Redis is available again"),
            _ => {}
        }
    }
}
