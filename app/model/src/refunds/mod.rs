//! Refunds: money on its way back to buyers, and amounts owed to sellers.

mod port;
mod types;

pub use port::Refunds;
pub use types::*;
