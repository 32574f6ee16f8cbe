//! Accounts: signing up, in and out, a new password, leaving, and who is looking.
//!
//! Authorization: the viewer comes from the session, which the server alone reads. Nothing here
//! trusts an id that a request names.

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
