//! Selling: a seller's own listings and sales.

mod payout;
mod port;
mod types;

pub use payout::{payout, payout_words};
pub use port::Selling;
pub use types::*;
