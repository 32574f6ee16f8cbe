//! The page `/tickets`: the viewer's bought tickets, and a summary of what they sell.
//!
//! Authorization: shows only the viewer's own tickets.

mod bought;
mod pages;

pub use pages::TicketsPage;
