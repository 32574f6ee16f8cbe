//! `stagedoor move`: copies a whole shop from one database to another, of the same engine or the other.
//!
//! Neither database may be in use meanwhile. The tables and columns that both schemas have (`plan.rs`) are
//! copied unchanged, in batches (`copy.rs`); the target's triggers rebuild derived data such as full-text
//! indexes. The progress is stored in the target with each batch, so that an interrupted move can be run
//! again. It is finished once every row has been read back and is identical (`compare.rs`). Changes
//! nothing in the source, and has no list of tables.

mod command;
mod compare;
mod copy;
mod plan;

pub use command::{Move, run};
pub use compare::{Comparison, Sum};
pub use plan::{MADE_BY_MIGRATIONS, SharedTable};

use anyhow::{Context, Result, ensure};
use platform::{
    crash,
    db::{Conn, Db, migration_counts, tables},
};
use sqlx::Connection;

/// The most rows in one transaction.
pub const BATCH_MAX: i64 = 2000;

/// Called after each batch with the table, its number of copied rows, and its number of rows.
pub type OnProgress<'t> = &'t mut (dyn FnMut(&str, i64, i64) + Send);

/// Copies the rows of `source` that are not yet in `target`, at most `batch` per transaction, and compares
/// both. If `Comparison::is_identical`, the caller must [`finish`] the move.
///
/// Errors: a database is in use or has another version, the target has foreign tables or rows of another
/// shop, or a database fails.
pub async fn move_shop(
    source: &str,
    target: &str,
    batch: i64,
    on_progress: OnProgress<'_>,
) -> Result<(Db, Comparison)> {
    let mut from = Db::claim(source).await.context("--from")?;
    let (applied, known) = migration_counts(&mut from)
        .await
        .context("--from: this database has never been migrated")?;
    ensure!(
        applied <= known,
        "--from is at migration {applied} and this binary at {known}: use the newer binary"
    );
    ensure!(
        applied == known,
        "--from is at migration {applied} and this binary at {known}: run `stagedoor migrate` first"
    );
    Db::assert_unused(target).await.context("--to")?;
    let to = Db::connect(target).await.context("--to")?;
    let source_tables = tables(&mut from).await?;
    // Before anything is written to the target.
    plan::assert_no_foreign_tables(&source_tables, &target_tables(&to).await?).context("--to")?;
    to.migrate().await.context("--to")?;
    let shared = plan::shared_tables(source_tables, &target_tables(&to).await?)?;
    copy::begin(&to, &shared).await.context("--to")?;
    for table in &shared {
        copy_all(&mut from, &to, table, batch, on_progress)
            .await
            .with_context(|| format!("table {}", table.name))?;
    }
    let mut snapshot = to.snapshot().await?;
    let comparison = compare::compare(&mut from, &mut snapshot, &shared).await?;
    snapshot.close().await?;
    from.close().await?;
    if comparison.is_identical() {
        copy::analyze(&to, &shared).await?;
    }
    Ok((to, comparison))
}

/// Finishes the move: from now on the target can be opened as a shop.
pub async fn finish(to: &Db) -> Result<()> {
    copy::drop_progress(to).await
}

async fn target_tables(to: &Db) -> Result<Vec<platform::db::Table>, sqlx::Error> {
    tables(&mut *to.reads().acquire().await?).await
}

async fn copy_all(
    from: &mut Conn,
    to: &Db,
    table: &SharedTable,
    batch: i64,
    on_progress: OnProgress<'_>,
) -> Result<()> {
    let rows = copy::count(from, table).await?;
    let mut progress = copy::progress(to, table).await?;
    let batch = table.batch(batch);
    loop {
        let read = copy::read(from, table, progress.last_key.as_deref(), batch).await?;
        let is_last = i64::try_from(read.len()).is_ok_and(|read| read < batch);
        if !read.is_empty() {
            progress = copy::write(to, table, progress, read).await?;
            crash::point("batch_moved").await;
        }
        on_progress(&table.name, progress.rows, rows);
        if is_last {
            return Ok(());
        }
    }
}
