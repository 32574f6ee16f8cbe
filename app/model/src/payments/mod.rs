//! Payments: charging an order to a card.

mod port;
mod types;

pub use port::Payments;
pub use types::*;
