//! What the shop signs and encrypts with its own key.
//!
//! Owns the table `pass_keys`, whose keys are named after their first use: signing passes. `keys.rs`
//! decides which key signs, `signer.rs` is such a key, `sealed.rs` signs texts and checks them,
//! `encrypted.rs` encrypts. It does not own what the texts say: that is up to the features that use them.

pub mod encrypted;
pub mod keys;
pub mod sealed;
mod signer;
mod store;

pub use keys::shared_secret;
pub use signer::{KeyId, Signer};
pub use store::keys_public;
