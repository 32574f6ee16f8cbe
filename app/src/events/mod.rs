//! Events: what is on, and creating it.
//!
//! Authorization: anybody reads; only its creator changes an event, and every write takes the
//! viewer.

pub mod api;
mod facts;

mod asked;
mod begins;
mod cover;
mod edit;
mod fields;
mod head;
mod home;
mod pages;
mod picture_form;
mod prose;
mod strip;

pub use begins::begins;
pub use cover::{Spot, cover};
pub use edit::EditEventPage;
pub use facts::Facts;
use fields::is_unchanged;
pub use fields::{FIELDS, event_fields};
pub use home::HomePage;
use pages::find_own;
pub use pages::{EventPage, find};
pub use picture_form::EventPicturePage;
pub use strip::event_strip;
