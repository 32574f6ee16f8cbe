//! Stagedoor's pages. One folder a feature: its pages, and the server functions that their forms are
//! sent to.
//!
//! Runs on the server only; what runs in the browser is in the crate `islands`. The rules are behind
//! the ports of the crate `model`: this crate depends on no database, payment provider or queue.

#![allow(
    unreachable_pub,
    reason = "the macro of components knows `pub`, but not `pub(crate)`"
)]

pub mod accounts;
pub mod app;
mod event_page;
pub mod events;
mod help;
mod my_tickets;
pub mod orders;
pub mod passes;
pub mod payments;
pub mod refunds;
pub mod selling;
pub mod tickets;
pub mod ui;
pub mod waiting;
