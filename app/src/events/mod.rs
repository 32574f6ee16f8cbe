//! Events: what is on, and creating it.
//!
//! Authorization: anybody reads; only its creator changes an event, and every write takes the
//! viewer.

pub mod api;
mod search;
mod types;

#[cfg(feature = "ssr")]
mod asked;
#[cfg(feature = "ssr")]
mod countries;
#[cfg(feature = "ssr")]
mod head;
#[cfg(feature = "ssr")]
mod home;
#[cfg(feature = "ssr")]
mod pages;
#[cfg(feature = "ssr")]
mod port;
#[cfg(feature = "ssr")]
mod strip;
#[cfg(feature = "ssr")]
mod when;

#[cfg(feature = "ssr")]
pub use countries::COUNTRIES;
#[cfg(feature = "ssr")]
pub use home::HomePage;
#[cfg(feature = "ssr")]
pub use pages::{EventPage, find};
#[cfg(feature = "ssr")]
pub use port::{COUNTED_MAX, Events};
pub use search::SearchField;
#[cfg(feature = "ssr")]
pub use strip::event_strip;
pub use types::*;
#[cfg(feature = "ssr")]
pub use when::{day_and_month, starts_at, when, when_in_full};
