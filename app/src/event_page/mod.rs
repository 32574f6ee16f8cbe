//! The page of an event: what is on, what of it is for sale, and what else can be done about it.
//!
//! Authorization: anybody reads. Its forms are those of `orders`, `tickets` and `waiting`.

mod for_sale;
mod head;
mod narrow;
mod pages;
mod prose;

pub use pages::EventPage;
