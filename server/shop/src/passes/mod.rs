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
pub(crate) mod link;
mod pass;
mod pdf;
mod service;
mod store;

pub(crate) use booklet::Booklet;
pub(crate) use calendar::calendar;
pub(crate) use pdf::pdf;
pub(crate) use service::PassesService;
pub(crate) use store::shown_orders;
