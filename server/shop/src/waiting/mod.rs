//! The waiting list: addresses that are mailed when tickets for an event are for sale.
//!
//! Owns the tables `waiting`, `waiting_mails` and `waiting_rounds`. An address is on the list once it is
//! confirmed (`service.rs`). `notifier.rs` notifies waiting entries, and reserves no tickets for them;
//! `letters/waiting.rs` composes the mails. The token of a link is generated when its mail is composed, and
//! stored only as a hash.

mod notifier;
mod rules;
mod service;
pub mod store;

pub use notifier::WaitingListNotifier;
pub use service::{WaitingService, delete_all_of_user};
