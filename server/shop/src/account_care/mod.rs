//! Changing the password or address of an account, resetting a password, and deleting an account.
//!
//! Above `accounts/`, because it also reads and changes rows of other features: orders, tickets and the
//! waiting list. `service.rs` implements the port, `addresses.rs` verifies and replaces addresses,
//! `deletion.rs` deletes accounts. It owns no table; those of accounts are in `accounts/`.

mod addresses;
mod deletion;
mod service;

pub use deletion::Deletion;
pub use service::AccountCareService;
