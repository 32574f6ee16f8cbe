//! The waiting list form on an event's page, and the page for mailed links.
//!
//! Authorization: anyone may ask for any address, but an address joins the list only after it is confirmed by
//! a mailed link, or if it is the viewer's own verified address. A link is valid for its entry only.

pub mod api;

mod pages;

pub use pages::{WaitingListPage, waiting_list_panel};
