//! Texts that a shop signs for itself, with the key that signs passes: `FORMAT.payload.signature`.
//! What is signed begins with the name of its format, so that a text of one format is none of
//! another. Owns how such a text is read and checked; what it says is its format's business.

use super::{KeyId, keys, store};
use crate::{db::Db, fault::FaultResult};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use model::Moment;
use ring::signature::{ED25519, UnparsedPublicKey};

/// Signs a text of this format. Errors: as [`keys::signer`].
pub async fn seal(db: &Db, format: &str, said: &[u8], now: Moment) -> FaultResult<String> {
    Ok(keys::signer(db, now).await?.seal(format, said))
}

/// What a text of this format says, if this shop has signed it.
pub async fn opened(db: &Db, format: &str, text: &str) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let Some(sealed) = Sealed::read(format, text) else {
        return Ok(None);
    };
    let named = sealed.key.text();
    let keys = store::keys_public(db.reads()).await?;
    let key = keys.into_iter().find(|(id, _)| *id == named);
    let public = key.and_then(|(_, public)| BASE64.decode(public).ok());
    Ok(public.and_then(|public| sealed.open(&public)))
}

/// A text whose signature has not been checked yet.
pub struct Sealed<'a> {
    key: KeyId,
    said: Vec<u8>,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Sealed<'a> {
    /// Reads a text. None: it is not of this format.
    pub fn read(format: &str, text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let payload = signed.strip_prefix(format)?.strip_prefix('.')?;
        let payload = BASE64.decode(payload).ok()?;
        let (key, said) = payload.split_first_chunk::<4>()?;
        Some(Self {
            key: KeyId::read(*key),
            said: said.to_vec(),
            signed,
            signature: BASE64.decode(signature).ok()?,
        })
    }

    /// What it says, if the owner of this public key has signed it.
    pub fn open(self, public: &[u8]) -> Option<Vec<u8>> {
        let key = UnparsedPublicKey::new(&ED25519, public);
        key.verify(self.signed.as_bytes(), &self.signature).ok()?;
        Some(self.said)
    }
}
