//! Passes: the signed texts that admit the holders of bought tickets.
//!
//! Owns no table and stores no pass: the same ticket and key always give the same pass. Whether a pass is
//! still valid is not in it; the order's lines decide.
//!
//! `pass.rs` has the text and its signature, `booklet.rs` the data of an order's tickets that mails and files
//! show, `pdf.rs` and `calendar.rs` those files, and `link.rs` the link in a mail that shows the tickets. The
//! keys are in `secrets/`.

mod booklet;
mod calendar;
pub(crate) mod link;
mod pass;
mod pdf;
mod service;
mod store;

pub(crate) use booklet::Booklet;
pub(crate) use calendar::render_calendar;
pub(crate) use pdf::render_pdf;
pub(crate) use service::PassesService;
pub(crate) use store::list_shown_orders;
