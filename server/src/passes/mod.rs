//! Passes: what lets the holder of a bought ticket in.
//!
//! Owns the table `pass_keys`, and no pass: the same ticket and key always make the same pass, so
//! none is kept. A pass says what is signed in it and no more; whether its ticket is still its
//! holder's, the order's lines say.
//!
//! `pass.rs` is the text and its signature, `keys.rs` whose signature it is, `booklet.rs` all that is
//! said of an order's tickets on paper, which `pdf.rs` and `calendar.rs` write, `link.rs` the address
//! in a mail that shows them, `sealed.rs` what else is signed with the same key, `encrypted.rs` what is
//! kept secret with it.

mod booklet;
mod calendar;
pub mod encrypted;
mod keys;
pub mod link;
mod pass;
mod pdf;
mod qr;
pub mod rest;
pub mod sealed;
mod service;
mod store;

pub use booklet::Booklet;
pub use calendar::calendar;
pub use keys::shared_secret;
pub use pdf::pdf;
pub use qr::qr;
pub use service::PassesService;
