//! Tickets: listing, browsing, editing and withdrawing them.
//!
//! Authorization: anybody reads; only its seller changes a listing, and only while nobody holds
//! it. Every write takes the viewer.

pub mod api;
mod live;
mod types;

#[cfg(feature = "ssr")]
mod bought;
#[cfg(feature = "ssr")]
mod for_sale;
#[cfg(feature = "ssr")]
mod listings;
#[cfg(feature = "ssr")]
mod narrow;
#[cfg(feature = "ssr")]
mod pages;
#[cfg(feature = "ssr")]
mod port;
#[cfg(feature = "ssr")]
mod sell;
#[cfg(feature = "ssr")]
mod stub;

#[cfg(feature = "ssr")]
pub use for_sale::for_sale;
#[cfg(feature = "ssr")]
pub use listings::listing;
pub use live::LiveSale;
#[cfg(feature = "ssr")]
pub use narrow::Narrow;
#[cfg(feature = "ssr")]
pub use pages::TicketsPage;
#[cfg(feature = "ssr")]
pub use port::Tickets;
#[cfg(feature = "ssr")]
pub use sell::SellPage;
#[cfg(feature = "ssr")]
pub use stub::stub;
pub use types::*;

/// The name of a listing's own form among the many on a page.
#[cfg(feature = "ssr")]
pub fn form_of(ticket_id: &str) -> String {
    format!("listing-{ticket_id}")
}
