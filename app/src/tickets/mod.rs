//! Tickets: listing, browsing, editing and withdrawing them.
//!
//! Authorization: anybody reads; only its seller changes a listing, and only while nobody holds
//! it. Every write takes the viewer.

mod types;

#[cfg(feature = "ssr")]
mod port;

#[cfg(feature = "ssr")]
pub use port::Tickets;
pub use types::*;
