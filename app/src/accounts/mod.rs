//! Accounts: signing up, in and out, a new password, leaving, and who is looking.
//!
//! Authorization: the viewer comes from the session, which the server alone reads. Nothing here
//! trusts an id that a request names.

pub mod api;
pub mod factor_api;
mod second_factor;
mod types;

#[cfg(feature = "ssr")]
mod factor_pages;
#[cfg(feature = "ssr")]
mod own_pages;
#[cfg(feature = "ssr")]
mod pages;
#[cfg(feature = "ssr")]
mod port;
#[cfg(feature = "ssr")]
mod reset_pages;

#[cfg(feature = "ssr")]
pub use factor_pages::{CodePage, SecondFactorPage};
#[cfg(feature = "ssr")]
pub use own_pages::{AccountPage, LeavePage};
#[cfg(feature = "ssr")]
pub use pages::{SignInPage, SignUpPage};
#[cfg(feature = "ssr")]
pub use port::{AccountCare, Accounts, SecondFactor};
#[cfg(feature = "ssr")]
pub use reset_pages::{ForgotPage, ResetPage, VerifyPage};
pub use second_factor::*;
pub use types::*;
