//! Selling: the steps of listing tickets (`sell`), and the pages of a seller's listings and sales.
//!
//! Authorization: shows and changes only the viewer's own. Changing a single ticket is in `tickets`.

pub mod api;

mod bulk;
mod chart;
mod groups;
mod pages;
mod sell;

use groups::counts_text;
pub use groups::summary;
pub use pages::SellingPage;
pub use sell::SellPage;
