//! Signing and encryption with the shop's own key.
//!
//! Owns the table `pass_keys`, named after the first use of its keys: signing passes. `keys.rs` selects
//! the signing key, `signer.rs` signs with it, `sealed.rs` signs and verifies texts, `encrypted.rs`
//! encrypts. The content of the texts is defined by the features that use them.

pub mod encrypted;
pub mod keys;
pub mod sealed;
mod signer;
mod store;

pub use keys::shared_secret;
pub use signer::{KeyId, Signer};
pub use store::list_public_keys;
