//! The shop: the rules behind pages, REST routes, webhooks and jobs, one module for each feature.
//!
//! A feature consists of rules (pure), a store (SQL) and a service (transactions and effects); only it
//! writes its tables. Does not depend on pages or a web server; the payment provider, the mail transport
//! and the clock are parameters ([`Parts`]).

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
mod paging;
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
