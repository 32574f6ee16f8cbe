//! The apalis jobs that expire orders on time: queued in this process, or in Redis if it is configured
//! (`in_redis.rs`). The handler is the same.
//!
//! The queue only avoids waiting up to ten seconds for the next sweep, so scheduling never blocks and never
//! fails a reservation. apalis's memory storage runs jobs immediately, so without Redis a timer pushes
//! each job when it is due.

use super::in_redis;
use crate::{
    orders::{ExpirySchedule, OrdersService, store},
    payments::Engine,
};
use apalis::prelude::{BoxDynError, Data, MemoryStorage, Task, TaskBuilder, WorkerBuilder};
use apalis_core::backend::memory::{MemorySink, MemoryStorageError};
use futures::{SinkExt, StreamExt};
use model::{Moment, ids::OrderId};
use platform::{
    clock::SharedClock,
    db::Db,
    fault::{FaultResult, chain},
    telemetry::spans,
};
use serde::{Deserialize, Serialize};
use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tracing::Instrument;
use uuid::Uuid;

/// Capacity of the channel of orders to be scheduled. Orders beyond it are left to the sweep.
const WAITING_MAX: usize = 10_000;

/// The job: expire this order if its hold has ended. A stale job has no effect.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExpireOrder {
    pub order: OrderId,
}

/// The services that the job handler calls.
#[derive(Clone)]
pub struct ExpiryContext {
    pub orders: OrdersService,
    /// Woken to void the payments of expired orders.
    pub engine: Arc<Engine>,
}

pub(super) async fn expire_order(
    job: ExpireOrder,
    context: Data<ExpiryContext>,
) -> Result<(), BoxDynError> {
    let expiring = async {
        let expired = context.orders.expire(job.order).await;
        expired.inspect_err(|fault| {
            tracing::warn!(error = chain(fault), "Expiry job failed; left to the sweep");
        })
    };
    if expiring.instrument(spans::expiry(job.order)).await? {
        metrics::counter!("stagedoor_jobs_expired_orders_total").increment(1);
        context.engine.wake();
    }
    Ok(())
}

/// Accepts orders to be expired at the end of their holds.
#[derive(Clone)]
pub struct Queue {
    waiting: mpsc::Sender<(OrderId, Moment)>,
}

impl ExpirySchedule for Queue {
    fn schedule(&self, order: OrderId, hold_until: Moment) {
        if self.waiting.try_send((order, hold_until)).is_err() {
            metrics::counter!("stagedoor_jobs_dropped_total").increment(1);
        }
    }
}

/// The receiving end of a [`Queue`], before its workers run.
pub struct Workers {
    waiting: mpsc::Receiver<(OrderId, Moment)>,
}

impl Queue {
    /// The queue and its receiving end.
    pub(crate) fn new() -> (Self, Workers) {
        let (sender, waiting) = mpsc::channel(WAITING_MAX);
        (Self { waiting: sender }, Workers { waiting })
    }
}

impl Workers {
    /// Queues and runs the jobs for ever: in Redis if it is configured, else in this process. If not
    /// `runs_jobs`, jobs are only pushed to Redis, for the workers of other processes.
    pub async fn run(
        self,
        db: Db,
        clock: SharedClock,
        context: ExpiryContext,
        redis: Option<redis::Client>,
        runs_jobs: bool,
    ) {
        match redis {
            Some(redis) => in_redis::run(self.waiting, redis, runs_jobs.then_some(context)).await,
            None if runs_jobs => run_embedded(self.waiting, db, clock, context).await,
            None => {}
        }
    }
}

/// Runs the jobs in this process: a heap of scheduled orders, a timer for the earliest, and an apalis worker
/// that receives due jobs. Orders scheduled before the last start are read from the database.
async fn run_embedded(
    mut waiting: mpsc::Receiver<(OrderId, Moment)>,
    db: Db,
    clock: SharedClock,
    context: ExpiryContext,
) {
    let (mut sink, storage) = memory_storage();
    tokio::spawn(async move {
        let worker = WorkerBuilder::new(worker_name())
            .backend(storage)
            .data(context)
            .build(expire_order);
        if let Err(error) = worker.run().await {
            tracing::error!(%error, "Expiry worker ended; orders are expired by the sweep");
        }
    });
    let mut scheduled = match load_scheduled(&db).await {
        Ok(scheduled) => scheduled,
        Err(fault) => {
            tracing::error!(
                error = chain(&fault),
                "Could not read scheduled expiries from the database"
            );
            BinaryHeap::new()
        }
    };
    loop {
        let first = scheduled.peek().map(|Reverse((at, _))| *at);
        let pause = first.map(|at| pause_until(at, clock.now()));
        tokio::select! {
            received = waiting.recv() => match received {
                Some((order, at)) => scheduled.push(Reverse((at, order))),
                None => return,
            },
            () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {
                let now = clock.now();
                while let Some(Reverse((at, order))) = scheduled.peek().copied()
                    && at <= now
                {
                    scheduled.pop();
                    let job = TaskBuilder::new(ExpireOrder { order }).build();
                    if let Err(error) = sink.send(job).await {
                        tracing::warn!(%order, %error, "Could not queue expiry job; left to the sweep");
                    }
                }
            }
        }
    }
}

/// apalis's memory storage and a sink that pushes to it: the worker takes ownership of the storage.
fn memory_storage() -> (MemorySink<ExpireOrder>, MemoryStorage<ExpireOrder>) {
    let (sender, receiver) = futures::channel::mpsc::unbounded::<Task<ExpireOrder>>();
    let sink = MemorySink::new(Arc::new(futures::lock::Mutex::new(Box::new(
        sender.sink_map_err(MemoryStorageError::from),
    ))));
    (
        sink.clone(),
        MemoryStorage::new_with(sink, receiver.boxed()),
    )
}

async fn load_scheduled(db: &Db) -> FaultResult<BinaryHeap<Reverse<(Moment, OrderId)>>> {
    let hold_ends = store::list_hold_ends(db.reads()).await?;
    Ok(hold_ends
        .into_iter()
        .map(|(order, at)| Reverse((at, order)))
        .collect())
}

/// Ends slightly after the hold, so that the job finds it ended.
fn pause_until(at: Moment, now: Moment) -> Duration {
    at.since(now) + Duration::from_millis(2)
}

pub(super) fn worker_name() -> String {
    // Unique per process and restart: apalis treats a second worker of the same name as the first.
    format!("expire-order-{}", Uuid::now_v7())
}
