//! `stagedoor audit`: does everything hold that must hold?
//!
//! Owns no table and writes nothing. It reads the whole database at one moment
//! ([`Db::snapshot`]): with set-based SQL (`checks.rs`), the orders' histories among it
//! (`history.rs`), and against what the payment provider says (`provider.rs`). What differs
//! because somebody is at it this moment is told as such and breaks nothing. It repairs nothing
//! either: the engine and the reconciler do.

mod checks;
mod command;
mod counts;
mod history;
mod provider;
mod report;

pub use command::{Audit, conclude, provider as provider_of, run};
pub use provider::Provider;
pub use report::{Counts, Finding, Findings, Invariant, Report, Verdict};

use model::Moment;
use platform::db::Db;
use report::Book;
use shop::incidents;
use sqlx::Connection;

/// Checks everything. Errors: the database fails; a provider that does is told in the report.
pub async fn audit(db: &Db, provider: Provider, now: Moment) -> Result<Report, sqlx::Error> {
    let mut book = Book::new();
    // The provider first: whatever it has done by then, we had written down before we asked for
    // it, so the snapshot shows it done or under way.
    let listed = provider.list().await;
    let mut conn = db.snapshot().await?;
    let counts = counts::read(&mut conn, now).await?;
    counts::tell(&counts, &mut book);
    checks::run(&mut conn, now, &mut book).await?;
    history::check(&mut conn, &mut book).await?;
    provider::compare(&mut conn, &listed, now, &mut book).await?;
    let open = incidents::open_ones(&mut conn).await?;
    conn.close().await?;
    Ok(book.close(db.engine().name(), now, counts, open))
}
