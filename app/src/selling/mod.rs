//! Selling: what a seller sees and does once their tickets are listed, and what they are paid.
//!
//! Authorization: everything here is the viewer's own; nobody sees another's sales. Listing a
//! ticket, and changing a single one, is in `tickets`.

pub mod api;

mod bulk;
mod chart;
mod groups;
mod pages;

pub use groups::{counted, summary};
pub use pages::SellingPage;
