//! The sweep of the database: finds what jobs have missed. Every process runs one; each step is
//! a conditional UPDATE, so any number of them get along.

use crate::{fault::FaultResult, orders::OrdersService, payments::Engine, telemetry::spans};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tracing::Instrument;

/// How often the database is swept.
pub const SWEEP_EVERY: Duration = Duration::from_secs(10);
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
    pub fn new(orders: OrdersService, engine: Arc<Engine>) -> Self {
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

    /// Expires all that is due. Returns how many orders it were.
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

    /// Looks at what lapses, makes the calls to Stripe that are due and acts on the webhooks that
    /// wait.
    async fn call(&self) -> FaultResult<()> {
        self.engine.look_after().await?;
        self.engine.drain().await?;
        Ok(())
    }

    /// All of it once, the last look first. Returns how many orders it expired.
    pub async fn sweep(&self) -> FaultResult<usize> {
        self.engine.look_after().await?;
        let expired = self.expire().await?;
        self.engine.drain().await?;
        Ok(expired)
    }

    /// Sweeps for ever: every ten seconds, and the calls at once when a webhook or an expiry asks
    /// for it. Holds end on time however long Stripe takes to answer, since calls are made beside.
    pub async fn run(self: Arc<Self>) {
        let expiring = every_ten_seconds(
            &self,
            "expiry",
            std::future::pending,
            |sweeper| async move {
                sweeper.expire().await?;
                sweeper.swept.note();
                Ok(())
            },
        );
        let engine = Arc::clone(&self.engine);
        let calling = every_ten_seconds(
            &self,
            "calls",
            || {
                let engine = Arc::clone(&engine);
                async move { engine.woken().await }
            },
            |sweeper| async move { sweeper.call().await },
        );
        tokio::join!(expiring, calling);
    }
}

/// A round that fails or panics is logged, and the next one comes all the same.
async fn every_ten_seconds<W, R>(
    sweeper: &Arc<Sweeper>,
    of: &'static str,
    sooner: impl Fn() -> W,
    round: impl Fn(Arc<Sweeper>) -> R,
) where
    W: Future<Output = ()>,
    R: Future<Output = FaultResult<()>> + Send + 'static,
{
    let mut tick = tokio::time::interval(SWEEP_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = sooner() => {}
        }
        match tokio::spawn(round(Arc::clone(sweeper)).instrument(spans::round(of))).await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => {
                tracing::error!(error = crate::fault::chain(&fault), "a sweep failed");
            }
            Err(panic) => tracing::error!(error = %panic, "a sweep panicked"),
        }
    }
}
