//! Events: what is on, and creating it.
//!
//! Authorization: anybody reads; only its creator changes an event, and every write takes the
//! viewer.

mod types;
#[cfg(feature = "ssr")]
mod when;

#[cfg(feature = "ssr")]
mod port;

#[cfg(feature = "ssr")]
pub use port::Events;
pub use types::*;
#[cfg(feature = "ssr")]
pub use when::{day_and_month, when, when_in_full};
