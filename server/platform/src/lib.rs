//! The infrastructure that all features share: database, outbox, idempotency keys, sessions, limits,
//! clock, telemetry.
//!
//! Has no features, pages or routes. The crate `shop` builds on it.

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
