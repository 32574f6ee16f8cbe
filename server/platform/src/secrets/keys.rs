//! Selects the signing key. It is created when first needed and shared by all processes: if several create
//! one, the database keeps the first.

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

/// The signer with the shop's signing key, which is created if missing. Errors: the database or the
/// system's random number generator fails, or the stored key is unreadable.
pub async fn signer(db: &Db, now: Moment) -> FaultResult<Signer> {
    let key = match store::find_signing(db.reads()).await? {
        Some(key) => key,
        None => {
            create(db, now).await?;
            let created = store::find_signing(db.reads()).await?;
            created.ok_or_else(|| Fault::unexpected("Signing key not found", "just created"))?
        }
    };
    let pkcs8 = BASE64.decode(key);
    let pkcs8 =
        pkcs8.map_err(|error| Fault::unexpected("Stored signing key is not base64", error))?;
    Signer::new(&pkcs8).map_err(|error| Fault::unexpected("Signing key cannot be used", error))
}

/// The private signing key as text, from which other secrets shared by all processes are derived. Errors:
/// as [`signer`].
pub async fn shared_secret(db: &Db, now: Moment) -> FaultResult<SecretString> {
    signer(db, now).await?;
    let key = store::find_signing(db.reads()).await?;
    let key = key.ok_or_else(|| Fault::unexpected("Signing key not found", "just created"))?;
    Ok(key.into())
}

async fn create(db: &Db, now: Moment) -> FaultResult<()> {
    let pkcs8 = Signer::generate()
        .map_err(|error| Fault::unexpected("Signing key could not be created", error))?;
    let signer = Signer::new(&pkcs8)
        .map_err(|error| Fault::unexpected("Signing key could not be created", error))?;
    let key = KeyRow {
        id: signer.id().text(),
        public: BASE64.encode(signer.public()),
        private: BASE64.encode(&pkcs8),
    };
    tracing::info!(key = key.id, "Signing key created");
    db.write(move |conn| Box::pin(async move { Ok(store::insert(conn, key, now).await?) }))
        .await
}

/// Id and public key of every key, the signing key first, which is created if missing. Errors: as
/// [`signer`].
pub async fn list_public(db: &Db, now: Moment) -> FaultResult<Vec<(String, String)>> {
    signer(db, now).await?;
    Ok(store::list_public_keys(db.reads()).await?)
}
