//! Orders: holding tickets while their buyer pays.
//!
//! Authorization: an order is seen and changed by its buyer alone; to others it does not exist.

mod types;

#[cfg(feature = "ssr")]
mod port;

#[cfg(feature = "ssr")]
pub use port::Orders;
pub use types::*;
