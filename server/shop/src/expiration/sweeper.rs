//! The sweep of the database: expires the orders that no job has expired. Each step is a conditional
//! UPDATE, so any number of processes may sweep at the same time.

use crate::{orders::OrdersService, payments::Engine};
use platform::fault::FaultResult;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Orders read at a time; a sweep repeats until none are due.
const BATCH: i64 = 500;

/// Time since the last successful sweep after which the process reports sweeps as late.
const RECENT: Duration = Duration::from_mins(1);

/// Time of the last successful sweep of this process; initially its start.
#[derive(Debug, Clone)]
pub struct LastSweep(Arc<Mutex<Instant>>);

impl LastSweep {
    fn now() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn set_now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether the last sweep, or the start of the process, was within the last minute.
    pub fn is_recent(&self) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.elapsed() < RECENT
    }
}

pub struct Sweeper {
    orders: OrdersService,
    engine: Arc<Engine>,
    last_sweep: LastSweep,
}

impl Sweeper {
    pub(crate) fn new(orders: OrdersService, engine: Arc<Engine>) -> Self {
        Self {
            orders,
            engine,
            last_sweep: LastSweep::now(),
        }
    }

    pub fn last_sweep(&self) -> LastSweep {
        self.last_sweep.clone()
    }

    /// Expires all due orders and records the time. Returns the number of orders expired.
    pub async fn expire_due(&self) -> FaultResult<usize> {
        let expired = self.expire_all().await?;
        self.last_sweep.set_now();
        Ok(expired)
    }

    async fn expire_all(&self) -> FaultResult<usize> {
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

    /// Looks up unclear payments at the provider, expires due orders, and then makes pending calls to the
    /// provider. Returns the number of orders expired.
    pub async fn sweep(&self) -> FaultResult<usize> {
        self.engine.refresh_stalled().await?;
        let expired = self.expire_all().await?;
        self.engine.drain().await?;
        Ok(expired)
    }
}
