//! Selling: what a seller sees and does once their tickets are listed, and what they are paid.
//!
//! Authorization: everything here is the viewer's own; nobody sees another's sales. `sell` leads
//! to a listing in five steps; changing a single ticket is in `tickets`.

pub mod api;

mod bulk;
mod chart;
mod groups;
mod pages;
mod sell;

use groups::counted;
pub use groups::summary;
pub use pages::SellingPage;
pub use sell::SellPage;
