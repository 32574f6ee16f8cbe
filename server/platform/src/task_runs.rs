//! When what is to run every night has last run, and whether it went well: the audit and the backup.
//!
//! Owns the table `task_runs`. The audit's runs are noted by `stagedoor audit --record`, the backup's
//! by the scripts in `deploy/`, which have no Stagedoor at hand. Nothing here runs them.

use crate::db::{Db, Flag};
use model::Moment;
use sqlx::{AnyExecutor, query, query_as};

/// As the audit is called in the table.
pub const AUDIT: &str = "audit";

/// The last run of a task.
#[derive(Debug, Clone)]
pub struct TaskRun {
    /// Which: `audit` or `backup`.
    pub task: String,
    /// Whether it went well.
    pub succeeded: bool,
    /// When one last went well.
    pub succeeded_at: Option<Moment>,
}

/// Notes that a task has run. Errors: the database fails.
pub async fn run_note(
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

/// The last run of each task that has run.
pub async fn runs<'e>(on: impl AnyExecutor<'e>) -> Result<Vec<TaskRun>, sqlx::Error> {
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
