//! Waiting lists: who is told when an event has tickets for sale again.

mod port;
mod types;

pub use port::WaitingList;
pub use types::*;
