//! The sweep of the database: finds what jobs have missed. Every process runs one; each step is
//! a conditional UPDATE, so any number of them get along.

use crate::{fault::FaultResult, orders::OrdersService, payments::Engine};
use std::{sync::Arc, time::Duration};

/// How often the database is swept.
pub const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// What one sweep takes on at a time; it goes on while there is more.
const BATCH: i64 = 500;

/// Sweeps the database.
pub struct Sweeper {
    orders: OrdersService,
    engine: Arc<Engine>,
}

impl Sweeper {
    /// A sweeper over these orders and payments.
    pub fn new(orders: OrdersService, engine: Arc<Engine>) -> Self {
        Self { orders, engine }
    }

    /// Expires all that is due, then makes the calls to Stripe and acts on the webhooks that
    /// wait. Returns how many orders it expired.
    pub async fn sweep(&self) -> FaultResult<usize> {
        let mut expired = 0;
        loop {
            let found = self.orders.expire_due(BATCH).await?;
            expired += found;
            if i64::try_from(found).is_ok_and(|found| found < BATCH) {
                break;
            }
        }
        metrics::counter!("stagedoor_swept_orders_total")
            .increment(u64::try_from(expired).unwrap_or_default());
        self.engine.drain().await?;
        Ok(expired)
    }

    /// Sweeps for ever: every ten seconds, and at once when a webhook or an expiry asks for it.
    /// A sweep that fails or panics is logged, and the next one comes all the same.
    pub async fn run(self: Arc<Self>) {
        let mut tick = tokio::time::interval(SWEEP_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = self.engine.woken() => {}
            }
            let sweeper = Arc::clone(&self);
            match tokio::spawn(async move { sweeper.sweep().await }).await {
                Ok(Ok(_)) => {}
                Ok(Err(fault)) => {
                    tracing::error!(error = crate::fault::chain(&fault), "a sweep failed");
                }
                Err(panic) => tracing::error!(error = %panic, "a sweep panicked"),
            }
        }
    }
}
