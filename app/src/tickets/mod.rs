//! Tickets: listing, browsing, editing and withdrawing them.
//!
//! Authorization: anybody reads; only its seller changes a listing, and only while nobody holds
//! it. Every write takes the viewer.

pub mod api;

mod bought;
mod for_sale;
mod listings;
mod narrow;
mod pages;
mod sell;
mod stub;

pub use for_sale::for_sale;
pub use listings::listing;
pub use narrow::Narrow;
pub use pages::TicketsPage;
pub use sell::SellPage;
pub use stub::stub;

/// The name of a listing's own form among the many on a page.
pub fn form_of(ticket_id: &str) -> String {
    format!("listing-{ticket_id}")
}
