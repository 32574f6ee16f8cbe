//! Accounts: sign-up, sign-in and sign-out, sessions, second factors, mailed links.
//!
//! Owns the tables `users`, `password_resets`, `email_proofs`, `second_factors` and `recovery_codes`, and the
//! hashes of passwords. It imports no other feature, so that every feature may import it; operations that
//! also change rows of other features are in `account_care/`. `platform::session` decides which account a
//! request comes from; each feature decides what a user may do with its tickets or orders.

mod attempts;
mod device;
pub(crate) mod factors;
mod guessable;
mod hash_queue;
pub mod known_devices;
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

pub use operators::{OperatorStatus, Operators};
pub use rekeying::{
    fill_user_email_key, fill_waiting_email_key, select_users_with_unicode_domains,
    select_waiting_with_unicode_domains,
};
pub use rules::{check_email, email_for_mail, email_key};
pub use second_factor::reset_second_factor_of;
pub use service::AccountsService;
pub use sessions::end_sessions_of;
