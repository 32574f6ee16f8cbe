//! The shop: the rules behind pages, REST routes, webhooks and jobs, one module for each feature.
//!
//! A feature has its rules (pure), its store (SQL) and its service (transactions and effects), and is
//! alone in writing its tables. Knows no pages and no web server; the payment provider, the mail
//! transport and the clock are parameters ([`Parts`]).

pub mod account_care;
pub mod accounts;
mod api;
pub mod backfills;
pub mod events;
pub mod expiration;
pub mod history;
pub mod incidents;
mod ledger;
pub mod letters;
pub mod mail;
mod names;
pub mod orders;
mod passes;
pub mod payments;
mod qr;
mod refunds;
pub mod selling;
mod text;
pub mod tickets;
pub mod waiting;
mod wiring;

pub use api::Api;
pub use wiring::{Parts, Shop};
