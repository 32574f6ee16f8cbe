//! Orders: tickets held while their buyer pays, all or nothing.
//!
//! Owns the tables `orders`, `order_lines` and `hold_usage`, the state machine (`rules.rs`), reserving
//! (`reserve.rs`), the limits of what is held unpaid (`usage.rs`), more time, cancelling
//! (`service.rs`) and the one way an order expires (`transitions.rs`). What becomes of a card is the payments' business; that a hold ends is
//! `expiration`'s to notice.

mod reserve;
pub mod rest;
pub mod rules;
mod service;
pub mod store;
pub mod timeline;
pub mod transitions;
pub mod usage;

pub use service::{ExpirySchedule, Holds, OrdersService};
pub use usage::HoldLimits;
