//! Expiry of orders at the end of their holds.
//!
//! Whether a hold has ended is decided by the times in the database, not here. Two mechanisms call the
//! idempotent [`OrdersService::expire`](crate::orders::OrdersService::expire): an apalis job per order at
//! the end of its hold (`queue.rs`, `in_redis.rs`), and a sweep of the database every ten seconds
//! (`sweeper.rs`, called by `jobs/expire_holds.rs`). If the queue is lost, orders expire some seconds late.

mod in_redis;
mod queue;
mod sweeper;

pub use in_redis::QueueCleaner;
pub use queue::{ExpireOrder, ExpiryContext, Queue, Workers};
pub use sweeper::{LastSweep, Sweeper};
