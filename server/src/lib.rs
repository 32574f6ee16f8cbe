//! Stagedoor's server: the rules behind the pages and the REST API.
//!
//! One folder a feature, named as in `app`: rules (pure), store (SQL), service (transactions and
//! effects), rest (routes). Pages, REST, webhooks and jobs call the same services, so that each
//! rule stands in one place.

pub mod account_care;
pub mod accounts;
pub mod audit;
pub mod backfills;
pub mod cli;
pub mod clock;
pub mod config;
pub mod crash;
pub mod db;
pub mod events;
pub mod expiration;
pub mod fault;
pub mod figures;
pub mod files;
pub mod health;
pub mod history;
pub mod idempotency;
pub mod incidents;
pub mod jobs;
pub mod ledger;
pub mod letters;
pub mod limits;
pub mod mail;
pub mod middleware;
pub mod moving;
pub mod names;
pub mod network;
pub mod opening;
pub mod orders;
pub mod outbox;
pub mod passes;
pub mod payments;
pub mod pictures;
pub mod private;
pub mod qr;
pub mod redis_client;
pub mod refunds;
pub mod request;
pub mod rest;
pub mod robots;
pub mod router;
pub mod secrets;
pub mod security;
pub mod seed;
pub mod selling;
pub mod serve;
pub mod session;
pub mod session_cookie;
pub mod shares;
pub mod shutdown;
pub mod state;
pub mod task_runs;
pub mod telemetry;
pub mod text;
pub mod tickets;
pub mod trust;
pub mod unguessable;
pub mod waiting;
pub mod write_probe;
