//! `stagedoor audit`: checks the invariants against database and provider.
//!
//! Owns no table and writes nothing. Reads one snapshot of the database ([`Db::snapshot`]) with set-based SQL
//! (`invariants.rs`, run by `checks.rs`), including the histories of orders (`history.rs`), and compares it with
//! the payment provider (`provider.rs`). Differences due to calls under way are reported as such and violate
//! nothing. Repairs nothing: the engine and the reconciler do.

mod checks;
mod command;
mod counts;
mod history;
mod invariants;
mod provider;
mod report;

pub use command::{Audit, conclude, provider as provider_of, run};
pub use invariants::{CHECKS, Check};
pub use provider::Provider;
pub use report::{Counts, Finding, Findings, Invariant, Report, Verdict};

use model::Moment;
use platform::db::Db;
use report::ReportBuilder;
use shop::incidents;
use sqlx::Connection;

/// Checks everything. Errors: the database fails. A failure of the provider is part of the report.
pub async fn audit(db: &Db, provider: Provider, now: Moment) -> Result<Report, sqlx::Error> {
    let mut report = ReportBuilder::new();
    // The provider first: its calls were stored before they were made, so the later snapshot shows them as
    // done or under way.
    let listed = provider.list().await;
    let mut conn = db.snapshot().await?;
    let counts = counts::read(&mut conn, now).await?;
    counts::record_coverage(&counts, &mut report);
    checks::check_invariants(&mut conn, now, &mut report).await?;
    checks::warn_of_backlogs(&mut conn, now, &mut report).await?;
    history::check(&mut conn, &mut report).await?;
    provider::compare(&mut conn, &listed, now, &mut report).await?;
    let open = incidents::list_open(&mut conn).await?;
    conn.close().await?;
    Ok(report.build(db.engine().name(), now, counts, open))
}
