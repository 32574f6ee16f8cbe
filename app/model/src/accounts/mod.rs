//! Accounts: requests and responses of signing up, signing in and signing out, and the ports.

mod port;
mod second_factor;
mod types;

pub use port::{AccountCare, Accounts, SecondFactor};
pub use second_factor::*;
pub use types::*;
