//! Opens the database for a command or a server, and checks first that the database fits the settings.
//! Changes nothing but the schema and the record of the payment provider.

use crate::{config::Config, seed};
use anyhow::{Context, bail};
use platform::{
    clock::{Clock, SystemClock},
    db::{Db, Serving},
    fault::chain,
};
use shop::{
    backfills,
    payments::{ProviderMode, provider},
};
use std::{
    collections::BTreeSet,
    io,
    path::Path,
    time::{Duration, Instant},
};
use stripe_double::Double;

/// How often the connection is tried again, and how often a warning is logged meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Connects, migrates, and fills what migrations have added; makes what is missing of a database in
/// a file, and its folder.
async fn open(config: &Config) -> anyhow::Result<Db> {
    config.make_data_dir()?;
    let opened = Db::open(&config.database_url).await;
    filled(opened.with_context(|| named(&config.database_url))?).await
}

async fn filled(db: Db) -> anyhow::Result<Db> {
    backfills::run(&db, &SystemClock).await?;
    Ok(db)
}

/// As [`open`], and waits for a database that does not answer yet, for as long as is set.
pub(crate) async fn open_patiently(config: &Config) -> anyhow::Result<Db> {
    config.make_data_dir()?;
    let began = Instant::now();
    let mut told: Option<Instant> = None;
    loop {
        let error = match Db::open(&config.database_url).await {
            Ok(db) => return filled(db).await,
            Err(error) => error,
        };
        let left = config.database_wait.saturating_sub(began.elapsed());
        if !error.is_passing() || left.is_zero() {
            return Err(error).with_context(|| named(&config.database_url));
        }
        if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            told = Some(Instant::now());
            tracing::warn!(
                error = chain(&error),
                "the database is not there yet; it is waited for, {} s at most",
                left.as_secs()
            );
        }
        tokio::time::sleep(LOOK_AGAIN.min(left)).await;
    }
}

/// Connects to a shop that is there, and of this version.
pub(crate) async fn open_existing(config: &Config) -> anyhow::Result<Db> {
    let opened = Db::open_existing(&config.database_url).await;
    opened.with_context(|| named(&config.database_url))
}

/// Claims the database for the one server that may run on a file.
pub(crate) async fn serving(config: &Config) -> anyhow::Result<Serving> {
    config.make_data_dir()?;
    let claimed = Serving::claim(&config.database_url).await;
    claimed.with_context(|| named(&config.database_url))
}

fn named(database_url: &str) -> String {
    format!("DATABASE_URL ({})", without_password(database_url))
}

/// A database's address, fit to be shown: a password may also stand behind the question mark.
pub(crate) fn without_password(url: &str) -> String {
    let url = url.split_once('?').map_or(url, |(address, _)| address);
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => url.to_owned(),
    }
}

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
pub(crate) async fn open_for_serving(config: &Config) -> anyhow::Result<Db> {
    let db = open_patiently(config).await?;
    no_demo_accounts(config, &db).await?;
    same_provider(config, &db).await?;
    Ok(db)
}

/// Opens the database to put accounts with a public password into it. Errors: the settings or the
/// payments so far are not those of a demo.
pub(crate) async fn open_for_seeding(config: &Config) -> anyhow::Result<Db> {
    if config.stripe.mode() != ProviderMode::Demo {
        bail!(
            "demo log-ins do not belong in a shop that charges real cards: unset STRIPE_SECRET_KEY to seed"
        );
    }
    let db = open(config).await?;
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

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn a_password_is_not_shown() {
        let shown = without_password("postgres://ann:secret@db.example/shop");
        assert_eq!(shown, "postgres://…@db.example/shop");
        assert_eq!(without_password("sqlite://data/x.db"), "sqlite://data/x.db");
        let shown = without_password("postgres://db.example/shop?user=ann&password=s@cret");
        assert_eq!(shown, "postgres://db.example/shop");
    }
}
