//! Passes live changes of tickets from the process that reads the outbox to all others, through Redis,
//! so that only one process polls frequently. Every process also reads the outbox itself at a lower
//! rate, so a lost message only causes a delay.

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
/// The key that the polling process holds for one period.
const POLL_LOCK: &str = "stagedoor:ticket-changes:turn";
/// The pause before a new subscription once Redis has failed.
const RESUBSCRIBE_AFTER: Duration = Duration::from_secs(1);

/// Publishes and receives changes through Redis.
pub struct Fanout {
    redis: Redis,
    process_id: String,
    is_subscribed: AtomicBool,
}

impl Fanout {
    pub fn new(redis: Redis) -> Self {
        Self {
            redis,
            process_id: Uuid::new_v4().to_string(),
            is_subscribed: AtomicBool::new(false),
        }
    }

    /// Whether another process is polling and this one receives its messages. Otherwise tries to take the
    /// lock for `period`.
    pub(crate) async fn is_polled_elsewhere(&self, period: Duration) -> bool {
        if !self.is_subscribed.load(Ordering::Relaxed) {
            return false;
        }
        let mut take = redis::cmd("SET");
        take.arg(POLL_LOCK)
            .arg(&self.process_id)
            .arg("NX")
            .arg("PX")
            .arg(u64::try_from(period.as_millis()).unwrap_or(u64::MAX));
        // Redis answers nil if another process holds the lock.
        matches!(self.redis.ask::<Option<String>>(&take).await, Ok(None))
    }

    /// Sends changes to the other processes.
    pub(crate) async fn publish(&self, changes: &[TicketChange]) {
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
                "could not publish live changes to other processes"
            );
        }
    }

    /// Calls `on_changes` with the changes that other processes publish. Never returns.
    pub(crate) async fn receive(&self, on_changes: impl Fn(Vec<TicketChange>)) {
        loop {
            if let Err(error) = self.receive_until_error(&on_changes).await {
                tracing::debug!(
                    error = chain(&error),
                    "lost the subscription to live changes in Redis"
                );
            }
            self.is_subscribed.store(false, Ordering::Relaxed);
            tokio::time::sleep(RESUBSCRIBE_AFTER).await;
        }
    }

    async fn receive_until_error(
        &self,
        on_changes: &impl Fn(Vec<TicketChange>),
    ) -> Result<(), redis::RedisError> {
        let mut subscription = self.redis.client().get_async_pubsub().await?;
        subscription.subscribe(CHANNEL).await?;
        self.is_subscribed.store(true, Ordering::Relaxed);
        let mut messages = subscription.on_message();
        while let Some(message) = messages.next().await {
            let text: String = message.get_payload()?;
            match serde_json::from_str(&text) {
                Ok(changes) => on_changes(changes),
                Err(error) => tracing::warn!(%error, "ignored live changes in an unknown format"),
            }
        }
        Ok(())
    }
}
