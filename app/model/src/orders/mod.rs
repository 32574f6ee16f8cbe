//! Orders: holding tickets while their buyer pays.

mod port;
mod types;

pub use port::{OrderHistory, Orders};
pub use types::*;
