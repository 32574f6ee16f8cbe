//! The connection to Redis, through which the processes of one shop share what they need not ask the
//! database for: counted tries (`limits/in_redis.rs`), sessions in use (`session/in_redis.rs`) and
//! changes on open pages (`outbox/fanout.rs`). The queue of expiry jobs is apalis's (`expiration/`).
//!
//! Redis makes the shop faster and lets all processes count limits together. The shop works without it:
//! what it has can be lost at any moment, and each of these modules falls back to one process. So
//! [`Redis::ask`] gives up after a short time, and requests do not wait while Redis is away.

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

/// How long an answer is waited for. A request that needs longer is better off without.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long Redis is left alone once it did not answer.
const AWAY: Duration = Duration::from_secs(1);

/// A connection to Redis that reconnects by itself. Cheap to clone.
#[derive(Clone)]
pub struct Redis {
    client: Client,
    connection: ConnectionManager,
    state: Arc<State>,
}

struct State {
    made: Instant,
    /// Milliseconds from `made` until which nobody asks; 0 while it answers.
    away_until: AtomicU64,
}

/// Redis did not answer, in time or at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Away {
    /// It failed a moment ago and was not asked.
    #[error("Redis was away a moment ago")]
    Lately,
    /// It took too long.
    #[error("Redis did not answer in {} ms", PATIENCE.as_millis())]
    Slow,
    /// What it, or the line to it, says.
    #[error("Redis failed")]
    Failed(#[from] RedisError),
}

impl Redis {
    /// Connects with the first question. Errors: `url` is none of Redis.
    pub fn new(url: &str, trust: &Trust) -> Result<Self, RedisError> {
        let client = trust.redis(url)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_number_of_retries(1);
        Ok(Self {
            connection: ConnectionManager::new_lazy_with_config(client.clone(), config)?,
            client,
            state: Arc::new(State {
                made: Instant::now(),
                away_until: AtomicU64::new(0),
            }),
        })
    }

    /// Asks, unless Redis failed within the last second.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Away> {
        self.with(|mut connection| async move { command.query_async(&mut connection).await })
            .await
    }

    /// As [`Redis::ask`], for what takes more than one command.
    pub(crate) async fn with<T, F>(
        &self,
        work: impl FnOnce(ConnectionManager) -> F,
    ) -> Result<T, Away>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        if self.millis() < self.state.away_until.load(Ordering::Relaxed) {
            return Err(Away::Lately);
        }
        let answer = match tokio::time::timeout(PATIENCE, work(self.connection.clone())).await {
            Ok(answer) => answer.map_err(Away::Failed),
            Err(_) => Err(Away::Slow),
        };
        self.note(answer.as_ref().err());
        answer
    }

    /// Whether it answers now.
    pub async fn answers(&self) -> bool {
        self.ask::<String>(&redis::cmd("PING")).await.is_ok()
    }

    /// The one who is asked, for connections of one's own.
    pub fn client(&self) -> &Client {
        &self.client
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.state.made.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Says once that it went and once that it came back.
    fn note(&self, failed: Option<&Away>) {
        let until = failed.map_or(0, |_| {
            let away = u64::try_from(AWAY.as_millis()).unwrap_or_default();
            self.millis().saturating_add(away)
        });
        let before = self.state.away_until.swap(until, Ordering::Relaxed);
        match failed {
            Some(error) if before == 0 => tracing::warn!(
                error = crate::fault::chain(error),
                "Redis is away: each process goes on alone"
            ),
            None if before != 0 => tracing::info!("Redis is back"),
            _ => {}
        }
    }
}
