//! Accounts: pages and server functions for sign-up, sign-in, the account page and mailed links.
//!
//! Authorization: the viewer comes from the session, which only the server reads, never from an id in a
//! request.

pub mod api;
pub mod factor_api;

mod factor_pages;
mod own_pages;
mod pages;
mod reset_pages;

pub use factor_pages::{CodePage, SecondFactorPage};
pub use own_pages::{AccountPage, LeavePage};
pub use pages::{SignInPage, SignUpPage};
pub use reset_pages::{ForgotPage, ResetPage, VerifyPage};
