//! The apalis jobs that expire orders on time: in this process by default, in Redis when there
//! is one (`in_redis.rs`). The handler is the same.
//!
//! The database is the truth; the queue only saves the ten seconds until the next sweep. So
//! scheduling never blocks and never fails a reservation. In the embedded mode a timer of ours
//! pushes what is due, since apalis's memory storage runs everything at once.

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

/// Orders that wait to be scheduled; what does not fit is left to the sweep.
const WAITING_MAX: usize = 10_000;

/// The job: expire this order, if its hold has run out by then.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExpireOrder {
    /// The order. A job can only ever touch this one, so a stale job harms nobody.
    pub order: OrderId,
}

/// What the handler works with.
#[derive(Clone)]
pub struct Desk {
    /// Whose holds end.
    pub orders: OrdersService,
    /// Gives back what a payment has reserved on a card.
    pub engine: Arc<Engine>,
}

pub(super) async fn expire_order(job: ExpireOrder, desk: Data<Desk>) -> Result<(), BoxDynError> {
    let expiring = async {
        let expired = desk.orders.expire(job.order).await;
        expired.inspect_err(|fault| {
            tracing::warn!(error = chain(fault), "a job failed; the sweep will do it");
        })
    };
    if expiring.instrument(spans::expiry(job.order)).await? {
        metrics::counter!("stagedoor_jobs_expired_orders_total").increment(1);
        desk.engine.wake();
    }
    Ok(())
}

/// Takes orders in to be expired when their hold ends.
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
    /// A queue, and what is to be handed to [`Workers::run`].
    pub(crate) fn new() -> (Self, Workers) {
        let (sender, waiting) = mpsc::channel(WAITING_MAX);
        (Self { waiting: sender }, Workers { waiting })
    }
}

impl Workers {
    /// Runs the jobs for ever: in Redis if there is one, else in this process.
    /// Without `works` it only hands them to Redis, for the workers of other processes.
    pub async fn run(
        self,
        db: Db,
        clock: SharedClock,
        desk: Desk,
        redis: Option<redis::Client>,
        works: bool,
    ) {
        match redis {
            Some(redis) => in_redis::run(self.waiting, redis, works.then_some(desk)).await,
            None if works => run_embedded(self.waiting, db, clock, desk).await,
            None => {}
        }
    }
}

/// In this process: a heap of what is to come, a timer for the first of it, and an apalis worker
/// that is handed what is due. Orders of before the last start are read back from the database.
async fn run_embedded(
    mut waiting: mpsc::Receiver<(OrderId, Moment)>,
    db: Db,
    clock: SharedClock,
    desk: Desk,
) {
    let (mut sink, storage) = memory_storage();
    tokio::spawn(async move {
        let worker = WorkerBuilder::new(worker_name())
            .backend(storage)
            .data(desk)
            .build(expire_order);
        if let Err(error) = worker.run().await {
            tracing::error!(%error, "the expiry worker ended; the sweep goes on");
        }
    });
    let mut due = match remembered(&db).await {
        Ok(due) => due,
        Err(fault) => {
            tracing::error!(
                error = chain(&fault),
                "could not read back what is to expire"
            );
            BinaryHeap::new()
        }
    };
    loop {
        let first = due.peek().map(|Reverse((at, _))| *at);
        let pause = first.map(|at| pause_until(at, clock.now()));
        tokio::select! {
            taken = waiting.recv() => match taken {
                Some((order, at)) => due.push(Reverse((at, order))),
                None => return,
            },
            () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {
                let now = clock.now();
                while let Some(Reverse((at, order))) = due.peek().copied()
                    && at <= now
                {
                    due.pop();
                    let job = TaskBuilder::new(ExpireOrder { order }).build();
                    if let Err(error) = sink.send(job).await {
                        tracing::warn!(%order, %error, "a job was not taken; the sweep will do it");
                    }
                }
            }
        }
    }
}

/// apalis's memory storage with its entrance kept outside: the worker takes the storage itself.
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

async fn remembered(db: &Db) -> FaultResult<BinaryHeap<Reverse<(Moment, OrderId)>>> {
    let waiting = store::orders_waiting(db.reads()).await?;
    Ok(waiting
        .into_iter()
        .map(|(order, at)| Reverse((at, order)))
        .collect())
}

/// A little past the end of the hold, so that the job finds it over.
fn pause_until(at: Moment, now: Moment) -> Duration {
    at.since(now) + Duration::from_millis(2)
}

pub(super) fn worker_name() -> String {
    // Names must differ between processes and between restarts: apalis takes a second worker of
    // one name for the first, still alive.
    format!("expire-order-{}", Uuid::now_v7())
}
