//! The waiting list: who is told when an event that has nothing for sale has something again.
//!
//! Owns the tables `waiting`, `waiting_mails` and `waiting_rounds`. An address is on the list once it
//! has said yes (`service.rs`); those in line are told by `rounds.rs`, which keeps nothing for them;
//! the letters are `letters/waiting.rs`. What a link carries is made when its mail is written, and kept
//! only as a hash.

mod rounds;
mod rules;
mod service;
pub mod store;

pub use rounds::Rounds;
pub use service::{WaitingService, forget_all_of};
