//! Tickets: listings, and the lock that an order has on them.
//!
//! Owns the `tickets` table. Price, seat and withdrawal are the seller's, and only while nobody
//! holds the ticket (all of an event at once: `bulk.rs`); the hold (`holds.rs`) is the orders'. Whatever changes a ticket bumps its
//! version and writes a domain event in the same transaction.

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
