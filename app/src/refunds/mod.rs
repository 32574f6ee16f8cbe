//! Refunds: paying back what was sold.
//!
//! Authorization: a ticket is refunded by its seller or by an operator; a refund is seen by them
//! and by the order's buyer. To others it does not exist.

pub mod api;

mod pages;
mod words;

pub use pages::RefundPage;
pub use words::{owed_line, told_to_buyer, told_to_seller};
