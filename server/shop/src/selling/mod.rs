//! Selling: a seller's own listings and sales, and changes of many listings at once.
//!
//! Owns no table. Reads tickets, order lines, refunds and the ledger, always of one seller. Writes
//! through `tickets/bulk.rs` and appends the domain events of these changes.

pub mod csv;
mod service;
mod store;

pub use service::SellingService;
