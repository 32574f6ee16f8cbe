//! A key that signs, and its name.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use sha2::{Digest, Sha256};

/// Names a key: the start of its public half's SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyId([u8; 4]);

impl KeyId {
    /// As it was written.
    pub fn read(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    fn of(public: &[u8]) -> Self {
        let digest = Sha256::digest(public);
        Self([digest[0], digest[1], digest[2], digest[3]])
    }

    /// In hex.
    pub fn text(self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.0))
    }
}

/// Signs passes and other texts. It has no `Debug`, so that no log contains the key.
pub struct Signer {
    pair: Ed25519KeyPair,
}

/// Why there is no signer.
#[derive(Debug, thiserror::Error)]
pub enum NoSigner {
    /// The system gives no random numbers.
    #[error("the system's randomness fails")]
    Randomness,
    /// What is stored is no key.
    #[error("the stored key cannot be read")]
    Unreadable,
}

impl Signer {
    /// A new key, as it is to be stored.
    pub fn generate() -> Result<Vec<u8>, NoSigner> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        let document = document.map_err(|_| NoSigner::Randomness)?;
        Ok(document.as_ref().to_vec())
    }

    /// A stored key.
    pub fn new(pkcs8: &[u8]) -> Result<Self, NoSigner> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| NoSigner::Unreadable)?;
        Ok(Self { pair })
    }

    /// Its public half.
    pub fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// Its name.
    pub fn id(&self) -> KeyId {
        KeyId::of(self.public())
    }

    /// `FORMAT.payload.signature`: the payload is this key's id and `said`, and the signature is over
    /// everything before it, so that a text of one format is not valid as another.
    pub fn seal(&self, format: &str, said: &[u8]) -> String {
        let payload = [self.id().0.as_slice(), said].concat();
        let signed = format!("{format}.{}", BASE64.encode(payload));
        let signature = self.pair.sign(signed.as_bytes());
        format!("{signed}.{}", BASE64.encode(signature))
    }
}
