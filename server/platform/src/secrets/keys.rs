//! Which key signs. There is one, made when it is first needed, and all processes share it: the
//! database decides who was first.

use super::{
    Signer,
    store::{self, KeyRow},
};
use crate::{
    db::Db,
    fault::{Fault, FaultResult},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use model::Moment;
use secrecy::SecretString;

/// The key that signs. Errors: the database or the system's randomness fails, or what is stored is
/// no key.
pub async fn signer(db: &Db, now: Moment) -> FaultResult<Signer> {
    let key = match store::key_signing(db.reads()).await? {
        Some(key) => key,
        None => {
            make(db, now).await?;
            let made = store::key_signing(db.reads()).await?;
            made.ok_or_else(|| Fault::unexpected("no key signs passes", "just written"))?
        }
    };
    let pkcs8 = BASE64.decode(key);
    let pkcs8 = pkcs8.map_err(|error| Fault::unexpected("a stored key is not base64", error))?;
    Signer::new(&pkcs8).map_err(|error| Fault::unexpected("no pass can be signed", error))
}

/// The key as text, for other secrets to be derived from: all processes of a shop have it, and it
/// stays in the database. Errors: as [`signer`].
pub async fn shared_secret(db: &Db, now: Moment) -> FaultResult<SecretString> {
    signer(db, now).await?;
    let key = store::key_signing(db.reads()).await?;
    let key = key.ok_or_else(|| Fault::unexpected("no key signs passes", "just made"))?;
    Ok(key.into())
}

async fn make(db: &Db, now: Moment) -> FaultResult<()> {
    let pkcs8 = Signer::generate()
        .map_err(|error| Fault::unexpected("no key for passes was made", error))?;
    let signer = Signer::new(&pkcs8)
        .map_err(|error| Fault::unexpected("no key for passes was made", error))?;
    let key = KeyRow {
        id: signer.id().text(),
        public: BASE64.encode(signer.public()),
        private: BASE64.encode(&pkcs8),
    };
    tracing::info!(key = key.id, "made the key that signs passes");
    db.write(move |conn| Box::pin(async move { Ok(store::key_insert(conn, key, now).await?) }))
        .await
}

/// Name and public half of every key, the one that signs first; one is made if there is none. Errors: as
/// [`signer`].
pub async fn public(db: &Db, now: Moment) -> FaultResult<Vec<(String, String)>> {
    signer(db, now).await?;
    Ok(store::keys_public(db.reads()).await?)
}
