//! Accounts: signing up, in and out, their sessions, their proofs and their rows.
//!
//! Owns the tables `users`, `password_resets`, `email_proofs`, `second_factors` and `recovery_codes`, and the
//! hashes of passwords. It imports no other feature, so that every feature may import it: what people do
//! about their accounts that changes rows of other features is `account_care/`. Which account a request
//! comes from is decided in `session/`; what a user may do with a ticket or an order, in those features.

mod device;
pub(crate) mod factors;
mod guessable;
pub mod known;
pub(crate) mod links;
mod operators;
mod password;
pub mod proofs;
mod rekeying;
pub mod resets;
pub(crate) mod rules;
pub(crate) mod second_factor;
mod service;
mod sessions;
pub mod store;
mod totp;
mod tries;
mod turns;

pub use operators::{Operators, Standing};
pub use rekeying::{
    user_fill_email_key, users_with_foreign_domains, waiting_fill_email_key,
    waiting_with_foreign_domains,
};
pub use rules::{check_email, email_for_mail, email_key};
pub use second_factor::reset_second_factor_of;
pub use service::AccountsService;
pub use sessions::end_sessions_of;
