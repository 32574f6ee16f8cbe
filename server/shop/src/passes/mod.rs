//! Passes: what lets the holder of a bought ticket in.
//!
//! Owns no table and stores no pass: the same ticket and key always make the same pass. A pass says
//! what is signed in it and no more; whether its ticket is still its holder's, the order's lines say.
//!
//! `pass.rs` is the text and its signature, `booklet.rs` all that is said of an order's tickets on
//! paper, which `pdf.rs` and `calendar.rs` write, `link.rs` the address in a mail
//! that shows them. The keys are those of `secrets/`.

mod booklet;
mod calendar;
pub mod link;
mod pass;
mod pdf;
mod service;
mod store;

pub use booklet::Booklet;
pub use calendar::calendar;
pub use pdf::pdf;
pub use service::PassesService;
pub use store::shown_orders;
