//! Tickets: listing, editing and withdrawing them.
//!
//! Authorization: public to read. Only the seller changes a listing, and only while it is not held;
//! operators may withdraw any. Every write takes the viewer.

pub mod api;

mod listings;

pub use listings::listing;

/// The name of a listing's form, unique on the page.
pub fn form_name(ticket_id: &str) -> String {
    format!("listing-{ticket_id}")
}
