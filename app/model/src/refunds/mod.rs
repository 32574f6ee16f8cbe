//! Refunds: money that goes back, and what is owed to sellers.

mod port;
mod types;

pub use port::Refunds;
pub use types::*;
