//! All work that a process of the shop does without a request: starts the periodic tasks, one file
//! each, and the components that run beside them. What a run of a task does is in the features,
//! which do not import this module.
//!
//! | Task | Period | Time limit | Processes |
//! |---|---|---|---|
//! | `expire_holds` | 10 s | 1 min | all |
//! | `call_stripe` | 10 s, or when woken | 10 min | all |
//! | `read_live_changes` | 250 ms | 1 min (10 s a read) | all |
//! | `probe_writes` | 10 s | 1 min (10 s a write) | all |
//! | `clean` | 1 h | 1 h | all |
//! | `send_mails` | 3 s | 10 min | workers, if mails are sent |
//! | `notify_waiting_list` | 10 s | 5 min | workers |
//! | `notify_buyers` | 10 s | 5 min | workers |
//! | `delete_abandoned_listings` | 15 s, or when woken | 5 min | workers |
//! | `reconcile` | 1 h | 2 h | workers |
//! | `tidy_expiry_queue` | 10 s | 5 min | workers, if there is Redis |
//!
//! A worker is any process but those started with `--role web`. Any number of processes may run the
//! same task: each step is decided by a conditional UPDATE, or does no harm if repeated.
//!
//! The components have loops of their own: the queue of expiry jobs (`expiration/`), the relay to NATS
//! (`outbox/relay.rs`), and the listener for changes that other processes have read from the outbox
//! (`outbox/live.rs`).

mod call_stripe;
mod clean;
mod delete_abandoned_listings;
mod expire_holds;
mod notify_buyers;
mod notify_waiting_list;
mod periodic;
mod probe_writes;
mod read_live_changes;
mod reconcile;
mod send_mails;
mod tidy_expiry_queue;

use clean::Cleaner;
use platform::{outbox::Relay, write_probe::WriteProbe};
use shop::Shop;
use shop::{
    events::changes::ChangeNotifier, expiration::ExpiryContext, waiting::WaitingListNotifier,
};
use std::sync::Arc;
use tokio::task::JoinSet;

/// What decides which tasks a process runs.
pub struct Process {
    /// Whether it is a worker.
    pub is_worker: bool,
    /// Where the expiry jobs are queued. None: in this process.
    pub redis: Option<redis::Client>,
    /// What `/readyz` reports about writes. None: nothing is written to find out.
    pub probe: Option<Arc<WriteProbe>>,
}

/// Starts the tasks and components of this process. They end when the set is dropped; whatever they
/// leave undone is found in the database after the next start.
pub fn start(shop: Shop, process: Process) -> JoinSet<()> {
    let Process {
        is_worker,
        redis,
        probe,
    } = process;
    let (db, clock) = (shop.db, shop.clock);
    let mut jobs = JoinSet::new();
    jobs.spawn(expire_holds::run(shop.sweeper));
    jobs.spawn(call_stripe::run(shop.engine.clone()));
    jobs.spawn(shop.live.clone().receive_from_other_processes());
    jobs.spawn(read_live_changes::run(shop.live));
    if let Some(probe) = probe {
        jobs.spawn(probe_writes::run(probe, db.clone(), clock.clone()));
    }
    if is_worker {
        let waiting = WaitingListNotifier::new(db.clone(), clock.clone());
        let changed = ChangeNotifier::new(db.clone(), clock.clone());
        jobs.spawn(notify_waiting_list::run(waiting));
        jobs.spawn(notify_buyers::run(changed));
        jobs.spawn(delete_abandoned_listings::run(shop.tickets.clone()));
        jobs.spawn(reconcile::run(shop.reconciler));
        if let Some(mailer) = shop.mailer {
            jobs.spawn(send_mails::run(mailer));
        }
        if let Some(nats) = shop.nats {
            jobs.spawn(Relay::new(db.clone(), clock.clone(), nats).run());
        }
        if let Some(redis) = redis.clone() {
            jobs.spawn(tidy_expiry_queue::run(redis));
        }
    }
    jobs.spawn(clean::run(Cleaner {
        db: db.clone(),
        clock: clock.clone(),
        orders: shop.orders.clone(),
        tickets: shop.tickets,
        waiting: shop.waiting,
        webhooks: shop.webhooks,
    }));
    let context = ExpiryContext {
        orders: shop.orders,
        engine: shop.engine,
    };
    jobs.spawn(shop.workers.run(db, clock, context, redis, is_worker));
    jobs
}
