//! Refunds of sold tickets.
//!
//! Authorization: a ticket's seller and operators may refund it; they and the order's buyer may see the
//! refund. For others it does not exist.

pub mod api;

mod pages;
mod words;

pub use pages::RefundPage;
pub use words::{owed_line, refund_status_for_buyer, refund_status_for_seller};
