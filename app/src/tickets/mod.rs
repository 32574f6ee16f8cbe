//! Tickets: listing, editing and withdrawing them.
//!
//! Authorization: anybody reads; only its seller changes a listing, and only while nobody holds
//! it. Every write takes the viewer.

pub mod api;

mod listings;

pub use listings::listing;

/// The name of a listing's own form among the many on a page.
pub fn form_of(ticket_id: &str) -> String {
    format!("listing-{ticket_id}")
}
