//! Passes: what admits the holder of a ticket.

mod port;
mod types;

pub use port::Passes;
pub use types::*;
