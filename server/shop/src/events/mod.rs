//! Events: what is on, where and when.
//!
//! Owns the tables `events`, `event_changes` and `pictures`, the search and the versions. What is for sale at an event is counted
//! from the tickets, whose own business it is to change.

pub mod changes;
mod develop;
mod listeners;
pub mod listing;
mod pictures;
mod places;
mod rules;
mod service;
pub mod span;
pub mod store;
mod uploads;
mod words;

pub use listeners::{Listeners, ListenersMax};
pub use service::EventsService;
pub use store::picture_bytes;
pub use uploads::{Uploading, Uploads};
