//! Accounts: signing up, in and out; a new password, where one is signed in, and leaving.
//!
//! Owns the tables `users`, `password_resets`, `email_proofs`, `second_factors` and `recovery_codes`, and the
//! passwords' hashes. Who a request comes
//! from is `session.rs`'s business; what a user may do with a ticket or an order, those features'.

mod addresses;
mod care;
mod device;
mod export;
mod factors;
mod guessable;
pub mod known;
mod leaving;
mod operators;
mod password;
pub mod proofs;
mod rekeying;
pub mod resets;
pub mod rest;
mod rules;
mod second_factor;
mod service;
pub mod store;
mod totp;
mod tries;
mod turns;

pub use care::end_sessions_of;
pub use leaving::Removal;
pub use operators::{Operators, Standing};
pub use rekeying::{
    user_fill_email_key, users_with_foreign_domains, waiting_fill_email_key,
    waiting_with_foreign_domains,
};
pub use rules::{check_email, email_for_mail, email_key};
pub use second_factor::reset_second_factor_of;
pub use service::AccountsService;
