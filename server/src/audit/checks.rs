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
        let violation = Meaning {
            about: check.about,
            what: check.violation,
        };
        violation
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
        let late = Meaning {
            about: warning.about,
            what: &format!("has been waiting for more than {minutes} minutes"),
        };
        let sql = AssertSqlSafe(backlog.late_sql(warning));
        let until = Some(now - warning.after);
        late.find(conn, sql, until, |finding| report.warnings.add(finding))
            .await?;
    }
    let failed = Meaning {
        about: "mail",
        what: "could not be sent",
    };
    failed
        .find(conn, FAILED_MAILS, None, |finding| {
            report.warnings.add(finding);
        })
        .await
}

/// The meaning of a statement's rows.
struct Meaning<'a> {
    /// The kind of object.
    about: &'static str,
    /// The sentence about it, without its subject.
    what: &'a str,
}

impl Meaning<'_> {
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
                "" => self.what.to_owned(),
                detail => format!("{}: {detail}", self.what),
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
