//! Accounts: what signing up, in and out take and answer, and what a browser can ask of them.

mod port;
mod second_factor;
mod types;

pub use port::{AccountCare, Accounts, SecondFactor};
pub use second_factor::*;
pub use types::*;
