//! Passes as QR codes, printable sheets and files.
//!
//! Authorization: passes are visible to the order's buyer and to anyone with the mailed link; they are checked by
//! the ticket's seller, the event's creator and operators. The public keys are public.

mod by_link;
mod pages;
mod stub;

pub use by_link::LinkedOrderPage;
pub use pages::{PrintPage, frozen_notice, pass_to_scan, pass_to_unfold};
pub use stub::stub;
