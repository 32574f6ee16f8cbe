//! Events: what is on, where and when.
//!
//! Owns the tables `events` and `pictures`, the search and the versions. What is for sale at an event is counted
//! from the tickets, whose own business it is to change.

mod develop;
pub mod listing;
pub mod pictures;
pub mod rest;
mod rules;
mod service;
pub mod store;
mod stream;
mod words;

pub use service::EventsService;
