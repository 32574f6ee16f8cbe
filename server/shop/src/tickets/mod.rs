//! Tickets: listings, and the hold that an order has on them.
//!
//! Owns the `tickets` table. Sellers change price and seat and withdraw tickets, only without a
//! current hold (`service.rs`; all of an event at once: `bulk.rs`). Orders take and release holds
//! (`holds.rs`). A change of a ticket increments its version and appends a domain event in the same
//! transaction.

pub mod batches;
pub mod bulk;
pub mod holds;
mod listing;
mod offers;
mod row;
mod rules;
mod service;
mod single_flight;
pub mod store;

pub use listing::LISTINGS_PER_DAY;
pub use row::{COLUMNS, HELD_FOR_CAPTURE, State, TicketRow};
pub use rules::{check_positive_price, check_price, check_section};
pub use service::TicketsService;
