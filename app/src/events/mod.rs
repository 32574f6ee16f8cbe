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
mod find;
mod home;
mod picture_form;
mod strip;

pub use begins::begins;
pub use cover::{Spot, cover};
pub use edit::EditEventPage;
pub use facts::Facts;
use fields::is_unchanged;
pub use fields::{FIELDS, event_fields};
pub use find::find;
use find::find_own;
pub use home::HomePage;
pub use picture_form::EventPicturePage;
pub use strip::event_strip;
