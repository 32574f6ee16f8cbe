//! Events: what is on, and creating it.
//!
//! Authorization: anybody reads; only its creator changes an event, and every write takes the
//! viewer.

pub mod api;
mod picture;
mod preview;
mod search;
mod types;

#[cfg(feature = "ssr")]
mod asked;
#[cfg(feature = "ssr")]
mod begins;
#[cfg(feature = "ssr")]
mod countries;
#[cfg(feature = "ssr")]
mod cover;
#[cfg(feature = "ssr")]
mod edit;
#[cfg(feature = "ssr")]
mod fields;
#[cfg(feature = "ssr")]
mod head;
#[cfg(feature = "ssr")]
mod home;
#[cfg(feature = "ssr")]
mod pages;
#[cfg(feature = "ssr")]
mod picture_form;
#[cfg(feature = "ssr")]
mod place;
#[cfg(feature = "ssr")]
mod port;
#[cfg(feature = "ssr")]
mod prose;
#[cfg(feature = "ssr")]
mod span;
#[cfg(feature = "ssr")]
mod strip;
#[cfg(feature = "ssr")]
mod when;

#[cfg(feature = "ssr")]
pub use begins::begins;
#[cfg(feature = "ssr")]
pub use countries::COUNTRIES;
#[cfg(feature = "ssr")]
pub use cover::{Spot, cover};
#[cfg(feature = "ssr")]
pub use edit::EditEventPage;
#[cfg(feature = "ssr")]
use fields::is_unchanged;
#[cfg(feature = "ssr")]
pub use fields::{FIELDS, event_fields};
#[cfg(feature = "ssr")]
pub use home::HomePage;
#[cfg(feature = "ssr")]
use pages::find_own;
#[cfg(feature = "ssr")]
pub use pages::{EventPage, find};
pub use picture::{Fit, PICTURE_BYTES_MAX, PICTURE_WIDTHS, Picture, PictureQuery};
#[cfg(feature = "ssr")]
pub use picture_form::EventPicturePage;
#[cfg(feature = "ssr")]
pub use place::{PlaceAsked, PlaceProposed};
#[cfg(feature = "ssr")]
pub use port::{COUNTED_MAX, Events, Pictures};
pub use preview::PicturePreview;
pub use search::SearchField;
#[cfg(feature = "ssr")]
pub use span::Span;
#[cfg(feature = "ssr")]
pub use strip::event_strip;
pub use types::*;
#[cfg(feature = "ssr")]
pub use when::{
    date_and_time, day_and_month, moment_if_given, starts_at, when, when_until, when_until_in_full,
};
