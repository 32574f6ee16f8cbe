//! Refunds: paying back what was sold.
//!
//! Authorization: a ticket is refunded by its seller or by an operator; a refund is seen by them
//! and by the order's buyer. To others it does not exist.

mod types;

#[cfg(feature = "ssr")]
mod port;

#[cfg(feature = "ssr")]
pub use port::Refunds;
pub use types::*;
