//! Runs the statements of the invariants, and looks for work that is late or failed.

use super::{
    invariants::CHECKS,
    report::{Finding, ReportBuilder},
};
use crate::backlogs::BACKLOGS;
use futures::TryStreamExt;
use model::Moment;
use platform::db::Conn;
use sqlx::{AssertSqlSafe, SqlSafeStr, query_as};
use std::time::Instant;

const FAILED_MAILS: &str = "SELECT id, kind || COALESCE(', ' || last_error, '') AS detail \
     FROM mails WHERE state = 'failed'";

/// Checks the invariants.
pub(super) async fn check_invariants(
    conn: &mut Conn,
    now: Moment,
    report: &mut ReportBuilder,
) -> Result<(), sqlx::Error> {
    for check in CHECKS {
        let began = Instant::now();
        let until = check.ago.map(|ago| now - ago);
        let violations = Violations {
            about: check.about,
            violation: check.violation,
        };
        violations
            .find(conn, check.sql, until, |finding| {
                report.broken(check.number, finding);
            })
            .await?;
        let took = began.elapsed();
        tracing::debug!(
            about = check.about,
            violation = check.violation,
            ?took,
            "checked"
        );
        report.took(check.number, took);
    }
    Ok(())
}

/// Adds a warning for each row that waits for too long, and for each mail that could not be sent.
pub(super) async fn warn_of_backlogs(
    conn: &mut Conn,
    now: Moment,
    report: &mut ReportBuilder,
) -> Result<(), sqlx::Error> {
    for backlog in &BACKLOGS {
        let Some(warning) = &backlog.warning else {
            continue;
        };
        let minutes = warning.after.as_secs() / 60;
        let late = Violations {
            about: warning.about,
            violation: &format!("has been waiting for more than {minutes} minutes"),
        };
        let sql = AssertSqlSafe(backlog.late_sql(warning));
        let until = Some(now - warning.after);
        late.find(conn, sql, until, |finding| report.warnings.add(finding))
            .await?;
    }
    let failed = Violations {
        about: "mail",
        violation: "could not be sent",
    };
    failed
        .find(conn, FAILED_MAILS, None, |finding| {
            report.warnings.add(finding);
        })
        .await
}

/// What the rows of a statement violate.
struct Violations<'a> {
    about: &'static str,
    violation: &'a str,
}

impl Violations<'_> {
    /// Passes each row of the statement, which selects `id` and `detail`, to `add`. `until` is bound as `$1`.
    async fn find(
        &self,
        conn: &mut Conn,
        sql: impl SqlSafeStr,
        until: Option<Moment>,
        mut add: impl FnMut(Finding),
    ) -> Result<(), sqlx::Error> {
        let mut select = query_as::<_, (String, String)>(sql);
        if let Some(until) = until {
            select = select.bind(until);
        }
        let mut rows = select.fetch(conn);
        while let Some((id, detail)) = rows.try_next().await? {
            let what = match detail.as_str() {
                "" => self.violation.to_owned(),
                detail => format!("{}: {detail}", self.violation),
            };
            add(Finding {
                about: self.about,
                id,
                what,
            });
        }
        Ok(())
    }
}
