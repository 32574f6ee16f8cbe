//! Selling: what sellers see of their listings and sales, and changes of many listings at once.
//!
//! Owns no table. It reads tickets, order lines, refunds and the books, always of one seller; the
//! writes are those of `tickets/bulk.rs`, told of in the outbox like any other.

pub mod csv;
mod service;
mod store;

pub use service::SellingService;
