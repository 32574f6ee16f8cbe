//! What every feature of the shop stands on: database, outbox, idempotency keys, sessions, limits, clock,
//! telemetry.
//!
//! Knows no feature, no page and no route. `shop` builds on it.

pub mod clock;
pub mod crash;
pub mod db;
pub mod fault;
pub mod idempotency;
pub mod limits;
pub mod network;
pub mod outbox;
pub mod private;
pub mod redis_client;
pub mod request;
pub mod secrets;
pub mod security;
pub mod session;
pub mod shares;
pub mod task_runs;
pub mod telemetry;
pub mod trust;
pub mod unguessable;
pub mod write_probe;
