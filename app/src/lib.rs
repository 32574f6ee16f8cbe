//! Stagedoor's pages. Each feature has a folder with its pages and the server functions of their forms.
//!
//! Runs on the server only; the crate `islands` runs in the browser. The rules are behind the ports of the crate
//! `model`: this crate depends on no database, payment provider or queue.

#![allow(
    unreachable_pub,
    reason = "the component macro does not support `pub(crate)`"
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
