//! Payments: charging an order to a card.
//!
//! Authorization: a payment belongs to the buyer of its order; to others it does not exist.

pub mod api;
mod islands;
mod types;

#[cfg(feature = "ssr")]
mod pages;
#[cfg(feature = "ssr")]
mod port;

pub use islands::{BankButton, CardForm, CardSetup};
#[cfg(feature = "ssr")]
pub use pages::to_pay;
#[cfg(feature = "ssr")]
pub use port::Payments;
pub use types::*;
