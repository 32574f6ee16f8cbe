//! Accounts: signing up, in and out, and who is looking.
//!
//! Authorization: the viewer comes from the session, which the server alone reads. Nothing here
//! trusts an id that a request names.

mod types;

#[cfg(feature = "ssr")]
mod port;

#[cfg(feature = "ssr")]
pub use port::Accounts;
pub use types::*;
