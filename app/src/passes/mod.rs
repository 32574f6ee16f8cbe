//! Passes: what lets the holder of a bought ticket in, as a QR code, a sheet to print and a file.
//!
//! Authorization: passes are seen by the order's buyer, and by whoever has the link in the buyer's
//! mail; checked by the ticket's seller, the
//! event's creator and operators. The keys to check them with are everybody's.

mod by_link;
mod pages;
mod stub;

pub use by_link::LinkedOrderPage;
pub use pages::{PrintPage, frozen_notice, pass_to_scan, pass_to_unfold};
pub use stub::stub;
