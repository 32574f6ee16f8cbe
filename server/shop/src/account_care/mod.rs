//! What people do about their accounts: a new password, another address, leaving.
//!
//! Above `accounts/`, because it reads and changes rows of other features as well: what an account holds
//! in orders, tickets and the waiting list. `service.rs` implements the port, `addresses.rs` proves and
//! replaces addresses, `leaving.rs` deletes accounts. It owns no table; sessions, proofs and the rows of
//! accounts are `accounts/`.

mod addresses;
mod leaving;
mod service;

pub use leaving::Removal;
pub use service::AccountCareService;
