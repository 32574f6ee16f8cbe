//! Encryption of small secrets as `SDE1.KEY.CIPHERTEXT`: AES-256-GCM with a key derived from the named
//! signing key. Owns the format; callers store the text.
//!
//! The key is in the same database, so encryption only protects against access to a part of it, such as
//! one table or a log of statements. The secrets can be decrypted with the whole database.

use super::{keys, store};
use crate::{
    db::Db,
    fault::{Fault, FaultResult},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use model::Moment;
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac::{HMAC_SHA256, Key, sign},
};

const FORMAT: &str = "SDE1";
const DERIVED_FOR: &[u8] = b"encrypted secrets";

/// Encrypts `secret` for `purpose`, which names its kind and owner; decrypting requires the same purpose.
/// Errors: as [`keys::signer`].
pub async fn encrypt(db: &Db, purpose: &str, secret: &[u8], now: Moment) -> FaultResult<String> {
    let id = keys::signer(db, now).await?.id().text();
    let private = store::find_private(db.reads(), &id).await?;
    let private = private.ok_or_else(|| Fault::unexpected("Signing key not found", id.clone()))?;
    let nonce: [u8; NONCE_LEN] = rand::random();
    let mut text = secret.to_vec();
    derive_key(&private)
        .and_then(|key| {
            let nonce = Nonce::assume_unique_for_key(nonce);
            key.seal_in_place_append_tag(nonce, Aad::from(purpose.as_bytes()), &mut text)
                .ok()
        })
        .ok_or_else(|| Fault::unexpected("Secret could not be encrypted", id.clone()))?;
    let sealed = [nonce.as_slice(), &text].concat();
    Ok(format!("{FORMAT}.{id}.{}", BASE64.encode(sealed)))
}

/// Decrypts a secret. None: it was not encrypted by this shop for this purpose, or its key was deleted.
pub async fn decrypt(db: &Db, purpose: &str, text: &str) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let parts = text
        .strip_prefix(FORMAT)
        .and_then(|rest| rest.strip_prefix('.')?.split_once('.'));
    let Some((id, sealed)) = parts else {
        return Ok(None);
    };
    let private = store::find_private(db.reads(), id).await?;
    Ok(private.and_then(|private| decrypt_with(&private, purpose, sealed)))
}

fn decrypt_with(private: &str, purpose: &str, sealed: &str) -> Option<Vec<u8>> {
    let mut sealed = BASE64.decode(sealed).ok()?;
    let (nonce, text) = sealed.split_at_mut_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let secret = derive_key(private)?
        .open_in_place(nonce, Aad::from(purpose.as_bytes()), text)
        .ok()?;
    Some(secret.to_vec())
}

/// Derives the encryption key from a private signing key.
fn derive_key(private: &str) -> Option<LessSafeKey> {
    let derived = sign(&Key::new(HMAC_SHA256, private.as_bytes()), DERIVED_FOR);
    let unbound = UnboundKey::new(&AES_256_GCM, derived.as_ref()).ok()?;
    Some(LessSafeKey::new(unbound))
}
