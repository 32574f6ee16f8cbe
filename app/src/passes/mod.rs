//! Passes: what lets the holder of a bought ticket in, as a QR code, a sheet to print and a file.
//!
//! Authorization: passes are seen by the order's buyer alone; checked by the ticket's seller, the
//! event's creator and operators. The keys to check them with are everybody's.

mod pages;
mod port;
mod types;

pub use pages::{PrintPage, pass_to_scan, pass_to_unfold};
pub use port::Passes;
pub use types::*;
