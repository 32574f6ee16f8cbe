//! The sweep of the database: finds what jobs have missed. Every process runs one; each step is
//! a conditional UPDATE, so any number of them get along.

use crate::{
    fault::FaultResult, orders::OrdersService, payments::Engine, rounds::Round, telemetry::spans,
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tracing::Instrument;

/// How often the database is swept.
pub const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// What one sweep takes on at a time; it goes on while there is more.
const BATCH: i64 = 500;

/// How long each half of a sweep may take. The next one goes on where it was cut short; a call to
/// Stripe that is cut short is made again once its lease is over.
const EXPIRY_WITHIN: Duration = Duration::from_mins(1);
const CALLS_WITHIN: Duration = Duration::from_mins(10);

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
        let expiring = Round {
            of: "expiry",
            every: SWEEP_EVERY,
            within: EXPIRY_WITHIN,
        };
        let expiring = expiring.run(|| {
            let sweeper = Arc::clone(&self);
            let expire = async move {
                sweeper.expire().await?;
                sweeper.swept.note();
                Ok(())
            };
            expire.instrument(spans::round("expiry"))
        });
        let calling = Round {
            of: "calls",
            every: SWEEP_EVERY,
            within: CALLS_WITHIN,
        };
        let calling = calling.run_or_sooner(
            || self.engine.woken(),
            || {
                let sweeper = Arc::clone(&self);
                let call = async move { sweeper.call().await };
                call.instrument(spans::round("calls"))
            },
        );
        tokio::join!(expiring, calling);
    }
}
