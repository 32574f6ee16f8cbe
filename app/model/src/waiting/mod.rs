//! Waiting lists: mails to addresses that want to be told when tickets for an event are for sale.

mod port;
mod types;

pub use port::WaitingList;
pub use types::*;
