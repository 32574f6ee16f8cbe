//! Orders: tickets held while their buyer pays, all or nothing.
//!
//! Owns the tables `orders`, `order_lines` and `hold_usage`: the states and the transitions between them
//! (`state.rs`), the UPDATE of each transition, which payments and refunds also call (`transitions.rs`),
//! reserving (`reserve.rs`), and the limits on unpaid holds (`usage.rs`). Does not charge cards
//! (`payments`) and does not schedule expiry (`expiration`).

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
