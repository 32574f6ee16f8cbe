//! Orders: holding tickets while their buyer pays.
//!
//! Authorization: an order is seen and changed by its buyer alone; to others it does not exist.

pub mod api;

mod checkout;
mod choice;
mod held;
mod pages;
mod paid;
mod timeline;

pub use checkout::CheckoutPage;
pub use choice::Choice;
pub use held::{held_here, held_strip};
pub use pages::{OrderPage, OrdersPage};
