//! Pages of events: the home page, and creating and editing an event.
//!
//! Authorization: anyone may read events; only its creator may change one, so every write takes the viewer.

pub mod api;
mod facts;

mod cover;
mod edit;
mod event_time;
mod fields;
mod filters;
mod find;
mod home;
mod picture_form;
mod strip;

pub use cover::{Spot, cover};
pub use edit::EditEventPage;
pub use event_time::event_time;
pub use facts::Facts;
use fields::is_unchanged;
pub use fields::{FIELDS, event_fields};
pub use find::find;
use find::find_own;
pub use home::HomePage;
pub use picture_form::EventPicturePage;
pub use strip::event_strip;
