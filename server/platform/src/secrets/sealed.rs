//! Texts signed with the shop's signing key: `FORMAT.payload.signature`. The signature covers the format,
//! so that a text of one format is not valid as another. Owns parsing and verification; the payload is
//! defined by the users of each format.

use super::{KeyId, keys, store};
use crate::{db::Db, fault::FaultResult};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use model::Moment;
use ring::signature::{ED25519, UnparsedPublicKey};

/// Signs `payload` as a text of this format. Errors: as [`keys::signer`].
pub async fn seal(db: &Db, format: &str, payload: &[u8], now: Moment) -> FaultResult<String> {
    Ok(keys::signer(db, now).await?.seal(format, payload))
}

/// Verifies a text and returns its payload. None: it has another format or was not signed by this shop.
pub async fn open(db: &Db, format: &str, text: &str) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let Some(sealed) = Sealed::parse(format, text) else {
        return Ok(None);
    };
    let key_id = sealed.key.text();
    let keys = store::list_public_keys(db.reads()).await?;
    let key = keys.into_iter().find(|(id, _)| *id == key_id);
    let public = key.and_then(|(_, public)| BASE64.decode(public).ok());
    Ok(public.and_then(|public| sealed.verify(&public)))
}

/// A text whose signature has not been checked yet.
pub struct Sealed<'a> {
    key: KeyId,
    payload: Vec<u8>,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Sealed<'a> {
    /// None: the text does not have this format.
    pub fn parse(format: &str, text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let payload = signed.strip_prefix(format)?.strip_prefix('.')?;
        let payload = BASE64.decode(payload).ok()?;
        let (key, payload) = payload.split_first_chunk::<4>()?;
        Some(Self {
            key: KeyId::from_bytes(*key),
            payload: payload.to_vec(),
            signed,
            signature: BASE64.decode(signature).ok()?,
        })
    }

    /// Returns the payload. None: the signature is not by this key.
    pub fn verify(self, public: &[u8]) -> Option<Vec<u8>> {
        let key = UnparsedPublicKey::new(&ED25519, public);
        key.verify(self.signed.as_bytes(), &self.signature).ok()?;
        Some(self.payload)
    }
}
