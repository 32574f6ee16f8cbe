//! Events: what is on, where and when.
//!
//! Owns the table `events`, its search and its versions. What is for sale at an event is counted
//! from the tickets, whose own business it is to change.

pub mod listing;
pub mod rest;
mod rules;
mod service;
pub mod store;
mod stream;
mod words;

pub use service::EventsService;
