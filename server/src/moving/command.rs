//! The command `stagedoor move`: its arguments, what it says while it works, and what it exits with.

use super::{BATCH_MAX, Comparison, finish, move_shop};
use crate::{
    audit::{self, Report, Verdict, audit},
    config::{self, Settings},
    opening::without_password,
};
use platform::{
    clock::{Clock, SystemClock},
    telemetry,
};
use serde::Serialize;
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

/// How often it says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// What is to be moved.
#[derive(Debug, clap::Args)]
pub struct Move {
    /// The database that the shop is in: `sqlite://…` or `postgres://…`
    #[arg(long, value_name = "URL")]
    from: String,
    /// The empty one that it moves to
    #[arg(long, value_name = "URL")]
    to: String,
    /// The most rows of a transaction
    #[arg(long, value_name = "ROWS", default_value_t = BATCH_MAX / 2,
        value_parser = clap::value_parser!(i64).range(1..=BATCH_MAX))]
    batch: i64,
    /// Prints JSON, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

/// How a move came out.
#[derive(Debug, Serialize)]
struct Outcome {
    verdict: Verdict,
    #[serde(flatten)]
    comparison: Comparison,
    /// Of the target; none if not even the rows are the same.
    audit: Option<Report>,
}

/// Moves, compares, audits, and says with which code to exit: 0 if everything arrived and holds, 1
/// if something differs or is broken, 2 if it was not moved or could not be checked.
pub async fn run(args: Move) -> ExitCode {
    let json = args.json;
    audit::conclude(work(args).await, json, "it is not moved", |outcome| {
        (outcome.text(), outcome.verdict)
    })
}

async fn work(args: Move) -> anyhow::Result<Outcome> {
    let config = args.settings.check()?;
    config::arm_crash_point()?;
    telemetry::start_log(config.log);
    eprintln!(
        "from {} to {}",
        without_password(&args.from),
        without_password(&args.to)
    );
    let mut told: Option<Instant> = None;
    let mut tell = |table: &str, rows: i64, of: i64| {
        if rows >= of || told.is_none_or(|told| told.elapsed() > TELL_EVERY) {
            eprintln!("{table}: {rows} of {of} rows");
            told = Some(Instant::now());
        }
    };
    let (to, comparison) = move_shop(&args.from, &args.to, args.batch, &mut tell).await?;
    if !comparison.alike() {
        return Ok(Outcome {
            verdict: Verdict::Broken,
            comparison,
            audit: None,
        });
    }
    let provider = audit::provider_of(&config, &to, None).await?;
    let report = audit(&to, provider, SystemClock.now()).await?;
    finish(&to).await?;
    to.close().await;
    // What is under way goes on, and ends, once a server runs on the new database.
    let verdict = match report.verdict {
        Verdict::Unsettled => Verdict::Holds,
        verdict => verdict,
    };
    Ok(Outcome {
        verdict,
        comparison,
        audit: Some(report),
    })
}

impl Outcome {
    fn text(&self) -> String {
        let comparison = &self.comparison;
        match &self.audit {
            Some(report) => format!("{comparison}\nEvery row arrived as it was.\n\n{report}"),
            None => format!(
                "{comparison}\nNOT MOVED: --from has changed since the move was begun, or --to \
                 while it went on. Empty --to, and begin anew.\n"
            ),
        }
    }
}
