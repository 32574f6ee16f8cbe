//! Payments: charging an order to a card.
//!
//! Authorization: a payment belongs to the buyer of its order; to others it does not exist.

mod types;

#[cfg(feature = "ssr")]
mod port;

#[cfg(feature = "ssr")]
pub use port::Payments;
pub use types::*;
