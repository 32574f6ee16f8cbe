//! Orders: tickets held while their buyer pays, all or nothing.
//!
//! Owns the tables `orders`, `order_lines` and `hold_usage`: the states and which transitions lead from one
//! to another (`state.rs`), the transitions themselves, which payments and refunds call as well
//! (`transitions.rs`), reserving (`reserve.rs`), and the limits of what is held unpaid (`usage.rs`).
//! Payments decide what becomes of a card, and `expiration` calls when a hold ends.

mod reserve;
pub mod rules;
mod service;
pub mod state;
pub mod store;
pub mod transitions;
pub mod usage;

pub use service::{ExpirySchedule, Holds, OrdersService};
pub use state::{State, Transition};
pub use usage::HoldLimits;
