//! The page of an event with its tickets for sale.
//!
//! Authorization: anyone may read it. Its forms belong to `orders`, `tickets` and `waiting`.

mod for_sale;
mod head;
mod offer_filter;
mod pages;
mod prose;

pub use pages::EventPage;
