//! What time brings: orders expire, calls to Stripe are repeated, old rows go.
//!
//! A hold ends by the clock in the database; nothing here decides that. Two things tidy up after
//! it, side by side, both through the orders' one idempotent function: apalis jobs, one for each
//! order at the end of its hold (`queue.rs`, `in_redis.rs`), and a sweep of the database every ten seconds
//! (`sweeper.rs`, called by `jobs/expire_holds.rs`). Losing the queue costs seconds, never a ticket.

mod in_redis;
mod queue;
mod sweeper;

pub use in_redis::QueueTidier;
pub use queue::{Desk, ExpireOrder, Queue, Workers};
pub use sweeper::{Sweeper, Swept};
