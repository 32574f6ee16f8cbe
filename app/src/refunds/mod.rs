//! Refunds: paying back what was sold.
//!
//! Authorization: a ticket is refunded by its seller or by an operator; a refund is seen by them
//! and by the order's buyer. To others it does not exist.

pub mod api;
mod types;

#[cfg(feature = "ssr")]
mod pages;
#[cfg(feature = "ssr")]
mod port;
#[cfg(feature = "ssr")]
mod words;

#[cfg(feature = "ssr")]
pub use pages::RefundPage;
#[cfg(feature = "ssr")]
pub use port::Refunds;
pub use types::*;
#[cfg(feature = "ssr")]
pub use words::{owed_line, told_to_buyer, told_to_seller};
