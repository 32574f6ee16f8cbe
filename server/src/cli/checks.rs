//! What must hold between the settings and the database before a shop is served or seeded. Changes
//! nothing but the record of the payment provider.

use crate::{
    clock::{Clock, SystemClock},
    config::Config,
    db::Db,
    payments::{ProviderMode, provider},
    seed,
};
use anyhow::{Context, bail};
use std::{collections::BTreeSet, io, path::Path};
use stripe_double::Double;

/// Refuses to go on with another payment provider than the shop's payments were made with.
async fn same_provider(config: &Config, db: &Db) -> anyhow::Result<()> {
    let demo_intents = demo_intents(&config.data_dir)
        .context("STAGEDOOR_DATA_DIR: the journal of the Stripe double cannot be read")?;
    let now = SystemClock.now();
    provider::assert_same(db, config.stripe.mode(), &demo_intents, now).await?;
    Ok(())
}

/// Refuses to charge real cards in a shop whose demo accounts have a password that everybody knows.
async fn no_demo_accounts(config: &Config, db: &Db) -> anyhow::Result<()> {
    if config.stripe.mode() != ProviderMode::Live {
        return Ok(());
    }
    let open = seed::open_accounts(db).await?;
    if !open.is_empty() {
        bail!(
            "the Stripe keys are live, and this database has demo accounts with a public password ({}): use a new database (DATABASE_URL or STAGEDOOR_DATA_DIR), or remove them first: `stagedoor seed --remove`",
            open.join(", ")
        );
    }
    Ok(())
}

/// Opens the database to serve it. Errors: it does not fit the settings, among others.
pub async fn open_for_serving(config: &Config) -> anyhow::Result<Db> {
    let db = super::open_patiently(config).await?;
    no_demo_accounts(config, &db).await?;
    same_provider(config, &db).await?;
    Ok(db)
}

/// Opens the database to put accounts with a public password into it. Errors: the settings or the
/// payments so far are not those of a demo.
pub(super) async fn open_for_seeding(config: &Config) -> anyhow::Result<Db> {
    if config.stripe.mode() != ProviderMode::Demo {
        bail!(
            "demo log-ins do not belong in a shop that charges real cards: unset STRIPE_SECRET_KEY to seed"
        );
    }
    let db = super::open(config).await?;
    same_provider(config, &db)
        .await
        .context("demo log-ins do not belong in this shop")?;
    Ok(db)
}

/// The intents that the double in the data folder knows; none where there is no double.
fn demo_intents(data_dir: &Path) -> io::Result<BTreeSet<String>> {
    match Double::read_journal(data_dir) {
        Ok(journal) => Ok(journal.into_iter().map(|line| line.id).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}
