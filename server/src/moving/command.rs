//! The command `stagedoor move`: its arguments, progress output and exit codes.

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

/// The shortest time between two lines of progress.
const PROGRESS_PERIOD: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub struct Move {
    /// The database of the shop: `sqlite://…` or `postgres://…`
    #[arg(long, value_name = "URL")]
    from: String,
    /// The empty database to move to
    #[arg(long, value_name = "URL")]
    to: String,
    /// The most rows in one transaction
    #[arg(long, value_name = "ROWS", default_value_t = BATCH_MAX / 2,
        value_parser = clap::value_parser!(i64).range(1..=BATCH_MAX))]
    batch: i64,
    /// Prints JSON, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Serialize)]
struct Outcome {
    verdict: Verdict,
    #[serde(flatten)]
    comparison: Comparison,
    /// The audit of the target; `None` if rows differ.
    audit: Option<Report>,
}

/// Moves, compares and audits. Returns the exit code: 0 if everything has arrived and all invariants hold,
/// 1 if something differs or is broken, 2 if it was not moved or could not be checked.
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
    let mut last: Option<Instant> = None;
    let mut on_progress = |table: &str, rows: i64, of: i64| {
        if rows >= of || last.is_none_or(|last| last.elapsed() > PROGRESS_PERIOD) {
            eprintln!("{table}: {rows} of {of} rows");
            last = Some(Instant::now());
        }
    };
    let (to, comparison) = move_shop(&args.from, &args.to, args.batch, &mut on_progress).await?;
    if !comparison.is_identical() {
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
    // Calls under way are finished once a server runs on the new database.
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
            Some(report) => format!("{comparison}\nAll rows are identical.\n\n{report}"),
            None => format!(
                "{comparison}\nNOT MOVED: --from or --to was changed during the move. Empty --to and \
                start again.\n"
            ),
        }
    }
}
