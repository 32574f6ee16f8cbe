//! The command `stagedoor audit`: arguments, choice of the provider, output and exit codes.

use super::{Provider, Report, Verdict, audit};
use crate::{
    config::{Config, Settings, StripeConfig, StripeKeys},
    opening, shutdown,
};
use anyhow::Context;
use futures::StreamExt;
use model::Moment;
use platform::{
    clock::{Clock, SystemClock},
    db::Db,
    task_runs, telemetry,
};
use serde::Serialize;
use shop::payments::provider::{ProviderMismatch, find_recorded};
use sqlx::{query_as, query_scalar};
use std::{
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};
use stripe_double::{Double, JournalLine};
use stripe_gateway::StripeList;

/// An invariant is violated.
const BROKEN: u8 = 1;
/// Something could not be checked.
const UNCHECKED: u8 = 2;
/// Nothing is broken, but calls to the provider are under way: repeat the audit.
const UNSETTLED: u8 = 3;
/// Pause before an unsettled audit is repeated.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// The arguments of the command.
#[derive(Debug, clap::Args)]
pub struct Audit {
    /// Prints JSON, for programs
    #[arg(long)]
    json: bool,
    /// Audits again and again, every so many hours, until it is asked to stop
    #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(u64).range(1..=8_760))]
    every: Option<u64>,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    settings: Settings,
}

/// The arguments of one audit.
#[derive(Debug, clap::Args)]
struct How {
    /// Asks Stripe about so many days only [default: since our oldest payment]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    since: Option<u32>,
    /// Looks again for so many seconds while calls to Stripe are under way
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(0..=86_400))]
    wait: u64,
    /// Notes in the database that it has run and how it came out, for /metrics and its alerts
    #[arg(long)]
    record: bool,
}

/// Audits and prints the report. Exit codes: 0 if everything holds, 1 if something is broken, 2 if it could not
/// be checked, 3 if it depends on calls that are under way.
pub async fn run(args: Audit) -> ExitCode {
    let finish = |report: anyhow::Result<Report>| {
        conclude(report, args.json, "it could not be checked", |report| {
            (report.to_string(), report.verdict)
        })
    };
    let config = match args.settings.check() {
        Ok(config) => config,
        Err(error) => return finish(Err(error.into())),
    };
    telemetry::start_log(config.log);
    let Some(every) = args.every.map(Duration::from_hours) else {
        return finish(audit_once(&config, &args.how).await);
    };
    let stopped = shutdown::requested();
    tokio::pin!(stopped);
    loop {
        let round = async {
            finish(audit_once(&config, &args.how).await);
            tokio::time::sleep(every).await;
        };
        tokio::select! {
            () = round => {}
            () = &mut stopped => return ExitCode::SUCCESS,
        }
    }
}

/// Prints the outcome of a command, as JSON if `json`, and returns the exit code. `unfinished` begins the error
/// message if the command failed.
pub fn conclude<T: Serialize>(
    outcome: anyhow::Result<T>,
    json: bool,
    unfinished: &str,
    describe: impl Fn(&T) -> (String, Verdict),
) -> ExitCode {
    let printed = outcome.and_then(|outcome| {
        let (text, verdict) = describe(&outcome);
        if !json {
            return Ok((text, verdict));
        }
        let text = serde_json::to_string_pretty(&outcome);
        Ok((
            text.context("it cannot be written as JSON")? + "\n",
            verdict,
        ))
    });
    match printed {
        Ok((text, verdict)) => {
            print!("{text}");
            verdict.exit_code()
        }
        Err(error) => {
            let error = format!("{error:#}");
            if json {
                let failure = serde_json::json!({"verdict": Verdict::Unchecked, "error": error});
                println!("{failure:#}");
            }
            eprintln!("error: {unfinished}: {error}");
            Verdict::Unchecked.exit_code()
        }
    }
}

impl Verdict {
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Holds | Self::ByTests => ExitCode::SUCCESS,
            Self::Broken => ExitCode::from(BROKEN),
            Self::Unchecked => ExitCode::from(UNCHECKED),
            Self::Unsettled => ExitCode::from(UNSETTLED),
        }
    }
}

async fn audit_once(config: &Config, how: &How) -> anyhow::Result<Report> {
    let db = opening::open_existing(config).await?;
    let audited = audit_until_settled(config, &db, how).await;
    if how.record {
        let held = audited
            .as_ref()
            .is_ok_and(|report| report.verdict == Verdict::Holds);
        task_runs::record(&db, task_runs::AUDIT, held, SystemClock.now())
            .await
            .context("the run could not be noted")?;
    }
    db.close().await;
    audited
}

/// Audits, and repeats it after a pause while the verdict is unsettled and `wait` has not passed.
async fn audit_until_settled(config: &Config, db: &Db, how: &How) -> anyhow::Result<Report> {
    let (began, wait) = (Instant::now(), Duration::from_secs(how.wait));
    loop {
        let now = SystemClock.now();
        let since = how.since.map(|days| now - DAY * days);
        let provider = provider(config, db, since).await?;
        let report = audit(db, provider, now).await?;
        if report.verdict != Verdict::Unsettled || began.elapsed() + RETRY_PAUSE > wait {
            return Ok(report);
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// The provider according to the settings; payments since `since`, or since our oldest payment.
pub async fn provider(config: &Config, db: &Db, since: Option<Moment>) -> anyhow::Result<Provider> {
    let configured = config.stripe.mode();
    if let Some(recorded) = find_recorded(db.reads()).await?
        && recorded != configured
    {
        let other = ProviderMismatch {
            recorded,
            configured,
        };
        return Ok(Provider::None(other.to_string()));
    }
    match &config.stripe {
        StripeConfig::Demo => demo(config, db).await,
        StripeConfig::Live(keys) => live(keys, db, since).await,
    }
}

/// Demo mode: the double keeps its journal in the data folder.
async fn demo(config: &Config, db: &Db) -> anyhow::Result<Provider> {
    let journal = read_journal(&config.data_dir)
        .context("STAGEDOOR_DATA_DIR: the journal of the Stripe double cannot be read")?;
    let (ours, _) = oldest(db).await?;
    // Without a journal, this is a shop with another provider that is audited without its keys.
    if journal.is_empty() && ours > 0 {
        let reason = format!(
            "no STRIPE_SECRET_KEY is set, and {} has no journal of the Stripe double",
            config.data_dir.display()
        );
        return Ok(Provider::None(reason));
    }
    Ok(Provider::Journal(journal))
}

/// Returns no lines if the double has received no call yet.
fn read_journal(data_dir: &Path) -> std::io::Result<Vec<JournalLine>> {
    match Double::read_journal(data_dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

/// Stripe: from `since`, or from our oldest payment; without payments (perhaps a restored copy) from our oldest
/// account.
async fn live(keys: &StripeKeys, db: &Db, since: Option<Moment>) -> anyhow::Result<Provider> {
    let oldest = match oldest(db).await? {
        (_, Some(oldest)) => Some(oldest),
        (_, None) => oldest_account(db).await?,
    };
    // An hour of margin, because clocks differ.
    let Some(since) = since.or(oldest.map(|oldest| oldest - HOUR)) else {
        return Ok(Provider::Journal(Vec::new()));
    };
    let list = StripeList::new(&keys.secret, keys.api_url.as_deref())?;
    Ok(Provider::Intents {
        since,
        pages: list.list_intents_since(since.seconds()).boxed(),
    })
}

/// How many payments have an intent, and when the oldest payment began.
async fn oldest(db: &Db) -> Result<(i64, Option<Moment>), sqlx::Error> {
    query_as("SELECT COUNT(stripe_id) AS intents, MIN(created_at) AS oldest FROM payments")
        .fetch_one(db.reads())
        .await
}

async fn oldest_account(db: &Db) -> Result<Option<Moment>, sqlx::Error> {
    query_scalar("SELECT MIN(created_at) AS oldest FROM users")
        .fetch_one(db.reads())
        .await
}
