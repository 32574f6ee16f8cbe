//! Events, their pictures and the search for them.
//!
//! Owns the tables `events`, `event_changes` and `pictures`. The number of available tickets is counted
//! from the table `tickets`, which only `tickets` and `orders` write.

pub mod changes;
mod listeners;
pub mod listing;
mod pictures;
mod places;
mod render;
mod rules;
mod service;
pub mod span;
pub mod store;
mod uploads;
mod words;

pub use listeners::{Listeners, ListenersMax};
pub use service::EventsService;
pub use store::find_picture;
pub use uploads::{UploadSlot, Uploads};
