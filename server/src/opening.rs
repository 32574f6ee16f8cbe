//! Opens the database for a command or a server, and checks that it fits the settings. Changes only the
//! schema, and the record of the payment provider.

use crate::{config::Config, seed};
use anyhow::{Context, bail};
use platform::{
    clock::{Clock, SystemClock},
    db::{Db, ServerLock},
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

/// The pause between attempts to connect, and between warnings meanwhile.
const RETRY_PERIOD: Duration = Duration::from_millis(500);
const WARN_PERIOD: Duration = Duration::from_secs(10);

/// Connects, migrates and runs the backfills. Creates the data folder and a SQLite file if missing.
async fn open(config: &Config) -> anyhow::Result<Db> {
    config.make_data_dir()?;
    let opened = Db::open(&config.database_url).await;
    backfilled(opened.with_context(|| setting(&config.database_url))?).await
}

async fn backfilled(db: Db) -> anyhow::Result<Db> {
    backfills::run(&db, &SystemClock).await?;
    Ok(db)
}

/// Like [`open`], but retries while the database does not answer, for as long as configured.
pub(crate) async fn open_patiently(config: &Config) -> anyhow::Result<Db> {
    config.make_data_dir()?;
    let began = Instant::now();
    let mut last_warning: Option<Instant> = None;
    loop {
        let error = match Db::open(&config.database_url).await {
            Ok(db) => return backfilled(db).await,
            Err(error) => error,
        };
        let left = config.database_wait.saturating_sub(began.elapsed());
        if !error.is_transient() || left.is_zero() {
            return Err(error).with_context(|| setting(&config.database_url));
        }
        if last_warning.is_none_or(|last| last.elapsed() >= WARN_PERIOD) {
            last_warning = Some(Instant::now());
            tracing::warn!(
                error = chain(&error),
                "the database is not available yet; retrying for up to {} s",
                left.as_secs()
            );
        }
        tokio::time::sleep(RETRY_PERIOD.min(left)).await;
    }
}

/// Connects to an existing shop of this version.
pub(crate) async fn open_existing(config: &Config) -> anyhow::Result<Db> {
    let opened = Db::open_existing(&config.database_url).await;
    opened.with_context(|| setting(&config.database_url))
}

/// Takes the lock of the one server that may run on a SQLite file.
pub(crate) async fn lock(config: &Config) -> anyhow::Result<ServerLock> {
    config.make_data_dir()?;
    let claimed = ServerLock::claim(&config.database_url).await;
    claimed.with_context(|| setting(&config.database_url))
}

/// Names the setting and its value in an error.
fn setting(database_url: &str) -> String {
    format!("DATABASE_URL ({})", without_password(database_url))
}

/// A database URL without user, password and query, which may also contain a password.
pub(crate) fn without_password(url: &str) -> String {
    let url = url.split_once('?').map_or(url, |(address, _)| address);
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => url.to_owned(),
    }
}

/// Errors: the shop's payments were made with another payment provider.
async fn assert_same_provider(config: &Config, db: &Db) -> anyhow::Result<()> {
    let demo_intents = demo_intents(&config.data_dir)
        .context("STAGEDOOR_DATA_DIR: the journal of the Stripe double cannot be read")?;
    let now = SystemClock.now();
    provider::check_at_start(db, config.stripe.mode(), &demo_intents, now).await?;
    Ok(())
}

/// Errors: the Stripe keys are live, and there are demo accounts with the public password.
async fn assert_no_demo_accounts(config: &Config, db: &Db) -> anyhow::Result<()> {
    if config.stripe.mode() != ProviderMode::Live {
        return Ok(());
    }
    let accounts = seed::accounts_with_password(db).await?;
    if !accounts.is_empty() {
        bail!(
            "the Stripe keys are live, and this database has demo accounts with a public password ({}): use a new database (DATABASE_URL or STAGEDOOR_DATA_DIR), or remove them first: `stagedoor seed --remove`",
            accounts.join(", ")
        );
    }
    Ok(())
}

/// Opens the database for a server. Errors: it does not fit the settings, among others.
pub(crate) async fn open_for_serving(config: &Config) -> anyhow::Result<Db> {
    let db = open_patiently(config).await?;
    assert_no_demo_accounts(config, &db).await?;
    assert_same_provider(config, &db).await?;
    Ok(db)
}

/// Opens the database to add demo accounts, whose password is public. Errors: the settings, or the
/// payments made so far, are not those of a demo.
pub(crate) async fn open_for_seeding(config: &Config) -> anyhow::Result<Db> {
    if config.stripe.mode() != ProviderMode::Demo {
        bail!(
            "demo log-ins do not belong in a shop that charges real cards: unset STRIPE_SECRET_KEY to seed"
        );
    }
    let db = open(config).await?;
    assert_same_provider(config, &db)
        .await
        .context("demo log-ins do not belong in this shop")?;
    Ok(db)
}

/// The intents in the journal of the double in the data folder; empty if there is no journal.
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
