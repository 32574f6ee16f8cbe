//! Accounts: signing up, in and out, and who is looking.
//!
//! Authorization: the viewer comes from the session, which the server alone reads. Nothing here
//! trusts an id that a request names.

pub mod api;
mod types;

#[cfg(feature = "ssr")]
mod pages;
#[cfg(feature = "ssr")]
mod port;

#[cfg(feature = "ssr")]
pub use pages::{AccountPage, SignInPage, SignUpPage};
#[cfg(feature = "ssr")]
pub use port::Accounts;
pub use types::*;
