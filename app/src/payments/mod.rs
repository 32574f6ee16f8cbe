//! Payments: charging an order to a card.
//!
//! Authorization: a payment belongs to the buyer of its order; to others it does not exist.

pub mod api;

mod pages;

pub use pages::payment_panel;
