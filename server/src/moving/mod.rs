//! `stagedoor move`: a whole shop from one database to another, of the same engine or the other.
//!
//! Nobody may use either meanwhile. What is moved is what both schemas have in common (`plan.rs`),
//! as it is, in batches (`copy.rs`); what an engine makes of it by itself, such as an index of
//! words, its own triggers make again. How far it has come stands in the target, written with each
//! batch, so that it can be cut off anywhere and run again. It is done once every row has been
//! read back and is the same (`compare.rs`). It changes nothing in the source, and knows no table
//! by name.

mod command;
mod compare;
mod copy;
mod plan;

pub use command::{Move, run};
pub use compare::{Comparison, Sum};
pub use plan::{MADE_BY_MIGRATIONS, Shared};

use anyhow::{Context, Result, ensure};
use platform::{
    crash,
    db::{Conn, Db, tables, versions},
};
use sqlx::Connection;

/// The most rows of a transaction.
pub const BATCH_MAX: i64 = 2000;

/// Told after each batch: the table, how many of its rows are there by now, and how many there are.
pub type Tell<'t> = &'t mut (dyn FnMut(&str, i64, i64) + Send);

/// Moves all rows from `source` to the database at `target`, or what is left of them from the last
/// time, at most `batch` rows at once; then compares. `Comparison::alike` says whether every row
/// arrived; only then the target counts as a shop.
///
/// Errors: somebody uses one of them, they are of different versions, the target has tables of
/// something else or rows of another shop, or a database fails.
pub async fn move_shop(
    source: &str,
    target: &str,
    batch: i64,
    tell: Tell<'_>,
) -> Result<(Db, Comparison)> {
    let mut from = Db::claim(source).await.context("--from")?;
    let (applied, known) = versions(&mut from)
        .await
        .context("--from: this database has never been migrated")?;
    ensure!(
        applied <= known,
        "--from is at migration {applied} and this binary at {known}: take the newer binary"
    );
    ensure!(
        applied == known,
        "--from is at migration {applied} and this binary at {known}: `stagedoor migrate` first"
    );
    Db::assert_unused(target).await.context("--to")?;
    let to = Db::connect(target).await.context("--to")?;
    let ours = tables(&mut from).await?;
    // Before anything is written there.
    plan::assert_only_ours(&ours, &target_tables(&to).await?).context("--to")?;
    to.migrate().await.context("--to")?;
    let shared = plan::shared(ours, &target_tables(&to).await?)?;
    copy::begin(&to, &shared).await.context("--to")?;
    for table in &shared {
        copy_all(&mut from, &to, table, batch, tell)
            .await
            .with_context(|| format!("table {}", table.name))?;
    }
    let mut there = to.snapshot().await?;
    let comparison = compare::compare(&mut from, &mut there, &shared).await?;
    there.close().await?;
    from.close().await?;
    if comparison.alike() {
        copy::analyze(&to, &shared).await?;
    }
    Ok((to, comparison))
}

/// The move is done: from now on a shop may be opened there.
pub async fn finish(to: &Db) -> Result<()> {
    copy::end(to).await
}

async fn target_tables(to: &Db) -> Result<Vec<platform::db::Table>, sqlx::Error> {
    tables(&mut *to.reads().acquire().await?).await
}

async fn copy_all(
    from: &mut Conn,
    to: &Db,
    table: &Shared,
    batch: i64,
    tell: Tell<'_>,
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
        tell(&table.name, progress.rows, rows);
        if is_last {
            return Ok(());
        }
    }
}
