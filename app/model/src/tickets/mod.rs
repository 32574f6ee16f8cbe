//! Tickets: listing, browsing, editing and withdrawing them.

mod port;
mod types;

pub use port::Tickets;
pub use types::*;
