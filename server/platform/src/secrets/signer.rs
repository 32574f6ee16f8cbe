//! A signing key (Ed25519) and its id.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use sha2::{Digest, Sha256};

/// The id of a key: the first four bytes of the SHA-256 of its public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyId([u8; 4]);

impl KeyId {
    pub fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    fn of(public: &[u8]) -> Self {
        let digest = Sha256::digest(public);
        Self([digest[0], digest[1], digest[2], digest[3]])
    }

    /// In hexadecimal.
    pub fn text(self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.0))
    }
}

/// Signs passes and other texts. It has no `Debug`, so that the key cannot be logged.
pub struct Signer {
    pair: Ed25519KeyPair,
}

#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    #[error("the system's random number generator failed")]
    Randomness,
    #[error("the stored key is unreadable")]
    Unreadable,
}

impl Signer {
    /// A new key as PKCS#8.
    pub fn generate() -> Result<Vec<u8>, SignerError> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        let document = document.map_err(|_| SignerError::Randomness)?;
        Ok(document.as_ref().to_vec())
    }

    /// Reads a key from PKCS#8.
    pub fn new(pkcs8: &[u8]) -> Result<Self, SignerError> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| SignerError::Unreadable)?;
        Ok(Self { pair })
    }

    pub fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    pub fn id(&self) -> KeyId {
        KeyId::of(self.public())
    }

    /// Returns `FORMAT.payload.signature`: the encoded payload is this key's id and `payload`, and the
    /// signature covers everything before it, so that a text of one format is not valid as another.
    pub fn seal(&self, format: &str, payload: &[u8]) -> String {
        let payload = [self.id().0.as_slice(), payload].concat();
        let signed = format!("{format}.{}", BASE64.encode(payload));
        let signature = self.pair.sign(signed.as_bytes());
        format!("{signed}.{}", BASE64.encode(signature))
    }
}
