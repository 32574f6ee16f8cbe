//! Types and port of waiting lists: addresses that are mailed when tickets for an event are for sale.

mod port;
mod types;

pub use port::WaitingList;
pub use types::*;
