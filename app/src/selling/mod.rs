//! Selling: what a seller sees and does once their tickets are listed, and what they are paid.
//!
//! Authorization: everything here is the viewer's own; nobody sees another's sales. Listing a
//! ticket, and changing a single one, is in `tickets`.

pub mod api;
mod islands;
mod payout;

#[cfg(feature = "ssr")]
mod bulk;
#[cfg(feature = "ssr")]
mod chart;
#[cfg(feature = "ssr")]
mod groups;
#[cfg(feature = "ssr")]
mod pages;
#[cfg(feature = "ssr")]
mod port;
#[cfg(feature = "ssr")]
mod types;

#[cfg(feature = "ssr")]
pub use groups::{counted, summary};
pub use islands::PayoutWhileTyping;
#[cfg(feature = "ssr")]
pub use pages::SellingPage;
pub use payout::{payout, payout_words};
#[cfg(feature = "ssr")]
pub use port::Selling;
#[cfg(feature = "ssr")]
pub use types::*;
