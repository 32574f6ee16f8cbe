//! The pages and server functions of orders: checkout, payment, and paid orders.
//!
//! Authorisation is enforced by the port: only the buyer sees and changes an order; for others it does not
//! exist.

pub mod api;

mod checkout;
mod choice;
mod held;
mod pages;
mod paid;
mod timeline;

pub use checkout::CheckoutPage;
pub use choice::Choice;
pub use held::{held_notices, held_strip};
pub use pages::{OrderPage, OrdersPage};
