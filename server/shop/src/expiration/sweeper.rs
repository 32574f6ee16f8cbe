//! The sweep of the database: finds what jobs have missed. Each step is a conditional UPDATE, so any
//! number of processes may sweep at the same time.

use crate::{orders::OrdersService, payments::Engine};
use platform::fault::FaultResult;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What one sweep takes on at a time; it goes on while there is more.
const BATCH: i64 = 500;

/// How long a sweep may take, with the pause before it, until it counts as missing.
const LATELY: Duration = Duration::from_mins(1);

/// When the database was last swept.
#[derive(Debug, Clone)]
pub struct Swept(Arc<Mutex<Instant>>);

impl Swept {
    fn now() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether that was within the last minute; a process that has just begun is not late.
    pub fn lately(&self) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.elapsed() < LATELY
    }
}

/// Sweeps the database.
pub struct Sweeper {
    orders: OrdersService,
    engine: Arc<Engine>,
    swept: Swept,
}

impl Sweeper {
    /// A sweeper over these orders and payments.
    pub(crate) fn new(orders: OrdersService, engine: Arc<Engine>) -> Self {
        Self {
            orders,
            engine,
            swept: Swept::now(),
        }
    }

    /// When it last succeeded.
    pub fn swept(&self) -> Swept {
        self.swept.clone()
    }

    /// Expires the orders that are due, and notes when that succeeded. Returns how many there were.
    pub async fn expire_due(&self) -> FaultResult<usize> {
        let expired = self.expire().await?;
        self.swept.note();
        Ok(expired)
    }

    async fn expire(&self) -> FaultResult<usize> {
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
        Ok(expired)
    }

    /// All of it once, the last look first. Returns how many orders it expired.
    pub async fn sweep(&self) -> FaultResult<usize> {
        self.engine.refresh_stalled().await?;
        let expired = self.expire().await?;
        self.engine.drain().await?;
        Ok(expired)
    }
}
