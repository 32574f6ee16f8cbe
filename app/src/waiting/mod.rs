//! The waiting list: who is told when an event that has nothing for sale has something again.
//!
//! Authorization: anybody may ask, for any address; but nobody is put on the list until the address
//! has said yes, by the link that was mailed to it or by its owner being signed in. A link is for
//! its entry and nothing else.

pub mod api;

mod pages;

pub use pages::{WaitingListPage, tell_me};
