//! The page `/tickets`: what one has bought, and in short what one sells.
//!
//! Authorization: everything here is the viewer's own.

mod bought;
mod pages;

pub use pages::TicketsPage;
