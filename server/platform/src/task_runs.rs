//! The last runs of the nightly tasks, audit and backup, and whether they succeeded.
//!
//! Owns the table `task_runs`. `stagedoor audit --record` records audits; the scripts in `deploy/` record
//! backups by SQL, because they run without the binary. Does not run the tasks.

use crate::db::{Db, Flag};
use model::Moment;
use sqlx::{AnyExecutor, query, query_as};

/// The audit's name in the table.
pub const AUDIT: &str = "audit";

/// The last run of a task.
#[derive(Debug, Clone)]
pub struct TaskRun {
    /// `audit` or `backup`.
    pub task: String,
    pub succeeded: bool,
    /// When the task last succeeded.
    pub succeeded_at: Option<Moment>,
}

/// Records a run of a task that ended at `now`.
pub async fn record(
    db: &Db,
    task: &'static str,
    succeeded: bool,
    now: Moment,
) -> Result<(), sqlx::Error> {
    db.write(move |conn| {
        Box::pin(async move {
            query(
                "INSERT INTO task_runs (task, ended_at, succeeded, succeeded_at) \
                 VALUES ($1, $2, $3, $4) ON CONFLICT (task) DO UPDATE SET \
                 ended_at = excluded.ended_at, succeeded = excluded.succeeded, \
                 succeeded_at = COALESCE(excluded.succeeded_at, task_runs.succeeded_at)",
            )
            .bind(task)
            .bind(now)
            .bind(Flag(succeeded))
            .bind(succeeded.then_some(now))
            .execute(conn)
            .await
            .map(drop)
        })
    })
    .await
}

/// The last run of each task that has ever run.
pub async fn list<'e>(on: impl AnyExecutor<'e>) -> Result<Vec<TaskRun>, sqlx::Error> {
    let rows: Vec<(String, Flag, Option<Moment>)> =
        query_as("SELECT task, succeeded, succeeded_at FROM task_runs ORDER BY task")
            .fetch_all(on)
            .await?;
    Ok(rows
        .into_iter()
        .map(|(task, Flag(succeeded), succeeded_at)| TaskRun {
            task,
            succeeded,
            succeeded_at,
        })
        .collect())
}
