//! Orders: holding tickets while their buyer pays.
//!
//! Authorization: an order is seen and changed by its buyer alone; to others it does not exist.

pub mod api;
mod islands;
mod types;

#[cfg(feature = "ssr")]
mod checkout;
#[cfg(feature = "ssr")]
mod choice;
#[cfg(feature = "ssr")]
mod held;
#[cfg(feature = "ssr")]
mod pages;
#[cfg(feature = "ssr")]
mod paid;
#[cfg(feature = "ssr")]
mod port;
#[cfg(feature = "ssr")]
mod timeline;

#[cfg(feature = "ssr")]
pub use checkout::CheckoutPage;
#[cfg(feature = "ssr")]
pub use choice::Choice;
#[cfg(feature = "ssr")]
pub use held::{held_here, held_strip};
#[cfg(feature = "ssr")]
pub use islands::in_minutes;
pub use islands::{Countdown, HoldClock, Wait, countdown_text};
#[cfg(feature = "ssr")]
pub use pages::{OrderPage, OrdersPage, being_paid};
#[cfg(feature = "ssr")]
pub use port::Orders;
pub use types::*;
