//! Orders: holding tickets while their buyer pays.

mod port;
mod types;

pub use port::Orders;
pub use types::*;
