//! Changes on open pages, handed from the process that found them in the outbox to all others: one
//! looks for everybody, whoever has the turn. What is told is told again by the database, so a
//! message that is lost is late and no more.

use super::TicketChange;
use crate::fault::chain;
use crate::redis_client::Redis;
use futures::StreamExt;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use uuid::Uuid;

const CHANNEL: &str = "stagedoor:ticket-changes";
const TURN: &str = "stagedoor:ticket-changes:turn";
/// How long a listener that lost Redis waits before it tries again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// The way between the processes.
pub struct Fanout {
    redis: Redis,
    me: String,
    listening: AtomicBool,
}

impl Fanout {
    /// Through this Redis.
    pub fn new(redis: Redis) -> Self {
        Self {
            redis,
            me: Uuid::new_v4().to_string(),
            listening: AtomicBool::new(false),
        }
    }

    /// Whether this process need not look itself for now: it hears others, and one of them has the
    /// turn, which lasts `turn`.
    pub(crate) async fn somebody_else_looks(&self, turn: Duration) -> bool {
        if !self.listening.load(Ordering::Relaxed) {
            return false;
        }
        let mut take = redis::cmd("SET");
        take.arg(TURN)
            .arg(&self.me)
            .arg("NX")
            .arg("PX")
            .arg(u64::try_from(turn.as_millis()).unwrap_or(u64::MAX));
        // Nothing comes back where somebody has the turn.
        matches!(self.redis.ask::<Option<String>>(&take).await, Ok(None))
    }

    /// Tells the other processes.
    pub(crate) async fn tell(&self, changes: &[TicketChange]) {
        if changes.is_empty() {
            return;
        }
        let Ok(text) = serde_json::to_string(changes) else {
            return;
        };
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(CHANNEL).arg(text);
        if let Err(error) = self.redis.ask::<i64>(&publish).await {
            tracing::debug!(
                error = chain(&error),
                "other processes were not told of changes"
            );
        }
    }

    /// Hears what other processes tell, for ever.
    pub(crate) async fn listen(&self, heard: impl Fn(Vec<TicketChange>)) {
        loop {
            if let Err(error) = self.listen_once(&heard).await {
                tracing::debug!(error = chain(&error), "changes are not heard through Redis");
            }
            self.listening.store(false, Ordering::Relaxed);
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    }

    async fn listen_once(
        &self,
        heard: &impl Fn(Vec<TicketChange>),
    ) -> Result<(), redis::RedisError> {
        let mut line = self.redis.client().get_async_pubsub().await?;
        line.subscribe(CHANNEL).await?;
        self.listening.store(true, Ordering::Relaxed);
        let mut messages = line.on_message();
        while let Some(message) = messages.next().await {
            let text: String = message.get_payload()?;
            match serde_json::from_str(&text) {
                Ok(changes) => heard(changes),
                Err(error) => tracing::warn!(%error, "a message of another version was not read"),
            }
        }
        Ok(())
    }
}
